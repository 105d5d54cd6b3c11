"""A world of one scene and one pair, made by hand, that keeps every rule; and ways to break it.

The ego drives along x through y = 100 at 8 m/s. A car is parked 15 m before and 5 m left of where
it is at t0, another drives 12.4 m before it; a jaywalker stands 20 m before it in side b, and
there the ego brakes by 3 m/s2 from t0 on.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from shapely import box

from drivevlm.world.clip import RouteCommand
from drivevlm.world.pose import Pose2, Pose3
from drivevlm.world.scene_labels import LeadLabel, RelationLabel, SceneLabels, SignalLabel
from drivevlm.world.sets import (
    Command,
    LaneRelation,
    Lateral,
    Longitudinal,
    MetaDecision,
    Provenance,
    Signal,
)
from drivevlm_sim.can_bus import DrivenTrack, write_can_bus
from drivevlm_sim.flat.rig import flat_rig
from drivevlm_sim.keyframes import Annotation, Keyframe, SceneHead, Shot
from drivevlm_sim.labels_file import LABELS_FILE, label_line, label_values, write_labels
from drivevlm_sim.map_layers import MapLayers
from drivevlm_sim.nuscenes_scene import instance_token, sample_token
from drivevlm_sim.nuscenes_writer import NuScenesWriter
from drivevlm_sim.twins.twin_pair import CauseKind, Family
from drivevlm_sim.twins.twins_file import TWINS_FILE, SeenCause, TwinLine, write_twins

SYNTH, TWINS = "v1.0-synth", "v1.0-twins"
A, B = "scene-5001", "scene-5002"
T0_US, STEP_US, KEYFRAME_US = 1_800_000_004_000_000, 100_000, 500_000
T0_X_M, Y_M = 100.0, 100.0
RIG = flat_rig((160, 90))
FRONT = RIG.cameras[0]
PARKED, LEAD, WALKER = "parked", "lead", "walker"
LEAD_AHEAD_M, WALKER_X_M = 18.0, 120.0
LEAD_GAP_M = 12.2
PAIR = "tiny/jaywalker/1"
Row = dict[str, Any]


def make(root: Path) -> Path:
    """Both versions under ``root``, which is given back."""
    with NuScenesWriter(root, version=SYNTH, about="by hand") as writer:
        road = box(10.0, 90.0, 400.0, 110.0)
        writer.add_map(MapLayers("boston-seaport", (500.0, 200.0), drivable_area=(road,)))
        lines = _scene(writer, SYNTH, "scene-2001", walker=False)
        write_labels(writer.beside_tables(LABELS_FILE), lines)
        writer.finish({"train": ("scene-2001",)})
    with NuScenesWriter(root, version=TWINS, about="by hand") as writer:
        lines = _scene(writer, TWINS, A, walker=False) + _scene(writer, TWINS, B, walker=True)
        write_labels(writer.beside_tables(LABELS_FILE), lines)
        write_twins(writer.beside_tables(TWINS_FILE), [_line()])
        writer.finish({"train": (A, B)})
    for name, walker in ((A, False), (B, True)):
        write_can_bus(root, name, _track(walker=walker), ("pose",))
    (root / "recipe.json").write_text('{"choice": "events"}')
    return root


def _x_m(after_s: float, *, walker: bool) -> float:
    if after_s <= 0 or not walker:
        return T0_X_M + 8.0 * after_s
    braked_s = min(after_s, 8.0 / 3.0)
    return T0_X_M + 8.0 * braked_s - 1.5 * braked_s**2


def _scene(writer: NuScenesWriter, version: str, name: str, *, walker: bool) -> list[str]:
    head = SceneHead(
        name, "Synthetic, day, tiny-1: by hand", "boston-seaport", "synth", "2027-01-15"
    )
    writer.add_scene(head, RIG, [_keyframe(k, walker=walker) for k in range(-6, 7)])
    values = label_values(_labels())
    return [
        label_line(
            values,
            sample=sample_token(version, name, T0_US + k * KEYFRAME_US),
            token_of=lambda track: instance_token(version, name, track),
        )
        for k in range(-6, 7)
    ]


def _keyframe(k: int, *, walker: bool) -> Keyframe:
    stamp_us = T0_US + k * KEYFRAME_US
    ego = Pose3.from_pose2(Pose2(_x_m(k / 2, walker=walker), Y_M, 0.0))
    lead_x_m = float(ego.translation_m[0]) + LEAD_AHEAD_M
    boxes = [
        _box(PARKED, "vehicle.car", "vehicle.parked", (T0_X_M + 15.0, Y_M + 5.0, 0.75)),
        _box(LEAD, "vehicle.car", "vehicle.moving", (lead_x_m, Y_M, 0.75)),
    ]
    if walker:
        place_m = (WALKER_X_M, Y_M, 0.9)
        boxes.append(_box(WALKER, "human.pedestrian.adult", "pedestrian.standing", place_m))
    pictured = -2 <= k <= 0
    if not pictured:
        boxes = [Annotation(**{**_fields(one), "lidar_points": 3}) for one in boxes]
    shots = tuple(
        Shot(c.name, stamp_us, ego, picture(k, ego, c.name, walker=walker) if pictured else None)
        for c in RIG.cameras
    )
    return Keyframe(stamp_us, ego, shots, tuple(boxes), _cloud(ego, boxes) if pictured else None)


def _fields(annotation: Annotation) -> Row:
    return {name: getattr(annotation, name) for name in annotation.__slots__}


def _box(name: str, kind: str, does: str, xyz_m: tuple[float, float, float]) -> Annotation:
    size_m = (0.6, 0.6, 1.8) if kind.startswith("human") else (4.5, 1.9, 1.5)
    return Annotation(name, kind, does, xyz_m, size_m, 0.0, 4)


def _cloud(ego: Pose3, boxes: list[Annotation]) -> np.ndarray:
    """Three points in every box."""
    xyz = [one.center_global_m for one in boxes for _ in range(3)]
    lidar_from_global = (ego @ RIG.ego_from_lidar).inverse()
    points = lidar_from_global.apply(np.array(xyz))
    return np.column_stack([points, np.zeros((len(points), 2))]).astype(np.float32)


def picture(
    k: int, ego: Pose3, camera: str, *, walker: bool, seed: int = 0, aside_px: int = 0
) -> bytes:
    """Noise that both sides share; in front, a dark patch where the walker is."""
    rng = np.random.default_rng([seed, k + 100, sum(camera.encode())])
    pixels = rng.integers(90, 160, (90, 160, 3)).astype(np.uint8)
    if walker and camera == FRONT.name:
        assert FRONT.ego_from_camera is not None
        there = (ego @ FRONT.ego_from_camera).inverse().apply(np.array([[WALKER_X_M, Y_M, 0.9]]))
        u, v = np.round(FRONT.project(there)[0][0]).astype(int)
        pixels[v - 4 : v + 4, u + aside_px - 2 : u + aside_px + 2] = 0
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=95)
    return out.getvalue()


def _labels() -> SceneLabels:
    return SceneLabels(
        signal=SignalLabel(Signal.NONE, None, visible=False),
        lead=LeadLabel(LEAD, LEAD_GAP_M, visible=True),
        meta=MetaDecision(Longitudinal.FOLLOW_LEAD, Lateral.KEEP_LANE),
        tested=(),
        relations=(
            RelationLabel(LEAD, LaneRelation.EGO_LANE, LEAD_GAP_M, None, visible=True),
            RelationLabel(PARKED, LaneRelation.OFF_ROAD, 30.0, None, visible=True),
        ),
        summary="",
        route=RouteCommand(Command.FOLLOW, Provenance.ROUTE),
        sentences=("A car drives 12 m ahead of me.", "I follow it."),
        paraphrases=0,
    )


def _track(*, walker: bool) -> DrivenTrack:
    steps = np.arange(-40, 41)
    x_m = np.array([_x_m(k / 10, walker=walker) for k in steps])
    braking = np.array([-3.0 if walker and 0 < k <= 26 else 0.0 for k in steps])
    return DrivenTrack(
        stamps_us=T0_US + STEP_US * steps.astype(np.int64),
        xy_global_m=np.column_stack([x_m, np.full(len(steps), Y_M)]),
        yaw_global_rad=np.zeros(len(steps)),
        speed_mps=np.gradient(x_m, 0.1)
        if not walker
        else np.maximum(8 + np.cumsum(braking) / 10, 0),
        acceleration_mps2=braking,
        lamps=np.zeros(len(steps), dtype=np.uint8),
        route_global_m=np.array([[0.0, Y_M], [200.0, Y_M]]),
        seed=5,
    )


def _line() -> TwinLine:
    cause = SeenCause(
        CauseKind.PEDESTRIAN,
        FRONT.name,
        pixels=32,
        distance_m=20.0,
        instance=instance_token(TWINS, B, WALKER),
        there_s=4.0,
    )
    return TwinLine(
        pair=PAIR,
        family=Family.JAYWALKER,
        town="tiny-1",
        samples=(sample_token(TWINS, A, T0_US), sample_token(TWINS, B, T0_US)),
        t0_us=T0_US,
        cause=cause,
        gap_3s_m=_x_m(3.0, walker=False) - _x_m(3.0, walker=True),
    )


# Ways to break it. A keyframe is named by its scene and its number from t0.


def sample_of(name: str, k: int) -> str:
    return sample_token(TWINS if name in (A, B) else SYNTH, name, T0_US + k * KEYFRAME_US)


def changed(root: Path, version: str, table: str, change: Callable[[list[Row]], None]) -> None:
    """Change rows of a table on disk."""
    path = root / version / f"{table}.json"
    rows = json.loads(path.read_text())
    change(rows)
    path.write_text(json.dumps(rows))


def moved_ego(root: Path, name: str, x_m: Callable[[int, float], float]) -> None:
    """Put the ego of a scene elsewhere: ``x_m`` of the number from t0 and of the old place."""

    def change(rows: list[Row]) -> None:
        folder = TWINS if name in (A, B) else SYNTH
        shots = json.loads((root / folder / "sample_data.json").read_text())
        number = {sample_of(name, k): k for k in range(-6, 7)}
        of_pose = {r["ego_pose_token"]: number.get(r["sample_token"]) for r in shots}
        for row in rows:
            k = of_pose[row["token"]]
            if k is not None:
                row["translation"][0] = x_m(k, row["translation"][0])

    changed(root, TWINS if name in (A, B) else SYNTH, "ego_pose", change)


def changed_boxes(root: Path, name: str, track: str, change: Callable[[int, Row], None]) -> None:
    """Change the boxes of a road user: by number from t0."""
    version = TWINS if name in (A, B) else SYNTH
    number = {sample_of(name, k): k for k in range(-6, 7)}

    def apply(rows: list[Row]) -> None:
        for row in rows:
            if row["instance_token"] == instance_token(version, name, track):
                change(number[row["sample_token"]], row)

    changed(root, version, "sample_annotation", apply)


def changed_lines(path: Path, change: Callable[[Row], None], only: str = "") -> None:
    """Change objects of a file of JSON lines, those alone that speak of a sample."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        if not only or row["sample"] == only:
            change(row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def picture_path(root: Path, name: str, k: int, camera: str = FRONT.name) -> Path:
    stamp_us = T0_US + k * KEYFRAME_US
    file = f"synth-2027-01-15-{name}__{camera}__{stamp_us}.jpg"
    return root / "samples" / camera / file
