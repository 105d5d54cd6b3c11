"""Floor 1: recordings become clips (what a planner may know) and truths (what it must not)."""
