"""The unmodified devkit loads what the writer writes, and finds in it what was meant."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shapely import Point, Polygon

from drivevlm.world.pose import Pose2, Pose3, rotation_from_wxyz
from drivevlm_sim.curve import Curve
from drivevlm_sim.flat import FlatConfig, make_flat
from drivevlm_sim.flat.make import ABOUT
from drivevlm_sim.flat.rig import flat_rig
from drivevlm_sim.keyframes import Annotation, Keyframe, SceneHead, Shot
from drivevlm_sim.made_once import WorldError
from drivevlm_sim.map_layers import MapLayers
from drivevlm_sim.nuscenes_map import arcline_path, rounded
from drivevlm_sim.nuscenes_names import CATEGORIES, LOCATIONS, MAP_MASKS
from drivevlm_sim.nuscenes_scene import wxyz_from_rotation
from drivevlm_sim.nuscenes_writer import NuScenesWriter

nuscenes = pytest.importorskip("nuscenes.nuscenes")
arclines = pytest.importorskip("nuscenes.map_expansion.arcline_path_utils")
map_api = pytest.importorskip("nuscenes.map_expansion.map_api")

CONFIG = FlatConfig(scenes=("straight", "turn_left"), keyframes=3, size_px=(160, 90))
TINY = FlatConfig(scenes=("straight",), keyframes=1, size_px=(64, 36))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_flat(tmp_path_factory.mktemp("worlds") / "flat", config=CONFIG)


@pytest.fixture(scope="module")
def devkit(root: Path):
    return nuscenes.NuScenes(version="v1.0-flat", dataroot=str(root), verbose=False)


def test_the_devkit_finds_every_scene_sample_and_sensor_file(devkit):
    assert [scene["name"] for scene in devkit.scene] == ["scene-2001", "scene-2002"]
    assert len(devkit.sample) == 2 * 3
    for sample in devkit.sample:
        assert len(sample["data"]) == 7
        for channel, sweep in sample["data"].items():
            path, boxes, _ = devkit.get_sample_data(sweep)
            assert Path(path).is_file(), channel
            row = devkit.get("sample_data", sweep)
            pose = devkit.get("ego_pose", row["ego_pose_token"])
            assert pose["timestamp"] == row["timestamp"]
            assert 0 <= sample["timestamp"] - row["timestamp"] < 50_000
            if channel == "LIDAR_TOP":
                assert row["timestamp"] == sample["timestamp"]
                assert len(boxes) == len(sample["anns"]) > 0
            else:
                assert Image.open(path).size == (row["width"], row["height"]) == (160, 90)


def test_links_lead_from_the_first_row_to_the_last_and_back(devkit):
    for scene in devkit.scene:
        token, seen = scene["first_sample_token"], []
        while token:
            seen.append(token)
            token = devkit.get("sample", token)["next"]
        assert seen[-1] == scene["last_sample_token"]
        assert len(seen) == scene["nbr_samples"]
    for instance in devkit.instance:
        token, count = instance["first_annotation_token"], 0
        while token:
            row = devkit.get("sample_annotation", token)
            assert row["instance_token"] == instance["token"]
            token, count = row["next"], count + 1
        assert count == instance["nbr_annotations"]


def test_the_closed_tables_are_those_of_nuscenes(devkit):
    assert [row["name"] for row in devkit.category] == list(CATEGORIES)
    assert len(CATEGORIES) == 23
    assert [row["token"] for row in devkit.visibility] == ["1", "2", "3", "4"]
    assert {row["token"] for row in devkit.map} == set(MAP_MASKS.values())
    assert all(len(row["attribute_tokens"]) <= 1 for row in devkit.sample_annotation)


def test_custom_splits_name_the_scenes(devkit):
    splits = pytest.importorskip("nuscenes.utils.splits")
    assert splits.get_scenes_of_split("flat", devkit) == ["scene-2001", "scene-2002"]


@pytest.mark.parametrize("location", LOCATIONS)
def test_all_four_maps_load_with_valid_polygons_only(root, location):
    one = map_api.NuScenesMap(dataroot=str(root), map_name=location)
    assert all(one.extract_polygon(row["token"]).is_valid for row in one.polygon)
    one.layers_on_point(10.0, 10.0)


def test_a_lane_leads_to_the_junction_and_its_centre_lies_in_it(root):
    one = map_api.NuScenesMap(dataroot=str(root), map_name="boston-seaport")
    assert one.lane
    assert one.lane_connector
    for lane in one.lane:
        path = one.get_arcline_path(lane["token"])
        xs = np.array(arclines.discretize_lane(path, 5.0))
        polygon = one.extract_polygon(lane["polygon_token"])
        assert all(polygon.buffer(1e-6).contains(Point(x, y)) for x, y, _ in xs)
    following = one.get_next_roads(150.0, 180.0 - 1.75)
    segments = [one.get("road_segment", token) for token in following["road_segment"]]
    assert [segment["is_intersection"] for segment in segments] == [True]
    token = one.get_closest_lane(150.0, 178.25, radius=3)
    assert len(one.get_outgoing_lane_ids(token)) == 2


def test_the_ego_drives_on_drivable_area_and_on_the_mask(devkit, root):
    one = map_api.NuScenesMap(dataroot=str(root), map_name="boston-seaport")
    log = devkit.get("log", devkit.scene[0]["log_token"])
    mask = devkit.get("map", log["map_token"])["mask"]
    for row in devkit.ego_pose:
        x, y, _ = row["translation"]
        assert one.record_on_point(x, y, "drivable_area")
        assert one.record_on_point(x, y, "road_segment")
        assert mask.is_on_mask(x, y)
    assert not mask.is_on_mask(150.0, 100.0)


def test_arclines_hold_a_curve_exactly():
    curve = Curve.of(Pose2(5.0, 3.0, 0.4), (10.0, 0.0), (8.0, -0.1), (6.0, 0.05))
    points = arclines.discretize_lane(arcline_path(curve), 0.5)
    ends = np.array([points[0], points[-1]])
    expected = [(p.x_m, p.y_m, p.yaw_rad) for p in (curve.arcs[0].start, curve.end)]
    np.testing.assert_allclose(ends, expected, atol=1e-3)
    on_curve = np.array([(p.x_m, p.y_m) for p in map(curve.pose_at, np.arange(0, 24, 0.05))])
    distance = np.linalg.norm(np.array(points)[:, None, :2] - on_curve, axis=-1).min(axis=1)
    assert distance.max() < 0.06


def test_the_same_config_gives_the_same_bytes(tmp_path):
    first = make_flat(tmp_path / "a", config=TINY)
    second = make_flat(tmp_path / "b", config=TINY)
    assert tree_digest(first) == tree_digest(second)


def test_a_finished_world_is_not_made_again_and_no_other_one_takes_its_place(tmp_path):
    out = make_flat(tmp_path / "flat", config=TINY)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert make_flat(out, config=TINY, progress=lambda *_: pytest.fail("made again")) == out
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    with pytest.raises(WorldError, match="another folder"):
        make_flat(out, config=FlatConfig(keyframes=2))


def test_an_interrupted_world_leaves_nothing_that_looks_finished(tmp_path):
    def interrupt(done: int, wanted: int) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "flat"
    with pytest.raises(KeyboardInterrupt):
        make_flat(out, config=TINY, progress=interrupt)
    assert not out.exists()
    (tmp_path / ".flat.unfinished" / "v1.0-flat").mkdir(parents=True)  # as SIGKILL would leave it
    assert (make_flat(out, config=TINY) / "v1.0-flat" / "scene.json").is_file()
    assert not list(tmp_path.glob(".*.unfinished"))


def test_a_version_appears_only_when_it_is_finished(tmp_path):
    with NuScenesWriter(tmp_path, version="v1.0-x", about=ABOUT) as writer:
        writer.add_scene(head(), flat_rig((16, 16)), [keyframe()])
        assert not (tmp_path / "v1.0-x").exists()
    assert not (tmp_path / "v1.0-x").exists()
    with NuScenesWriter(tmp_path, version="v1.0-x", about=ABOUT) as writer:
        writer.add_scene(head(), flat_rig((16, 16)), [keyframe()])
        writer.finish({})
    assert (tmp_path / "v1.0-x" / "sample.json").is_file()
    with pytest.raises(FileExistsError, match="already there"):
        NuScenesWriter(tmp_path, version="v1.0-x", about=ABOUT)


def test_keyframes_are_written_as_they_come(tmp_path):
    def frames() -> Iterator[Keyframe]:
        yield keyframe(jpeg=jpeg((16, 16)))
        assert len(list(tmp_path.rglob("*.jpg"))) == 1

    with NuScenesWriter(tmp_path, version="v1.0-x", about=ABOUT) as writer:
        writer.add_scene(head(), flat_rig((16, 16)), frames())


def test_an_image_of_another_size_than_its_camera_is_refused(tmp_path):
    with NuScenesWriter(tmp_path, version="v1.0-x", about=ABOUT) as writer:
        lying = keyframe(jpeg=jpeg((32, 16)))
        with pytest.raises(ValueError, match="expected a JPEG"):
            writer.add_scene(head(), flat_rig((16, 16)), [lying])


def test_a_camera_never_fires_after_its_keyframe():
    late = Shot("CAM_FRONT", 1_000_001, Pose3.identity(), None)
    with pytest.raises(ValueError, match="fires -1 us before"):
        Keyframe(1_000_000, Pose3.identity(), (late,), (), None)


def test_scene_numbers_of_nuscenes_itself_are_refused():
    with pytest.raises(ValueError, match="scene-2000"):
        SceneHead("scene-0061", "Synthetic", "boston-seaport", "x", "2024-01-01")


def test_a_map_that_leaves_its_canvas_is_refused():
    outside = Polygon([(-1, 0), (5, 0), (5, 5)])
    with pytest.raises(ValueError, match="leaves the canvas"):
        MapLayers("boston-seaport", (10.0, 10.0), drivable_area=(outside,))


def test_polygons_stay_valid_when_rounded():
    thin = Polygon([(0, 0), (10, 0), (10, 5), (5.0004, 0.0004), (4.9996, 0.0004), (0, 5)])
    assert thin.is_valid
    parts = rounded(thin)
    assert parts
    assert all(part.is_valid for part in parts)
    np.testing.assert_allclose(sum(part.area for part in parts), thin.area, rtol=1e-3)


def test_quaternions_come_back_as_the_same_rotation():
    rng = np.random.default_rng(0)
    quaternions = [*rng.normal(size=(200, 4)), *np.eye(4)]
    for wxyz in quaternions:
        rotation = rotation_from_wxyz(np.asarray(wxyz))
        back = np.array(wxyz_from_rotation(rotation))
        np.testing.assert_allclose(rotation_from_wxyz(back), rotation, atol=1e-12)


def test_points_are_counted_in_the_cloud_and_nowhere_else(tmp_path):
    box = Annotation("a", "vehicle.car", "", (1.0, 0.0, 0.5), (4.0, 2.0, 1.0), 0.0, 4)
    rig = flat_rig((16, 16))
    inside, outside = [2.0, 0.5, 0.5], [2.0, 1.5, 0.5]
    xyz = rig.ego_from_lidar.inverse().apply(np.array([inside, inside, outside]))
    cloud = np.column_stack([xyz, np.zeros((3, 2))]).astype(np.float32)
    frame = Keyframe(1_000_000, Pose3.identity(), (), (box,), cloud)
    with NuScenesWriter(tmp_path, version="v1.0-x", about=ABOUT) as writer:
        writer.add_scene(head(), rig, [frame])
        writer.finish({})
    rows = json.loads((tmp_path / "v1.0-x" / "sample_annotation.json").read_text())
    assert [row["num_lidar_pts"] for row in rows] == [2]
    assert rows[0]["size"] == [2.0, 4.0, 1.0]  # width, length, height
    with pytest.raises(ValueError, match="counted in the cloud"):
        Keyframe(1_000_000, Pose3.identity(), (), (box,), None)


def head() -> SceneHead:
    return SceneHead("scene-2000", "Synthetic test", "boston-seaport", "test", "2024-01-01")


def keyframe(jpeg: bytes | None = None) -> Keyframe:
    shot = Shot("CAM_FRONT", 1_000_000, Pose3.identity(), jpeg)
    return Keyframe(1_000_000, Pose3.identity(), (shot,), (), None)


def jpeg(size_px: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size_px).save(buffer, "JPEG")
    return buffer.getvalue()


def tree_digest(root: Path) -> str:
    sha = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        sha.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return sha.hexdigest()
