"""nuScenes-format recordings: tables on disk become clips and truths."""
