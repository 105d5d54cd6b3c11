"""Writes one shard of a packed recording, row group by row group."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drivevlm.data.dense import DenseView
from drivevlm.data.packed.rows import Row, clip_row, step_row
from drivevlm.data.packed.schema import parquet, schemas
from drivevlm.data.packed.typed_json import plain
from drivevlm.data.recording import Recording, SceneClips
from drivevlm.world.camera import Frame, FrameError
from drivevlm.world.clip import Clip
from drivevlm.world.image_boxes import image_boxes
from drivevlm.world.pose import Pose3
from drivevlm.world.truth import Truth, TruthStep
from drivevlm.world.twins import TwinPair

if TYPE_CHECKING:
    from shapely import Polygon

GROUP_BYTES = 256 * 1024
"""A row group of images (polygons, dense truth) ends with the clip that brings it to this size."""
GROUP_ROWS = 64
"""A row group of clips (keyframes) ends with the scene that brings it to so many."""
HEAVY = ("images", "polygons", "dense")

Dense = Callable[[str], Mapping[str, DenseView]]
"""Truth per pixel of a clip, by camera."""


@dataclass(slots=True)
class _Table:
    """A file that grows by row groups."""

    writer: Any
    schema: Any
    pending: list[Row] = field(default_factory=list)
    rows: int = 0
    waiting_bytes: int = 0

    def add(self, row: Row, size: int = 0) -> int:
        """Take a row; returns its number."""
        self.pending.append(row)
        self.waiting_bytes += size
        self.rows += 1
        return self.rows - 1

    def flush(self) -> None:
        pa, _ = parquet()
        if self.pending:
            group = pa.Table.from_pylist(self.pending, schema=self.schema)
            self.writer.write_table(group, row_group_size=len(self.pending))
            self.pending.clear()
            self.waiting_bytes = 0


class ShardWriter:
    """Takes whole scenes in order. What is written depends on them alone.

    Attributes:
        counts: Of what was written.
        image_bytes: Of the images so far; the size of a shard is about that.
        troubles: A few words on each kind of image that could not be read.
    """

    def __init__(self, folder: Path, recording: Recording, dense: Dense) -> None:
        """The folder is there and empty."""
        _, pq = parquet()
        self._recording, self._dense = recording, dense
        self._tables = {
            table: _Table(
                pq.ParquetWriter(
                    folder / f"{table}.parquet",
                    schema,
                    # A JPEG cannot be pressed further.
                    compression="NONE" if table == "images" else "ZSTD",
                    use_dictionary=table not in HEAVY,
                    write_statistics=False,
                ),
                schema,
            )
            for table, schema in schemas().items()
        }
        self.counts: Counter[str] = Counter()
        self.scenes: list[dict[str, Any]] = []
        self._polygon_rows: dict[int, tuple[Polygon, int]] = {}

    @property
    def image_bytes(self) -> int:
        """Of the images so far."""
        return self.counts["image_bytes"]

    def add(
        self, scene: SceneClips, pairs: Mapping[str, TwinPair], done: Callable[[], None]
    ) -> None:
        """Write a scene; ``done`` is called after each clip."""
        clips = self._tables["clips"]
        self.scenes.append({"name": scene.name, "row": clips.rows, "clips": list(scene.tokens)})
        images, steps = _Images(self, scene.name), _Steps(self._tables["steps"])
        for token in scene.tokens:
            clip = self._recording.clip(token)
            truth = self._recording.truth(token)
            pair = pairs.get(token)
            row = clip_row(clip, images.row)
            row["pair"] = None if pair is None else _json(plain(pair))
            row |= {} if truth is None else self._truth_columns(clip, truth, steps)
            row["dense"] = self._dense_rows(clip)
            clips.add(row)
            self.counts["clips"] += 1
            self.counts["pairs"] += pair is not None and token == pair.tokens[0]
            for name in HEAVY:
                if self._tables[name].waiting_bytes >= GROUP_BYTES:
                    self._tables[name].flush()
            done()
        for name in ("clips", "steps"):
            if len(self._tables[name].pending) >= GROUP_ROWS:
                self._tables[name].flush()

    def close(self) -> None:
        """Write what waits, and end the files."""
        for name, table in self._tables.items():
            table.flush()
            table.writer.close()
            if name != "clips":
                self.counts[name] = table.rows

    def abandon(self) -> None:
        """Let go of files that are not going to be whole."""
        for table in self._tables.values():
            # The file is thrown away: what closing it says does not matter.
            try:
                table.writer.close()
            except OSError:
                continue

    def image(self, scene: str, camera: str, frame: Frame) -> int:
        """Keep an image; returns its row."""
        encoded, trouble = None, None
        try:
            encoded = frame.encoded
            self.counts["image_bytes"] += len(encoded)
        except FrameError as error:
            trouble = getattr(error.__cause__, "strerror", None) or "not readable"
            self.counts["missing_images"] += 1
        file = frame.source.name if isinstance(frame.source, Path) else ""
        row = {"scene": scene, "camera": camera, "stamp_us": frame.stamp_us, "file": file}
        row |= {"encoded": encoded, "trouble": trouble}
        return self._tables["images"].add(row, len(encoded or b""))

    def _truth_columns(self, clip: Clip, truth: Truth, steps: _Steps) -> Row:
        xy_ego_m, yaw_ego_rad = truth.future_path()
        self.counts["labels"] += truth.labels is not None
        self.counts["boxes"] += len(truth.now.boxes)
        return {
            "truth": {
                "scene": truth.scene,
                "description": truth.description,
                "steps": [
                    {"offset": offset, "step": steps.row(step)}
                    for offset, step in truth.steps.items()
                ],
            },
            "map": [
                {"layer": layer, "polygons": [self._polygon_row(layer, p) for p in polygons]}
                for layer, polygons in self._recording.with_map(truth).map_polygons.items()
            ],
            "labels": None if truth.labels is None else _json(plain(truth.labels)),
            "future_xy_ego_m": xy_ego_m.ravel(),
            "future_yaw_ego_rad": yaw_ego_rad,
            "image_boxes": [plain(box) for box in image_boxes(clip, truth)],
        }

    def _polygon_row(self, layer: str, polygon: Polygon) -> int:
        # The polygon is kept beside its row, so that no other object can have its id.
        key = id(polygon)
        if key not in self._polygon_rows:
            from shapely import to_wkb

            wkb = to_wkb(polygon)
            row = self._tables["polygons"].add({"layer": layer, "wkb": wkb}, len(wkb))
            self._polygon_rows[key] = (polygon, row)
        return self._polygon_rows[key][1]

    def _dense_rows(self, clip: Clip) -> list[int]:
        return [
            self._tables["dense"].add(*_dense_row(clip.token, camera, view))
            for camera, view in self._dense(clip.token).items()
        ]


class _Images:
    """The images of a scene: one that several clips show is kept once."""

    def __init__(self, shard: ShardWriter, scene: str) -> None:
        self._shard, self._scene = shard, scene
        self._rows: dict[tuple[str, int, object], int] = {}

    def row(self, camera: str, frame: Frame) -> int:
        key = (camera, frame.stamp_us, frame.source)
        if key not in self._rows:
            self._rows[key] = self._shard.image(self._scene, camera, frame)
        self._shard.counts["frames"] += 1
        return self._rows[key]


class _Steps:
    """The keyframes of a scene: one that several clips look at is kept once."""

    def __init__(self, table: _Table) -> None:
        self._table = table
        self._known: dict[int, list[tuple[TruthStep, int]]] = {}

    def row(self, step: TruthStep) -> int:
        known = self._known.setdefault(step.stamp_us, [])
        for other, row in known:
            if other is step or _same_step(other, step):
                return row
        row = self._table.add(step_row(step))
        known.append((step, row))
        return row


def _same_step(a: TruthStep, b: TruthStep) -> bool:
    mounts = (a.ego_from_lidar, b.ego_from_lidar)
    return (
        _same_pose(a.global_from_ego, b.global_from_ego)
        and _same_pose(*mounts)
        and all(
            np.array_equal(getattr(a.boxes, name), getattr(b.boxes, name))
            for name in a.boxes.__slots__
            if name != "attribute"
        )
        and a.boxes.attribute == b.boxes.attribute
    )


def _same_pose(a: Pose3 | None, b: Pose3 | None) -> bool:
    if a is None or b is None:
        return a is b
    same_turn = np.array_equal(a.rotation, b.rotation)
    return same_turn and np.array_equal(a.translation_m, b.translation_m)


def _dense_row(token: str, camera: str, view: DenseView) -> tuple[Row, int]:
    pixels = {"mask": view.mask, "depth_cm": view.depth_cm}
    there = [p for p in pixels.values() if p is not None]
    height_px, width_px = there[0].shape if there else (0, 0)
    row = {
        "token": token,
        "camera": camera,
        "width_px": width_px,
        "height_px": height_px,
        **{name: None if p is None else p.ravel() for name, p in pixels.items()},
        "instances": list(view.instances),
        "heads": [plain(head) for head in view.heads],
    }
    return row, sum(p.nbytes for p in there)


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
