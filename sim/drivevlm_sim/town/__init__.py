"""Towns: road nets by seed, and everything that stands on and beside the road."""
