"""Whole data roots: recipes, jobs, parts on disk, and the nuScenes folder made of them."""
