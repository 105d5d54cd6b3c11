"""Floor 1: scores of plans and decisions against the truth. They know no language."""
