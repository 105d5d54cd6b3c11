"""Floor 3: what a run leaves behind: one JSON line per planner and clip, nothing lost."""
