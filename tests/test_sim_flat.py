"""The flat world shows what its tables say, and moves as bodies do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shapely import Polygon

from drivevlm.world.boxes import footprint_m
from drivevlm.world.pose import Pose2, Pose3
from drivevlm_sim.curve import Curve
from drivevlm_sim.flat import FlatConfig, make_flat, shapes
from drivevlm_sim.flat.canvas import SCENERY
from drivevlm_sim.flat.make import Studio, stage_of
from drivevlm_sim.flat.motion import Leader, following, scheduled
from drivevlm_sim.flat.painter import Faces, GroundPaint, Painter
from drivevlm_sim.flat.rig import flat_rig
from drivevlm_sim.flat.scenes import EGO_FRONT_M, SCENES, Stage, stage
from drivevlm_sim.flat.town import flat_town

nuscenes = pytest.importorskip("nuscenes.nuscenes")

CONFIG = FlatConfig(scenes=("turn_right", "lead_stops"), keyframes=3, size_px=(320, 180), seed=3)
EGO_LENGTH_M, EGO_WIDTH_M, EGO_CENTER_M = 4.084, 1.85, 1.486
UNTIL_S = 8.0


@pytest.fixture(scope="module")
def town():
    return flat_town(CONFIG.seed)


@pytest.fixture(scope="module")
def devkit(tmp_path_factory: pytest.TempPathFactory):
    root = make_flat(tmp_path_factory.mktemp("worlds") / "flat", config=CONFIG)
    return nuscenes.NuScenes(version="v1.0-flat", dataroot=str(root), verbose=False)


def play(town, name: str, seed: int = 0) -> Stage:
    return stage(name, town, seed=(seed, 0), until_s=UNTIL_S)


def test_boxes_project_where_they_were_painted(devkit, town):
    rig = flat_rig(CONFIG.size_px)
    studio = Studio(town, rig, jpeg_quality=CONFIG.jpeg_quality)
    checked = set()
    for k, scene in enumerate(devkit.scene):
        scene_play = stage_of(CONFIG, town, k)
        names = [actor.name for actor in scene_play.actors]
        sample = devkit.get("sample", scene["first_sample_token"])
        still = {
            token: names.index(name)
            for token, name in annotated(devkit, sample, scene_play)
            if scene_play.actors[names.index(name)].motion.at(0.0).speed_mps == 0
        }
        for camera in rig.cameras:
            row = devkit.get("sample_data", sample["data"][camera.name])
            time_s = (row["timestamp"] - sample["timestamp"]) / 1e6
            painting = studio.paint(scene_play, camera.name, time_s)
            _, boxes, intrinsics = devkit.get_sample_data(row["token"])
            for box in boxes:
                clear = devkit.get("sample_annotation", box.token)["visibility_token"] == "4"
                if box.token in still and clear:
                    uv = intrinsics @ box.center / box.center[2]
                    u, v = np.round(uv[:2]).astype(int)
                    if 0 <= u < CONFIG.size_px[0] and 0 <= v < CONFIG.size_px[1]:
                        assert painting.owner[v, u] == still[box.token], (camera.name, box)
                        checked.add(box.token)
    assert len(checked) >= 5


def annotated(devkit, sample, scene_play: Stage) -> list[tuple[str, str]]:
    """(annotation token, actor name) by position."""
    found = []
    for token in sample["anns"]:
        x, y, _ = devkit.get("sample_annotation", token)["translation"]
        for actor in scene_play.actors:
            pose = actor.motion.pose_at(0.0)
            if np.hypot(pose.x_m - x, pose.y_m - y) < 1e-6:
                found.append((token, actor.name))
    return found


def test_the_jpeg_shows_the_painting(devkit, town):
    rig = flat_rig(CONFIG.size_px)
    studio = Studio(town, rig, jpeg_quality=CONFIG.jpeg_quality)
    sample = devkit.get("sample", devkit.scene[0]["first_sample_token"])
    row = devkit.get("sample_data", sample["data"]["CAM_FRONT"])
    time_s = (row["timestamp"] - sample["timestamp"]) / 1e6
    painting = studio.paint(stage_of(CONFIG, town, 0), "CAM_FRONT", time_s)
    from PIL import Image

    shown = np.asarray(Image.open(Path(devkit.dataroot) / row["filename"]))
    assert np.abs(shown.astype(int) - painting.rgb).mean() < 3


def two_cars(*, far_side_m: float, order: tuple[int, int]) -> tuple[np.ndarray, dict[int, int]]:
    """A near truck 12 m ahead and a car 25 m ahead, seen by the front camera."""
    near = shapes.truck((7.6, 2.5, 3.2), (200, 30, 30), braking=False), Pose2(16.0, 0.0, 0.0)
    far = shapes.car((4.6, 1.9, 1.6), (30, 30, 200), braking=False), Pose2(32.0, far_side_m, 0.0)
    parts = []
    for k in order:
        shape, pose = (near, far)[k]
        corners, normals = shape.placed_m(pose)
        owner = np.full(len(corners), k)
        parts.append(Faces(corners, normals, shape.colours, shape.detail, owner))
    painter = Painter(flat_rig((448, 252)).cameras[0])
    ground = (GroundPaint((70, 70, 70), (np.array([[0.0, -5], [80, -5], [80, 5], [0, 5]]),)),)
    painting = painter.paint(Pose3.identity(), ground, Faces.joined(parts))
    return painting.owner, painting.alone_px


def test_a_nearer_body_hides_a_farther_one_in_any_order_of_painting():
    owner, alone = two_cars(far_side_m=0.0, order=(0, 1))
    assert (owner == 0).sum() > 1000
    assert (owner == 1).sum() == 0
    assert alone[1] > 100
    again, _ = two_cars(far_side_m=0.0, order=(1, 0))
    np.testing.assert_array_equal(owner, again)


def test_a_body_beside_another_is_seen_in_full_and_one_half_behind_it_in_half():
    owner, alone = two_cars(far_side_m=6.0, order=(0, 1))
    assert (owner == 1).sum() == alone[1]
    owner, alone = two_cars(far_side_m=3.3, order=(0, 1))
    assert 0.2 < (owner == 1).sum() / alone[1] < 0.8


def test_left_is_left_and_behind_is_behind():
    rig = {camera.name: camera for camera in flat_rig((448, 252)).cameras}
    pose = Pose2(0.0, 0.0, 0.0)
    seen_by = {}
    places = {"ahead": (20, 0), "left": (3, 15), "right": (3, -15), "behind": (-20, 0)}
    for where, (x, y) in places.items():
        shape = shapes.pedestrian((0.7, 0.7, 1.8), (200, 0, 0))
        corners, normals = shape.placed_m(Pose2(x, y, 0.0))
        owner = np.zeros(len(corners), dtype=np.int64)
        faces = Faces(corners, normals, shape.colours, shape.detail, owner)
        ground = (GroundPaint((0, 0, 0), (np.array([[0.0, 0], [1, 0], [1, 1]]),)),)
        for name, camera in rig.items():
            painting = Painter(camera).paint(Pose3.from_pose2(pose), ground, faces)
            if (painting.owner == 0).any():
                seen_by.setdefault(where, set()).add(name)
    assert seen_by["ahead"] == {"CAM_FRONT"}
    assert seen_by["behind"] == {"CAM_BACK"}
    assert seen_by["left"] == {"CAM_FRONT_LEFT", "CAM_BACK_LEFT"}
    assert seen_by["right"] == {"CAM_FRONT_RIGHT", "CAM_BACK_RIGHT"}


def test_the_sky_is_above_the_horizon_and_the_ground_below():
    painter = Painter(flat_rig((448, 252)).cameras[0])
    nothing = Faces(
        np.zeros((1, 4, 3)),
        np.zeros((1, 3)),
        np.zeros((1, 3)),
        np.zeros(1, bool),
        np.array([SCENERY]),
    )
    ground = (GroundPaint((70, 70, 70), (np.array([[0.0, -50], [80, -50], [80, 50], [0, 50]]),)),)
    rgb = painter.paint(Pose3.identity(), ground, nothing).rgb.astype(int)
    horizon = int(0.54 * 252)
    assert (rgb[0, :, 2] > rgb[0, :, 0] + 50).all()  # blue
    assert (np.ptp(rgb[-1], axis=1) < 12).all()  # grey road
    assert rgb[horizon - 8].mean() > 190  # haze


def test_lidar_counts_are_those_of_the_devkit(devkit):
    classes = pytest.importorskip("nuscenes.utils.data_classes")
    geometry = pytest.importorskip("nuscenes.utils.geometry_utils")
    hit = 0
    for sample in devkit.sample:
        path, boxes, _ = devkit.get_sample_data(sample["data"]["LIDAR_TOP"])
        points = classes.LidarPointCloud.from_file(path).points[:3]
        for box in boxes:
            expected = devkit.get("sample_annotation", box.token)["num_lidar_pts"]
            assert geometry.points_in_box(box, points).sum() == expected
            hit += expected > 0
    assert hit > 30


def test_hidden_objects_have_few_points_and_low_visibility(devkit):
    rows = devkit.sample_annotation
    seen = {
        level: [r["num_lidar_pts"] for r in rows if r["visibility_token"] == level]
        for level in "14"
    }
    assert seen["1"]
    assert seen["4"]
    assert np.mean(seen["1"]) < np.mean(seen["4"])


def footprint(pose: Pose2, length: float, width: float) -> Polygon:
    corners = footprint_m(np.array([length]), np.array([width]))[0]
    return Polygon(pose.apply(corners))


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("seed", range(3))
def test_bodies_never_overlap(town, name, seed):
    scene = play(town, name, seed)
    for time_s in np.arange(0.0, UNTIL_S, 0.5):
        ego = scene.ego.pose_at(time_s) @ Pose2(EGO_CENTER_M, 0.0, 0.0)
        bodies = {"ego": footprint(ego, EGO_LENGTH_M, EGO_WIDTH_M)}
        for actor in scene.actors:
            length, width, _ = actor.size_lwh_m
            bodies[actor.name] = footprint(actor.motion.pose_at(time_s), length, width)
        names = list(bodies)
        for k, first in enumerate(names):
            for second in names[k + 1 :]:
                assert not bodies[first].intersects(bodies[second]), (first, second, time_s)


@pytest.mark.parametrize("seed", range(3))
def test_the_ego_stops_behind_its_lead(town, seed):
    scene = play(town, "lead_stops", seed)
    lead = next(actor for actor in scene.actors if actor.name == "lead")
    start, end = scene.ego.at(0.0), scene.ego.at(UNTIL_S - 0.5)
    assert start.speed_mps > 7
    assert end.speed_mps < 0.6
    gap_m = lead.motion.at(UNTIL_S - 0.5).run_m - lead.size_lwh_m[0] / 2 - EGO_FRONT_M - end.run_m
    assert 1.0 < gap_m < 6.0


@pytest.mark.parametrize("seed", range(3))
def test_the_pedestrian_makes_the_ego_brake_and_then_it_goes_on(town, seed):
    scene = play(town, "pedestrian_crosses", seed)
    speeds = [scene.ego.at(t).speed_mps for t in np.arange(0.0, UNTIL_S, 0.1)]
    assert min(speeds) < 0.5 * speeds[0]
    assert speeds[-1] > min(speeds) + 0.3


def test_turns_turn_and_the_straight_one_keeps_its_speed(town):
    for name, sign in (("turn_left", 1), ("turn_right", -1)):
        yaw = play(town, name).ego.pose_at(UNTIL_S - 0.5).yaw_rad
        assert sign * yaw > 1.0, name
    straight = play(town, "straight").ego
    assert straight.at(0.0).speed_mps == straight.at(UNTIL_S).speed_mps > 8


@pytest.mark.parametrize("name", SCENES)
def test_the_ego_moves_as_a_unicycle(town, name):
    """Along its heading, at its speed; comfortably."""
    ego = play(town, name).ego
    for time_s in np.arange(-0.5, UNTIL_S - 0.5, 0.13):
        before, after = ego.pose_at(time_s - 1e-4), ego.pose_at(time_s + 1e-4)
        step = before.inverse() @ after
        assert abs(step.y_m) < 1e-7
        state = ego.at(time_s)
        assert step.x_m / 2e-4 == pytest.approx(state.speed_mps, abs=1e-2)
        assert abs(step.yaw_rad / 2e-4 * state.speed_mps) < 3.5  # lateral acceleration
        assert -5 < state.acceleration_mps2 < 2


def test_motion_is_causal():
    """What the lead does after 3 s changes nothing before it."""
    curve = Curve.of(Pose2(0.0, 0.0, 0.0), (300.0, 0.0))
    tracks = []
    for brake in (0.0, -4.0):
        lead = scheduled(curve, run_m=30.0, speed_mps=8.0, changes=((3.0, brake),))
        ego = following(
            curve,
            run_m=0.0,
            speed_mps=8.0,
            cruise_mps=9.0,
            front_m=3.5,
            hazards=(Leader(lead, 4.6),),
            until_s=8.0,
        )
        tracks.append([ego.at(t).run_m for t in np.arange(-1.0, 8.0, 0.1)])
    same, braked = np.array(tracks)
    assert (same[:41] == braked[:41]).all()
    assert same[-1] - braked[-1] > 5


def test_seeds_and_copies_vary_the_scenes(town):
    one, other = (play(town, "straight", seed).ego.at(0.0) for seed in (0, 1))
    assert one != other
    config = replace(CONFIG, copies=2)
    first, copy = (stage_of(config, town, k).ego.at(0.0) for k in (0, 2))
    assert first != copy


def test_unknown_scenes_are_named_in_the_error():
    with pytest.raises(ValueError, match="straight"):
        FlatConfig(scenes=("loop",))
