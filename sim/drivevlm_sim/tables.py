"""Large nuScenes tables without sensor files, for benchmarks: real in size, not in content."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from shapely import LineString

from drivevlm.world.boxes import TYPICAL_SIZE_LWH_M
from drivevlm.world.pose import Floats, Pose2, Pose3
from drivevlm_sim.curve import Curve
from drivevlm_sim.flat.motion import START_S, Motion, scheduled
from drivevlm_sim.flat.rig import FIRES_BEFORE_US, flat_rig
from drivevlm_sim.keyframes import Annotation, Keyframe, SceneHead, Shot
from drivevlm_sim.made_once import made_once
from drivevlm_sim.map_layers import Lane, MapLayers, RoadSegment
from drivevlm_sim.nuscenes_names import LOCATIONS
from drivevlm_sim.nuscenes_writer import NuScenesWriter

# N: objects of a scene.
KEYFRAME_US = 500_000
FIRST_STAMP_US = 1_700_000_000_000_000
SCENE_APART_US = 60_000_000
ROADS = 12
"""Roads that the scenes share, three on each map."""
CELL_M = (460.0, 280.0)
ROAD_HALF_M = 14.0
NEAREST_LEFT_M, FARTHEST_LEFT_M = 3.2, 12.0
"""Objects keep to the side of the ego's path."""
ABOUT = (
    "Synthetic tables by drivevlm_sim.tables: real in size, for benchmarks. There are no sensor "
    "files, and lidar point counts and visibilities are drawn, not measured."
)

KINDS = {
    "vehicle.car": ("car", "vehicle.moving", 0.5),
    "human.pedestrian.adult": ("pedestrian", "pedestrian.moving", 0.25),
    "vehicle.truck": ("truck", "vehicle.moving", 0.08),
    "vehicle.bicycle": ("bicycle", "cycle.with_rider", 0.05),
    "movable_object.trafficcone": ("traffic_cone", "", 0.06),
    "movable_object.barrier": ("barrier", "", 0.06),
}
"""By nuScenes category: the detection class that tells its size, attribute, share."""


@dataclass(frozen=True, slots=True)
class TablesConfig:
    """What to make; the defaults have the size of the nuScenes validation split.

    Attributes:
        scenes: How many.
        samples: Keyframes of all scenes together; the first scenes have one more than the rest.
        boxes: Annotations of a keyframe.
        seed: Of everything that varies.
        version: Name of the version folder.
    """

    scenes: int = 150
    samples: int = 6019
    boxes: int = 30
    seed: int = 0
    version: str = "v1.0-tables"

    def __post_init__(self) -> None:
        if not 1 <= self.scenes <= min(self.samples, 8000) or self.boxes < 0:
            raise ValueError(
                "expected 1 to 8000 scenes, a sample in each and no negative count of boxes, got "
                f"{self.scenes} scenes, {self.samples} samples, {self.boxes} boxes"
            )


def make_tables(out: Path, *, config: TablesConfig | None = None) -> Path:
    """The data root with such tables, made unless they are there already.

    Raises:
        WorldError: ``out`` holds something else, or cannot be written.
    """
    chosen = config or TablesConfig()
    recipe = {"world": "tables", "edition": 1, **asdict(chosen)}
    return made_once(out, recipe, lambda root: _write(root, chosen))


def _write(root: Path, config: TablesConfig) -> None:
    with NuScenesWriter(root, version=config.version, about=ABOUT) as writer:
        _write_scenes(writer, config)


def _write_scenes(writer: NuScenesWriter, config: TablesConfig) -> None:
    rng = np.random.default_rng([config.seed, 0])
    roads = [_road(k, rng) for k in range(ROADS)]
    for k, location in enumerate(LOCATIONS):
        writer.add_map(_map(location, [road for j, road in enumerate(roads) if j % 4 == k]))
    rig = flat_rig((1600, 900))
    names = []
    for k in range(config.scenes):
        count = config.samples // config.scenes + (k < config.samples % config.scenes)
        head = SceneHead(
            name=f"scene-{2000 + k}",
            description="Synthetic tables for benchmarks",
            location=LOCATIONS[k % ROADS % 4],
            vehicle="tables",
            date="2023-11-14",
        )
        rng = np.random.default_rng([config.seed, 1, k])
        first_us = FIRST_STAMP_US + k * SCENE_APART_US
        frames = _keyframes(roads[k % ROADS], rng, first_us=first_us, count=count, config=config)
        writer.add_scene(head, rig, frames)
        names.append(head.name)
    writer.finish({"tables": tuple(names)})


def _road(k: int, rng: np.random.Generator) -> Curve:
    """An S through its own cell of its map."""
    bend = float(rng.choice([-1, 1]) / rng.uniform(25, 60))
    start = Pose2(20.0, (k // 4 + 0.5) * CELL_M[1], 0.0)
    return Curve.of(start, (110.0, 0.0), (35.0, bend), (50.0, 0.0), (35.0, -bend), (130.0, 0.0))


def _map(location: str, roads: list[Curve]) -> MapLayers:
    areas = [LineString(road.line_m()).buffer(ROAD_HALF_M, cap_style="flat") for road in roads]
    return MapLayers(
        location=location,
        size_m=(CELL_M[0], CELL_M[1] * max(1, len(roads))),
        drivable_area=tuple(areas),
        road_segments=tuple(RoadSegment(area, is_intersection=False) for area in areas),
        lanes=tuple(Lane(f"lane {k}", road, 3.5) for k, road in enumerate(roads)),
    )


def _keyframes(
    road: Curve, rng: np.random.Generator, *, first_us: int, count: int, config: TablesConfig
) -> Iterator[Keyframe]:
    ego = _ego(road, rng, until_s=count * KEYFRAME_US / 1e6)
    objects = _Objects(road, ego, rng, count=config.boxes)
    for k in range(count):
        stamp_us = first_us + k * KEYFRAME_US
        shots = []
        for camera, before_us in FIRES_BEFORE_US.items():
            time_s = (stamp_us - before_us - first_us) / 1e6
            pose = Pose3.from_pose2(ego.pose_at(time_s))
            shots.append(Shot(camera, stamp_us - before_us, pose, jpeg=None))
        time_s = (stamp_us - first_us) / 1e6
        now = Pose3.from_pose2(ego.pose_at(time_s))
        yield Keyframe(stamp_us, now, tuple(shots), objects.at(time_s, rng), cloud=None)


def _ego(road: Curve, rng: np.random.Generator, *, until_s: float) -> Motion:
    """Speeds up and slows down at random."""
    times = np.arange(START_S, until_s, 2.0)
    changes = [(float(time_s), float(rng.normal(0, 0.8))) for time_s in times]
    start_m, speed = float(rng.uniform(10, 120)), float(rng.uniform(4, 11))
    return scheduled(road, run_m=start_m, speed_mps=speed, changes=changes)


@lru_cache(maxsize=ROADS)
def _sampled(road: Curve) -> Floats:
    """(N, 4) run, x, y, yaw along a road and 300 m beyond both ends."""
    runs_m = np.arange(-300.0, road.length_m + 300.0, 0.5)
    poses = [road.pose_at(float(run_m)) for run_m in runs_m]
    xy_yaw = [(pose.x_m, pose.y_m, pose.yaw_rad) for pose in poses]
    return np.column_stack([runs_m, np.array(xy_yaw)])


class _Objects:
    """Objects that go along the road, beside the ego's path; all at once, for speed."""

    def __init__(self, road: Curve, ego: Motion, rng: np.random.Generator, *, count: int) -> None:
        shares = np.array([share for _, _, share in KINDS.values()])
        kinds = list(KINDS)
        self._kinds = [kinds[k] for k in rng.choice(len(kinds), count, p=shares / shares.sum())]
        self._sizes = [TYPICAL_SIZE_LWH_M[KINDS[kind][0]] for kind in self._kinds]
        self._left_m = rng.uniform(NEAREST_LEFT_M, FARTHEST_LEFT_M, count)
        self._left_m *= rng.choice([-1, 1], count)
        fast = np.array([kind.startswith("vehicle") for kind in self._kinds])
        still = np.array([kind.startswith("movable") for kind in self._kinds])
        speed = np.where(fast, rng.uniform(3, 10, count), 1.3) * ~still
        self._oncoming = self._left_m > 0
        self._speed_mps = np.where(self._oncoming, -speed, speed)
        self._run_m = ego.at(0.0).run_m + rng.uniform(-45, 95, count)
        self._line = _sampled(road)

    def at(self, time_s: float, rng: np.random.Generator) -> tuple[Annotation, ...]:
        """All boxes at a time, with drawn visibilities and point counts."""
        run_m = self._run_m + self._speed_mps * time_s
        runs_m, *columns = self._line.T
        x_m, y_m, yaw = (np.interp(run_m, runs_m, column) for column in columns)
        x_m, y_m = x_m - np.sin(yaw) * self._left_m, y_m + np.cos(yaw) * self._left_m
        yaw = yaw + np.where(self._oncoming, np.pi, 0.0)
        points = rng.poisson(rng.exponential(20.0, len(yaw)))
        seen = rng.integers(1, 5, len(yaw))
        numbers: Floats = np.column_stack([x_m, y_m, yaw])
        return tuple(
            Annotation(
                instance=f"object {k}",
                category=kind,
                attribute=KINDS[kind][1],
                center_global_m=(float(row[0]), float(row[1]), size[2] / 2),
                size_lwh_m=size,
                yaw_global_rad=float(row[2]),
                visibility=int(level),
                lidar_points=int(hits),
            )
            for k, (kind, size, row, level, hits) in enumerate(
                zip(self._kinds, self._sizes, numbers, seen, points, strict=True)
            )
        )
