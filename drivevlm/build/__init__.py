"""Floor 5: names in a configuration become constructors, in one visible table."""
