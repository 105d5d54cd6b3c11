"""A made world, checked from what lies on disk alone: rules of twins, geometry, labels."""
