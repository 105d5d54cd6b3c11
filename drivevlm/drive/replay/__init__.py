"""A recording lived through once more: as topics, as a bag, or step by step with a node."""
