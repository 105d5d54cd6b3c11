"""A recording in parquet shards, for training: read without the devkit and without the source.

A folder that ``drivevlm pack`` writes holds ``manifest.json`` and shards. A shard is a folder of
five tables (``schema`` tells their columns): ``clips`` (a row a clip: what a planner may know, and
what training needs beside it), ``steps`` (a row a keyframe: pose and labelled boxes), ``images``
(a row an image, with its bytes as recorded; clips that share an image share its row),
``polygons`` (of the map) and ``dense`` (instance masks and depth, where the data have them).
"""

from drivevlm.data.packed.recording import PackedConfig, PackedRecording

__all__ = ["PackedConfig", "PackedRecording"]
