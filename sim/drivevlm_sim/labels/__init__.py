"""True reasons: what a scene's log knows of why the driver did what it did."""
