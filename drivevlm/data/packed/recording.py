"""Reads a packed recording: the same clips and truths as the recording that was packed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

from drivevlm.data.dense import DenseView, SignalHead
from drivevlm.data.packed.files import Row, StoredImage, numbers_of, row_of
from drivevlm.data.packed.manifest import Manifest, read_manifest
from drivevlm.data.packed.rows import clip_of, step_of
from drivevlm.data.packed.schema import ASKED, parquet
from drivevlm.data.packed.typed_json import typed
from drivevlm.data.recording import DataError, SceneClips
from drivevlm.world.clip import Clip
from drivevlm.world.image_boxes import ImageBox
from drivevlm.world.scene_labels import SceneLabels
from drivevlm.world.sets import Signal
from drivevlm.world.truth import Truth, TruthStep
from drivevlm.world.twins import TwinPair

if TYPE_CHECKING:
    from shapely import Polygon

STEPS_KEPT = 64
POLYGONS_KEPT = 4096
STEP_COLUMNS = ("stamp_us", "global_from_ego", "ego_from_lidar", "boxes")
DENSE_COLUMNS = ("camera", "width_px", "height_px", "instances", "heads")


@dataclass(frozen=True, slots=True)
class PackedConfig:
    """A folder that ``drivevlm pack`` wrote. How it was read then is how it is read now.

    Attributes:
        path: The folder.
        scenes: Names of the scenes to take; empty takes all.
    """

    path: str = ""
    scenes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.scenes)) < len(self.scenes):
            raise ValueError(f"scenes names one twice: {', '.join(self.scenes)}")


class PackedRecording:
    """Random access by token; of a shard only what is asked for is read.

    Beside what every recording has, it offers what training needs: ``image_boxes`` and ``dense``.
    """

    def __init__(self, config: PackedConfig) -> None:
        """Raises DataError, in one line, where the folder is not whole, or pyarrow is missing."""
        self._config = config
        self._manifest: Manifest = read_manifest(config.path)
        parquet()
        scenes = self._manifest.scenes
        unknown = [name for name in config.scenes if name not in {s.name for s in scenes}]
        if unknown:
            raise DataError(
                f"data.scenes: {config.path} has no scene {unknown[0]}; it has {len(scenes)}, "
                f"e.g. {scenes[0].name}"
            )
        wanted = set(config.scenes) or {scene.name for scene in scenes}
        self._scenes = tuple(
            SceneClips(scene.name, scene.tokens) for scene in scenes if scene.name in wanted
        )
        self._place = {
            token: (scene.shard, scene.first + k)
            for scene in scenes
            if scene.name in wanted
            for k, token in enumerate(scene.tokens)
        }
        self._step = lru_cache(maxsize=STEPS_KEPT)(self._read_step)
        self._polygon = lru_cache(maxsize=POLYGONS_KEPT)(self._read_polygon)

    def __reduce__(self) -> tuple[type[PackedRecording], tuple[PackedConfig]]:
        """A worker opens it again."""
        return PackedRecording, (self._config,)

    @property
    def name(self) -> str:
        """The packed recording's own."""
        return self._manifest.name

    @cached_property
    def digest(self) -> str:
        """The packed recording's own, where all of it and every image is there.

        So a run on packed data is a run on the data themselves.
        """
        about, chosen = self._manifest, [scene.name for scene in self._scenes]
        if not about.missing_images and len(chosen) == len(about.scenes):
            return about.digest
        text = json.dumps([about.digest, about.missing_images, chosen])
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def synthetic(self) -> bool:
        """As the packed recording says."""
        return self._manifest.synthetic

    @property
    def provenance(self) -> Mapping[str, str]:
        """As the packed recording says."""
        return self._manifest.provenance

    @property
    def cameras(self) -> tuple[str, ...]:
        """As the packed recording says."""
        return self._manifest.cameras

    @property
    def most_proposals(self) -> int:
        """As the packed recording says."""
        return self._manifest.most_proposals

    @cached_property
    def twins(self) -> tuple[TwinPair, ...]:
        """The pairs, where the clips are twins; one a scene."""
        pairs = (self._pair(scene.tokens[0]) for scene in self._scenes if scene.tokens)
        return tuple(pair for pair in pairs if pair is not None)

    def scenes(self) -> tuple[SceneClips, ...]:
        """The chosen scenes in the packed recording's order."""
        return self._scenes

    def clip(self, token: str) -> Clip:
        """What a planner may know. Its images are read when they are looked at."""
        shard, _ = self._at(token)
        return clip_of(
            self._row(token, ASKED), lambda row: StoredImage(shard / "images.parquet", row)
        )

    def truth(self, token: str) -> Truth | None:
        """What happened around a clip; ``with_map`` adds the map."""
        shard, _ = self._at(token)
        row = self._row(token, ("truth", "labels"))
        truth, labels = row["truth"], row["labels"]
        if truth is None:
            return None
        return Truth(
            token=token,
            scene=truth["scene"],
            steps={step["offset"]: self._step(shard, step["step"]) for step in truth["steps"]},
            description=truth["description"],
            labels=None if labels is None else typed(SceneLabels, json.loads(labels)),
        )

    def with_map(self, truth: Truth) -> Truth:
        """The truth with the map polygons near the ego, where the packed recording has a map."""
        shard, _ = self._at(truth.token)
        layers = self._row(truth.token, ("map",))["map"] or []
        polygons = {
            layer["layer"]: tuple(self._polygon(shard, row) for row in layer["polygons"])
            for layer in layers
        }
        return replace(truth, map_polygons=polygons)

    def image_boxes(self, token: str) -> tuple[ImageBox, ...]:
        """Labelled objects in each camera's newest image."""
        rows = self._row(token, ("image_boxes",))["image_boxes"] or []
        return tuple(ImageBox(**{**row, "box_px": tuple(row["box_px"])}) for row in rows)

    def dense(self, token: str) -> Mapping[str, DenseView]:
        """By camera, mask and depth of the newest image and its signal heads; empty without."""
        shard, _ = self._at(token)
        path, views = shard / "dense.parquet", dict[str, DenseView]()
        for row in self._row(token, ("dense",))["dense"] or []:
            about = row_of(path, row, DENSE_COLUMNS)
            views[about["camera"]] = _dense_view(path, row, about)
        return views

    def _pair(self, token: str) -> TwinPair | None:
        text = self._row(token, ("pair",))["pair"]
        return None if text is None else typed(TwinPair, json.loads(text))

    def _at(self, token: str) -> tuple[Path, int]:
        if token not in self._place:
            raise DataError(
                f"{self._config.path}: {token!r} is none of its {len(self._place)} clips"
            )
        return self._place[token]

    def _row(self, token: str, columns: tuple[str, ...]) -> Row:
        shard, row = self._at(token)
        return row_of(shard / "clips.parquet", row, columns)

    def _read_step(self, shard: Path, row: int) -> TruthStep:
        return step_of(row_of(shard / "steps.parquet", row, STEP_COLUMNS))

    def _read_polygon(self, shard: Path, row: int) -> Polygon:
        from shapely import from_wkb

        wkb: bytes = row_of(shard / "polygons.parquet", row, ("wkb",))["wkb"]
        return cast("Polygon", from_wkb(wkb))


def _dense_view(path: Path, row: int, about: Row) -> DenseView:
    shape = (about["height_px"], about["width_px"])
    mask, depth_cm = (numbers_of(path, row, name) for name in ("mask", "depth_cm"))
    heads = tuple(
        SignalHead(head["name"], Signal(head["state"]), tuple(head["box_px"]))
        for head in about["heads"]
    )
    return DenseView(
        None if mask is None else mask.reshape(shape),
        tuple(about["instances"]),
        None if depth_cm is None else depth_cm.reshape(shape),
        heads,
    )
