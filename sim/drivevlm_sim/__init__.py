"""Floor 4: worlds to drive in, written in the nuScenes schema."""
