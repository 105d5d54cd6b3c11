"""A nuScenes-format recording: scenes, clips from the past, truths with the future."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from drivevlm.data.nuscenes.canbus import CanBus
from drivevlm.data.nuscenes.commands import Commander
from drivevlm.data.nuscenes.config import DecisionTime, EgoSource, NuScenesConfig
from drivevlm.data.nuscenes.files import read_summaries
from drivevlm.data.nuscenes.index import Array, open_index
from drivevlm.data.nuscenes.maps import Maps
from drivevlm.data.nuscenes.proposals import Proposer
from drivevlm.data.nuscenes.reading import boxes_of, pose_of, sequence_of
from drivevlm.data.recording import DataError, SceneClips
from drivevlm.world.clip import Clip, Summary
from drivevlm.world.ego import EgoHistory, status_from_history
from drivevlm.world.pose import Pose3
from drivevlm.world.sets import Provenance
from drivevlm.world.truth import FUTURE_STEPS, PAST_STEPS, Truth, TruthStep


def quiet(message: str) -> None:
    """Say nothing."""


class NuScenesRecording:
    """Reads one version folder; see ``NuScenesConfig`` for what can be chosen.

    Every input of a clip lies at or before decision time, except a command of source
    ``gt_future`` and proposals of source ``oracle``, which are marked as such.
    """

    def __init__(self, config: NuScenesConfig, progress: Callable[[str], None] = quiet) -> None:
        """Open the recording. Raises DataError for anything missing or wrong, in one line."""
        self._config = config
        self._root = Path(config.root).expanduser()
        cache = Path(config.cache).expanduser() if config.cache else None
        opened = open_index(self._root, config.version, cache, progress)
        self._index, self._key = opened.index, opened.key
        self._channels = self._checked_channels()
        self._key_of = {token: i for i, token in enumerate(self._index.key_token.tolist())}
        scene_of_key = np.repeat(
            np.arange(len(self._index.scene_name)), np.diff(self._index.scene_start)
        )
        self._scene_of_key: Array = scene_of_key
        self._chosen = self._chosen_scenes(opened.splits)
        self._key_images = self._keyframe_images()
        names = [str(self._index.scene_name[s]) for s in self._chosen]
        self._can = CanBus(self._root, names) if config.ego is EgoSource.CAN_BUS else None
        wanted = [token for scene in self.scenes() for token in scene.tokens]
        self._proposer = Proposer.of(config, known=self._key_of, wanted=wanted)
        self._proposer.check_frame(lambda token: self._now(self._key_of[token])[1])
        self._commander = Commander.of(config, known=self._key_of)
        self._summaries = read_summaries(config.summaries, known=self._key_of)
        self._maps = Maps(self._root)

    @property
    def name(self) -> str:
        """``nuscenes``, version and split."""
        split = f" {self._config.split}" if self._config.split else ""
        return f"nuscenes {self._config.version}{split}"

    @property
    def digest(self) -> str:
        """Changes with the tables and with every setting but the cache folder."""
        settings = asdict(replace(self._config, cache="", root=""))
        parts = [self._key, json.dumps(settings, sort_keys=True), self._proposer.digest]
        parts += [self._commander.digest, json.dumps(self._summaries, sort_keys=True)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @property
    def synthetic(self) -> bool:
        """Whether every scene says of itself that it is synthetic."""
        words = [str(self._index.scene_description[s]).lower() for s in self._chosen]
        return all("synthetic" in text for text in words)

    @property
    def provenance(self) -> Mapping[str, str]:
        """Where each prompt input comes from."""
        return {
            "cameras": f"{len(self._channels)} cameras, up to {self._config.frames} images each",
            "ego_status": self._config.ego.value,
            "scene_summary": "file" if self._summaries else "none",
            "proposals": self._proposer.words,
            "command": self._commander.words,
        }

    def scenes(self) -> tuple[SceneClips, ...]:
        """The chosen scenes by name, their keyframes in order of time."""
        found = []
        for scene in self._chosen:
            rows = slice(*(int(v) for v in self._index.scene_start[scene : scene + 2]))
            tokens = tuple(self._index.key_token[rows].tolist())
            found.append(SceneClips(str(self._index.scene_name[scene]), tokens))
        return tuple(found)

    def clip(self, token: str) -> Clip:
        """What a planner may know at a keyframe."""
        key = self._row(token)
        t0_us, global_from_ego = self._now(key)
        history = self._history(key)
        status = status_from_history(history)
        if self._can is not None:
            status = self._can.status(self._scene_name(key), t0_us)
        text = self._summaries.get(token)
        truth = (
            self.truth(token) if self._proposer.needs_truth or self._commander.needs_truth else None
        )
        return Clip(
            token=token,
            scene=self._scene_name(key),
            t0_us=t0_us,
            cameras=tuple(
                sequence_of(
                    self._index, rows, root=self._root, now_from_global=global_from_ego.inverse()
                )
                for rows in self._images(key)
            ),
            status=status,
            history=history,
            summary=None if text is None else Summary(text, 0.0, Provenance.FILE),
            proposals=self._proposer.proposals(token, global_from_ego, truth),
            command=self._commander.command(token, truth),
        )

    def truth(self, token: str) -> Truth:
        """What happened around a keyframe; ``with_map`` adds the map."""
        key = self._row(token)
        scene = int(self._scene_of_key[key])
        first, end = (int(v) for v in self._index.scene_start[scene : scene + 2])
        steps = {
            k: self._step(key + k)
            for k in range(-PAST_STEPS, FUTURE_STEPS + 1)
            if first <= key + k < end
        }
        description = str(self._index.scene_description[scene])
        return Truth(token, str(self._index.scene_name[scene]), steps, description)

    def with_map(self, truth: Truth) -> Truth:
        """The truth with the map polygons near the ego, where there is a map expansion."""
        scene = int(self._scene_of_key[self._row(truth.token)])
        location = str(self._index.scene_location[scene])
        center_m = truth.now.global_from_ego.translation_m[:2]
        return replace(truth, map_polygons=self._maps.near(location, center_m))

    def _step(self, key: int) -> TruthStep:
        stamp_us, global_from_ego = self._now(key)
        mount = int(self._index.lidar_mount[key])
        place = None if mount < 0 else pose_of(self._index.mount_place[mount])
        return TruthStep(stamp_us, global_from_ego, place, boxes_of(self._index, key))

    def _now(self, key: int) -> tuple[int, Pose3]:
        """Decision time at a keyframe and the ego's pose then."""
        anchored = self._config.t0 is DecisionTime.ANCHOR
        if not anchored and self._index.lidar_mount[key] >= 0:
            return int(self._index.key_stamp_us[key]), pose_of(self._index.lidar_pose[key])
        channel = self._anchor_channel(key)
        image = self._key_images[key, channel]
        if image < 0:
            token = self._index.key_token[key]
            raise DataError(f"keyframe {token} has no image of {self._index.channel[channel]}")
        stamp_us = self._index.image_stamp_us[image] if anchored else self._index.key_stamp_us[key]
        return int(stamp_us), pose_of(self._index.image_pose[image])

    def _anchor_channel(self, key: int) -> int:
        if self._config.anchor in self._index.channel:
            return int(np.flatnonzero(self._index.channel == self._config.anchor)[0])
        there = np.flatnonzero(self._key_images[key] >= 0)
        if not len(there):
            raise DataError(f"keyframe {self._index.key_token[key]} has neither lidar nor camera")
        return int(there[0])

    def _history(self, key: int) -> EgoHistory:
        """Keyframe poses up to decision time."""
        first = int(self._index.scene_start[self._scene_of_key[key]])
        past = range(max(first, key - self._config.past_poses + 1), key + 1)
        stamps, poses = zip(*(self._now(k) for k in past), strict=True)
        return EgoHistory.from_poses([pose.planar() for pose in poses], stamp_us=stamps)

    def _images(self, key: int) -> list[Array]:
        """Rows of the images of each camera that took part in this keyframe, oldest first."""
        config, found = self._config, []
        first = int(self._index.scene_start[self._scene_of_key[key]])
        for channel in self._channels:
            newest = int(self._key_images[key, channel])
            if newest < 0:
                continue
            if config.sweeps:
                start = newest
                while start > 0 and self._same_camera(start - 1, newest):
                    start -= 1
                    if newest - start >= config.frames * config.stride:
                        break
                rows = np.arange(start, newest + 1)
            else:
                rows = self._key_images[first : key + 1, channel]
                rows = rows[rows >= 0]
            found.append(rows[:: -config.stride][: config.frames][::-1])
        return found

    def _same_camera(self, a: int, b: int) -> bool:
        index = self._index
        same_scene = index.image_scene[a] == index.image_scene[b]
        return bool(same_scene and index.image_channel[a] == index.image_channel[b])

    def _keyframe_images(self) -> Array:
        """(K, channels) row of each keyframe's image, -1 where there is none."""
        index = self._index
        table = np.full((len(index.key_token), len(index.channel)), -1)
        keys = np.flatnonzero(index.image_is_key)
        table[index.image_key[keys], index.image_channel[keys]] = keys
        return table

    def _checked_channels(self) -> list[int]:
        there = self._index.channel.tolist()
        wanted = list(self._config.cameras) or there
        unknown = [name for name in wanted if name not in there]
        if unknown:
            raise DataError(f"data.cameras: no camera {unknown[0]}, there are {', '.join(there)}")
        if self._config.t0 is DecisionTime.ANCHOR and self._config.anchor not in there:
            raise DataError(f"data.anchor={self._config.anchor}: there are {', '.join(there)}")
        return [there.index(name) for name in wanted]

    def _chosen_scenes(self, splits: Mapping[str, list[str]]) -> list[int]:
        names = self._index.scene_name.tolist()
        split = self._config.split or ("val" if self._config.version == "v1.0-trainval" else "")
        chosen = names
        if split:
            here = sorted(s for s, members in splits.items() if set(members) & set(names))
            if split not in splits:
                raise DataError(f"data.split={split} does not exist here: there are {here}")
            chosen = [name for name in names if name in set(splits[split])]
            if not chosen:
                raise DataError(
                    f"no scene of split {split} is in {self._config.version}: there are {here}"
                )
        unknown = [name for name in self._config.scenes if name not in chosen]
        if unknown:
            raise DataError(
                f"data.scenes: {unknown[0]} is not among the {len(chosen)} scenes "
                f"{chosen[0]} ... {chosen[-1]}"
            )
        wanted = set(self._config.scenes or chosen)
        return [i for i, name in enumerate(names) if name in wanted and name in set(chosen)]

    def _row(self, token: str) -> int:
        if token not in self._key_of:
            raise DataError(f"{self.name} has no keyframe {token}")
        return self._key_of[token]

    def _scene_name(self, key: int) -> str:
        return str(self._index.scene_name[self._scene_of_key[key]])
