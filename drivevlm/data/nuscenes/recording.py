"""A nuScenes-format recording: scenes, clips from the past, truths with the future."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np

from drivevlm.data.nuscenes.can_bus import CanBus
from drivevlm.data.nuscenes.config import DecisionTime, EgoSource, NuScenesConfig
from drivevlm.data.nuscenes.ego import Ego, pose_of
from drivevlm.data.nuscenes.folder import choose_scenes, file_digest, find_tables, map_file
from drivevlm.data.nuscenes.index import Index, Progress, open_index
from drivevlm.data.nuscenes.inputs import Inputs
from drivevlm.data.nuscenes.labels import LABELS_FILE, read_labels
from drivevlm.data.nuscenes.oracle import blurred_labels
from drivevlm.data.nuscenes.rig import Rig
from drivevlm.data.nuscenes.route import read_route
from drivevlm.data.nuscenes.twins import TWINS_FILE, Twins, as_side
from drivevlm.data.recording import DataError, SceneClips
from drivevlm.world.clip import Clip, Proposals, RouteCommand
from drivevlm.world.ego import status_from_history
from drivevlm.world.labels import command_of_future
from drivevlm.world.pose import Floats
from drivevlm.world.sets import Provenance
from drivevlm.world.track import PoseTrack
from drivevlm.world.truth import FUTURE_STEPS, PAST_STEPS, LabelledBoxes, Truth, TruthStep
from drivevlm.world.twins import TwinPair

if TYPE_CHECKING:
    from drivevlm.data.nuscenes.maps import Maps

PAST_OF_ANCHOR = "half seconds before the anchor's stamp"
"""What the past of a clip is with ``t0=anchor``."""
STEPS_KEPT = 32
"""Keyframes whose labels stay in memory: neighbours in time share them."""


class NuScenesRecording:
    """Reads one version folder; see ``NuScenesConfig`` for what can be chosen.

    Every input of a clip lies at or before decision time, except a command of source
    ``gt_future`` and proposals of source ``oracle``, which are marked as leaks, and the images of
    cameras that fire a moment after decision time (see ``Rig``).

    Where ``twins.jsonl`` lies beside the tables, only the two samples of each pair are clips, and
    a pair is a scene (see ``twins``). Where ``drivevlm_labels.jsonl`` lies there, truths have
    labels.
    """

    def __init__(self, config: NuScenesConfig, progress: Progress | None = None) -> None:
        """Open the recording. Raises DataError, in one line, for anything missing or wrong.

        ``progress`` is told of the first start's work, while the index is built.
        """
        tables = find_tables(config)
        self._config = config
        self._root = tables.parent
        indexed = open_index(tables, cache=config.cache, progress=progress)
        self._index: Index = indexed.index
        self._contents = indexed.digest
        names = list(self._index.scene_name.span())
        sidecars = {name: tables / name for name in (TWINS_FILE, LABELS_FILE)}
        self._sidecars = {name: path for name, path in sidecars.items() if path.is_file()}
        # Of twins, data.scenes names pairs.
        of_split = replace(config, scenes=()) if TWINS_FILE in self._sidecars else config
        self._names = choose_scenes(of_split, tables, present=names, official=indexed.splits)
        self._scene = {name: names.index(name) for name in self._names}
        self._rig = Rig(self._index, config, root=self._root)
        row_of = {token: row for row, token in enumerate(self._index.sample_token.span())}
        self._scenes, self._sample = self._clips()
        self._pairs: Mapping[str, TwinPair] = {}
        if TWINS_FILE in self._sidecars:
            self._pair_up(row_of)
        chosen = [row for row, _ in self._sample.values()]
        self._ego = Ego(self._index, config, chosen=chosen, tables=tables)
        self._inputs = Inputs.read(
            config,
            known=row_of,
            wanted=list(self._sample),
            global_from_ego=lambda token: self._ego.global_from_ego(row_of[token]),
        )
        can_bus = config.ego is EgoSource.CAN_BUS
        self._can = CanBus(self._root, self._names) if can_bus else None
        path = self._sidecars.get(LABELS_FILE)
        if path is None and config.command == "route":
            raise DataError(f"data.command=route: {tables} has no {LABELS_FILE} to read it from")
        self._labels = {} if path is None else read_labels(path, known=row_of)
        self._read = {name: file_digest(path) for name, path in self._sidecars.items()}
        self._step = lru_cache(maxsize=STEPS_KEPT)(self._read_step)
        self._route = lru_cache(maxsize=1)(partial(read_route, self._root))

    def __reduce__(self) -> tuple[type[NuScenesRecording], tuple[NuScenesConfig]]:
        """A worker opens it again: cheaper than to send mapped arrays."""
        return NuScenesRecording, (self._config,)

    @property
    def name(self) -> str:
        """``nuscenes``, version and split."""
        split = f" {self._config.split}" if self._config.split else ""
        return f"nuscenes {self._config.version}{split}"

    @cached_property
    def digest(self) -> str:
        """Changes with the contents of tables, maps, read CAN messages and handed-in files, and
        with every setting.

        Where anything lies, and when it was written, does not matter.
        """
        plain = replace(self._config, root="", cache="", scenes=(), split="")
        words = asdict(plain) | dict(self._inputs.digests)
        words |= {"truth": self.truth_digest, "scenes": self._names}
        words["can_bus"] = [file_digest(path) for path in self._can.files] if self._can else []
        words |= self._read
        if self._config.t0 is DecisionTime.ANCHOR:
            words["past"] = PAST_OF_ANCHOR
        text = json.dumps(words, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def truth_digest(self) -> str:
        """Changes with the contents of tables and maps, and with what a decision time is."""
        locations = {self._index.scene_location[row] for row in self._scene.values()}
        expansions = [map_file(self._root, location) for location in sorted(locations)]
        maps = [file_digest(path) for path in expansions if path.is_file()]
        words = [self._contents, *maps, self._config.t0.value, self._config.anchor]
        return hashlib.sha256("\n".join(words).encode()).hexdigest()

    @property
    def synthetic(self) -> bool:
        """Whether every scene says of itself that it is synthetic."""
        words = [self._index.scene_description[row].lower() for row in self._scene.values()]
        return all("synthetic" in text for text in words)

    @property
    def cameras(self) -> tuple[str, ...]:
        """The chosen channels."""
        return tuple(self._rig.names)

    @property
    def most_proposals(self) -> int:
        """``top_k``, where there is a source of proposals."""
        return 0 if self._config.proposals == "none" else self._config.top_k

    @property
    def provenance(self) -> Mapping[str, str]:
        """Where each prompt input comes from."""
        return {
            "cameras": f"{len(self._rig.names)} cameras, up to {self._config.frames} images each",
            "ego_status": self._config.ego.value,
            **self._inputs.provenance,
        }

    def scenes(self) -> tuple[SceneClips, ...]:
        """The chosen scenes by name, their keyframes in order of time; of twins the pairs."""
        return self._scenes

    @property
    def twins(self) -> tuple[TwinPair, ...]:
        """The chosen pairs where the clips are twins, in the order of scenes; else none."""
        return tuple(self._pairs[scene.tokens[0]] for scene in self._scenes if self._pairs)

    def clip(self, token: str) -> Clip:
        """What a planner may know at a keyframe; of twins, by the pictures alone its own."""
        clip, pair = self._own_clip(token), self._pairs.get(token)
        if pair is None:
            return clip
        return as_side(pair, self._own_clip(pair.tokens[0]), clip)

    def _own_clip(self, token: str) -> Clip:
        sample, scene = self._row(token)
        t0_us = int(self._ego.t0_us[sample])
        global_from_ego = self._ego.global_from_ego(sample)
        history = self._ego.history(sample)
        moving = status_from_history(history)
        return Clip(
            token=token,
            scene=scene,
            t0_us=t0_us,
            cameras=self._rig.sequences(
                sample, t0_us=t0_us, global_from_ego=global_from_ego, status=moving
            ),
            status=self._can.status(scene, t0_us) if self._can else moving,
            history=history,
            summary=self._inputs.summary(
                [
                    (self._index.sample_token[row], (t0_us - int(self._ego.t0_us[row])) / 1e6)
                    for row in range(sample, self._span(scene)[0] - 1, -1)
                ]
                if self._inputs.summaries
                else []
            ),
            proposals=self._proposals(token),
            command=self._command(token),
        )

    def truth(self, token: str) -> Truth:
        """What happened around a keyframe; ``with_map`` adds the map."""
        sample, scene = self._row(token)
        first, end = self._span(scene)
        offsets = range(-PAST_STEPS, FUTURE_STEPS + 1)
        steps = {k: self._step(sample + k) for k in offsets if first <= sample + k < end}
        description = self._index.scene_description[self._scene[scene]]
        name = self._pairs[token].name if self._pairs else scene
        return Truth(token, name, steps, description, labels=self._labels.get(token))

    def route_global_m(self, token: str) -> Floats | None:
        """(N, 2) the planned way of a clip's scene, global; None where there is none."""
        return self._route(self._row(token)[1])

    def ego_track(self, scene: str) -> PoseTrack:
        """All recorded poses of one of the chosen scenes, global, by its name."""
        if scene not in self._scene:
            raise DataError(
                f"{self.name}: {scene!r} is none of the {len(self._scene)} chosen scenes"
            )
        return self._ego.track(self._scene[scene])

    def lens_wxyz(self, token: str) -> Mapping[str, Floats]:
        """(4,) quaternions w, x, y, z of ``ego_from_camera``, as recorded, of a clip's cameras."""
        sample, _ = self._row(token)
        return self._rig.lens_wxyz(sample, t0_us=int(self._ego.t0_us[sample]))

    def with_map(self, truth: Truth) -> Truth:
        """The truth with the map polygons near the ego, where there is a map expansion."""
        _, scene = self._row(truth.token)
        location = self._index.scene_location[self._scene[scene]]
        center_m = truth.now.global_from_ego.translation_m[:2]
        return replace(truth, map_polygons=self._maps.near(location, center_m))

    @cached_property
    def _maps(self) -> Maps:
        from drivevlm.data.nuscenes.maps import Maps  # wakes shapely

        return Maps(self._root)

    def _clips(self) -> tuple[tuple[SceneClips, ...], dict[str, tuple[int, str]]]:
        scenes, rows = [], {}
        for name in self._names:
            first, end = self._span(name)
            tokens = self._index.sample_token.span(first, end)
            rows.update({token: (first + k, name) for k, token in enumerate(tokens)})
            scenes.append(SceneClips(name, tokens))
        return tuple(scenes), rows

    def _pair_up(self, row_of: Mapping[str, int]) -> None:
        """Leave the clips of twins, and the scenes that hold them."""
        twins = Twins.read(
            self._sidecars[TWINS_FILE], self._config, known=row_of, chosen=self._sample
        )
        self._pairs, self._scenes = twins.pair_of(), twins.scenes()
        self._sample = {token: self._sample[token] for token in self._pairs}
        self._names = tuple(sorted({scene for _, scene in self._sample.values()}))
        self._scene = {name: self._scene[name] for name in self._names}

    def _span(self, scene: str) -> tuple[int, int]:
        row = self._scene[scene]
        return int(self._index.scene_first[row]), int(self._index.scene_first[row + 1])

    def _row(self, token: str) -> tuple[int, str]:
        if token not in self._sample:
            raise DataError(
                f"{self.name}: {token!r} is none of the {len(self._sample)} chosen keyframes"
            )
        return self._sample[token]

    def _proposals(self, token: str) -> Proposals | None:
        sample, _ = self._row(token)
        if self._config.proposals == "oracle":
            boxes = blurred_labels(self.truth(token), self._config.oracle)
            source = Provenance.ORACLE
        elif token in self._inputs.detections:
            boxes = self._inputs.detections[token].boxes(self._ego.global_from_ego(sample))
            source = Provenance.DETECTOR
        else:
            return None
        config = self._config
        return Proposals.best(boxes, source, top_k=config.top_k, min_score=config.min_score)

    def _command(self, token: str) -> RouteCommand | None:
        if self._config.command == "gt_future":
            return RouteCommand(command_of_future(self.truth(token)), Provenance.GT_FUTURE)
        if self._config.command == "route":
            labels = self._labels.get(token)
            return None if labels is None else labels.route
        return self._inputs.commands.get(token)

    def _read_step(self, sample: int) -> TruthStep:
        index = self._index
        mount = int(index.lidar_mount[sample])
        return TruthStep(
            stamp_us=int(self._ego.t0_us[sample]),
            global_from_ego=self._ego.global_from_ego(sample),
            ego_from_lidar=None if mount < 0 else pose_of(index.mount_pose[mount]),
            boxes=labelled_boxes(index, sample),
        )


def labelled_boxes(index: Index, sample: int) -> LabelledBoxes:
    """All annotated boxes of a keyframe."""
    start, stop = int(index.box_first[sample]), int(index.box_first[sample + 1])
    rows = slice(start, stop)
    following = np.asarray(index.box_next[rows])
    return LabelledBoxes(
        center_global_m=np.array(index.box_center_m[rows]),
        size_lwh_m=np.array(index.box_size_lwh_m[rows]),
        wxyz_global=np.array(index.box_wxyz[rows]),
        category=tuple(index.category_name[row] for row in index.box_category[rows]),
        instance=tuple(index.instance_token[row] for row in index.box_instance[rows]),
        annotation=index.box_token.span(start, stop),
        following=tuple(index.box_token[row] if row >= 0 else "" for row in following),
        lidar_points=np.array(index.box_lidar_points[rows]),
        radar_points=np.array(index.box_radar_points[rows]),
        visibility=np.array(index.box_visibility[rows]),
        attribute=tuple(
            index.attribute_name[row] if row >= 0 else "" for row in index.box_attribute[rows]
        ),
    )
