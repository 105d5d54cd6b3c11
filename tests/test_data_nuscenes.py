"""Clips and truths of nuScenes-format recordings."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import reference
from tiny_tables import SPEED_MPS, YAW_RATE_RADPS, write_tables

from drivevlm.data.nuscenes.config import DecisionTime, EgoSource, NuScenesConfig, OracleConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.world.camera import FrameError
from drivevlm.world.sets import Command, Provenance

Open = Callable[..., NuScenesRecording]


@pytest.fixture(scope="module")
def open_tiny(tmp_path_factory: pytest.TempPathFactory) -> Open:
    folder = tmp_path_factory.mktemp("tiny")
    base = NuScenesConfig(root=str(write_tables(folder / "data")), cache=str(folder / "cache"))
    return lambda **changes: NuScenesRecording(replace(base, **changes))


@pytest.fixture(scope="module")
def open_real(tmp_path_factory: pytest.TempPathFactory) -> Open:
    root = str(reference("nuscenes_mini_real"))
    base = NuScenesConfig(root=root, cache=str(tmp_path_factory.mktemp("cache")))
    return lambda **changes: NuScenesRecording(replace(base, **changes))


def offsets_ms(recording: NuScenesRecording, token: str) -> dict[str, list[int]]:
    """Stamps relative to decision time."""
    clip = recording.clip(token)
    return {
        sequence.camera.name: [(f.stamp_us - clip.t0_us) // 1000 for f in sequence.frames]
        for sequence in clip.cameras
    }


def test_a_sequence_holds_only_frames_that_exist(open_tiny: Open) -> None:
    keyframes = open_tiny(frames=3)
    assert offsets_ms(keyframes, "scene-2001-00")["CAM_FRONT"] == [-36]
    assert offsets_ms(keyframes, "scene-2001-01")["CAM_FRONT"] == [-536, -36]
    assert offsets_ms(keyframes, "scene-2001-08")["CAM_FRONT"] == [-1036, -536, -36]
    strided = open_tiny(frames=3, stride=2)
    assert offsets_ms(strided, "scene-2001-03")["CAM_FRONT"] == [-1036, -36]
    sweeps = open_tiny(frames=3, sweeps=True)
    assert offsets_ms(sweeps, "scene-2001-00")["CAM_FRONT"] == [-286, -36]
    assert offsets_ms(sweeps, "scene-2001-05")["CAM_FRONT"] == [-536, -286, -36]


def test_sequences_never_reach_into_the_scene_before(open_tiny: Open) -> None:
    for sweeps in (False, True):
        recording = open_tiny(frames=5, sweeps=sweeps)
        assert min(offsets_ms(recording, "scene-2002-00")["CAM_FRONT"]) > -1000


def test_at_the_anchor_the_other_cameras_come_from_the_same_keyframe(open_tiny: Open) -> None:
    recording = open_tiny(t0=DecisionTime.ANCHOR, frames=2)
    assert offsets_ms(recording, "scene-2001-04") == {
        "CAM_FRONT": [-500, 0],
        "CAM_BACK_LEFT": [-463, 37],
    }
    clip, truth = recording.clip("scene-2001-04"), recording.truth("scene-2001-04")
    assert clip.t0_us == truth.now.stamp_us == 1_600_000_001_964_000
    assert clip.cameras[0].frames[-1].now_from_then is not None
    np.testing.assert_allclose(
        clip.cameras[0].frames[-1].now_from_then.translation_m, 0.0, atol=1e-9
    )


@pytest.mark.parametrize(("t0", "offset_us"), [("keyframe", 6_000), ("anchor", 101_000)])
def test_an_image_of_the_future_is_left_out(tmp_path: Path, t0: str, offset_us: int) -> None:
    offsets = {"CAM_FRONT": 0, "CAM_BACK_LEFT": offset_us}
    root = write_tables(tmp_path / "data", names=["scene-2001"], offset_us=offsets)
    config = NuScenesConfig(str(root), frames=2, t0=DecisionTime(t0), cache=str(tmp_path))
    found = offsets_ms(NuScenesRecording(config), "scene-2001-03")
    assert found["CAM_BACK_LEFT"] == [-1000 + offset_us // 1000, -500 + offset_us // 1000]
    found = offsets_ms(NuScenesRecording(replace(config, sweeps=True)), "scene-2001-03")
    assert found["CAM_BACK_LEFT"][-1] == -250 + offset_us // 1000


def test_a_frame_knows_where_the_ego_was(open_tiny: Open) -> None:
    clip = open_tiny(frames=2).clip("scene-2001-05")
    then = clip.cameras[0].frames[0].now_from_then
    assert then is not None
    turn_rad = -0.536 * YAW_RATE_RADPS
    radius_m = SPEED_MPS / YAW_RATE_RADPS
    expected = [radius_m * np.sin(turn_rad), radius_m * (1 - np.cos(turn_rad)), 0.0]
    np.testing.assert_allclose(then.translation_m, expected, atol=1e-6)
    assert then.yaw_rad == pytest.approx(turn_rad)


def test_a_camera_just_after_now_is_placed_by_the_past(open_tiny: Open) -> None:
    recording = open_tiny(t0=DecisionTime.ANCHOR)
    later = recording.clip("scene-2001-05").cameras[1].frames[-1].now_from_then
    assert later is not None
    np.testing.assert_allclose(later.translation_m[0], 0.037 * SPEED_MPS, atol=1e-3)
    assert later.yaw_rad == pytest.approx(0.037 * YAW_RATE_RADPS, abs=1e-6)
    assert recording.clip("scene-2001-00").cameras[1].frames[-1].now_from_then is None


def test_the_status_looks_back(open_tiny: Open) -> None:
    recording = open_tiny(past_poses=3)
    first, later = recording.clip("scene-2001-00"), recording.clip("scene-2001-06")
    assert first.status is None
    assert first.history is not None
    assert len(first.history.stamp_us) == 1
    assert later.history is not None
    assert (later.history.stamp_us - later.t0_us).tolist() == [-1_000_000, -500_000, 0]
    assert later.status is not None
    assert later.status.speed_mps == pytest.approx(SPEED_MPS, rel=1e-3)
    assert later.status.yaw_rate_radps == pytest.approx(YAW_RATE_RADPS)
    assert later.status.provenance is Provenance.PAST_POSES


def test_truth_holds_labels_by_name(open_tiny: Open) -> None:
    truth = open_tiny().truth("scene-2001-02")
    assert list(truth.steps) == [-2, -1, 0, 1, 2, 3, 4, 5, 6]
    assert truth.future_valid.all()
    assert not open_tiny().truth("scene-2001-03").future_valid.all()
    boxes = truth.now.boxes
    assert boxes.category[:2] == ("vehicle.car", "human.pedestrian.adult")
    assert boxes.instance == tuple(f"scene-2001-object-{j}" for j in range(3))
    assert boxes.annotation == tuple(f"scene-2001-02-{j}" for j in range(3))
    assert boxes.following == truth.steps[1].boxes.annotation
    np.testing.assert_allclose(boxes.size_lwh_m[0], [4.5, 1.9, 1.8])
    assert boxes.visibility.tolist() == [1, 2, 3]
    assert (boxes.lidar_points == 5).all()
    assert (boxes.radar_points == 1).all()
    assert truth.description == "An arc, scene-2001"
    last = open_tiny().truth("scene-2001-08")
    assert last.now.boxes.following == ("", "", "")


def test_without_a_lidar_the_anchor_camera_gives_the_pose(tmp_path: Path) -> None:
    root = write_tables(tmp_path / "data", lidar=False, objects=0)
    recording = NuScenesRecording(NuScenesConfig(root=str(root), cache=str(tmp_path)))
    step = recording.truth("scene-2001-03").now
    assert step.ego_from_lidar is None
    assert len(step.boxes) == 0
    clip = recording.clip("scene-2001-03")
    front = clip.cameras[0].frames[-1].now_from_then
    assert front is not None
    np.testing.assert_allclose(front.translation_m, 0.0, atol=1e-9)


def test_cameras_are_shown_in_the_order_asked_for(open_tiny: Open) -> None:
    recording = open_tiny(cameras=("CAM_BACK_LEFT", "CAM_FRONT"))
    names = [sequence.camera.name for sequence in recording.clip("scene-2001-00").cameras]
    assert names == ["CAM_BACK_LEFT", "CAM_FRONT"]


def test_a_recording_is_opened_again_by_a_worker(open_tiny: Open) -> None:
    recording = open_tiny(scenes=("scene-2002",))
    again = copy.copy(recording)  # by the same way as pickle
    assert again.scenes() == recording.scenes()
    assert again.digest == recording.digest


def test_the_digest_follows_content_not_place(tmp_path: Path, open_tiny: Open) -> None:
    moved = write_tables(tmp_path / "elsewhere")
    here = open_tiny()
    there = NuScenesRecording(NuScenesConfig(root=str(moved), cache=str(tmp_path / "cache")))
    assert here.digest == there.digest
    assert here.digest != open_tiny(frames=3).digest
    assert here.digest != open_tiny(scenes=("scene-2001",)).digest


def test_the_digest_follows_the_map(tmp_path: Path) -> None:
    root = write_tables(tmp_path / "data")
    config = NuScenesConfig(root=str(root), cache=str(tmp_path / "cache"))
    before = NuScenesRecording(config)
    location = json.loads((root / "v1.0-mini" / "log.json").read_text())[0]["location"]
    expansion = root / "maps" / "expansion" / f"{location}.json"
    expansion.parent.mkdir(parents=True, exist_ok=True)
    digest = before.digest
    expansion.write_text("{}")
    assert NuScenesRecording(config).digest != digest


def test_splits_of_the_version_folder_are_offered(tmp_path: Path) -> None:
    root = write_tables(tmp_path / "data")
    (root / "v1.0-mini" / "splits.json").write_text(json.dumps({"mine": ["scene-2002"]}))
    config = NuScenesConfig(root=str(root), split="mine", cache=str(tmp_path / "cache"))
    assert [scene.name for scene in NuScenesRecording(config).scenes()] == ["scene-2002"]


def test_trainval_means_val_unless_scenes_are_named(tmp_path: Path) -> None:
    names = ["scene-0001", "scene-0003"]  # train, val
    root = write_tables(tmp_path / "data", version="v1.0-trainval", names=names)
    config = NuScenesConfig(str(root), version="v1.0-trainval", cache=str(tmp_path / "cache"))
    named = replace(config, scenes=("scene-0001",))
    assert [scene.name for scene in NuScenesRecording(config).scenes()] == ["scene-0003"]
    assert [scene.name for scene in NuScenesRecording(named).scenes()] == ["scene-0001"]


def test_oracle_proposals_are_marked_and_do_not_depend_on_order(open_tiny: Open) -> None:
    noisy = OracleConfig(recall=0.8, false_positives=4.0, seed=3)
    first, second = (open_tiny(proposals="oracle", oracle=noisy) for _ in range(2))
    second.clip("scene-2002-04")
    a, b = (recording.clip("scene-2001-04").proposals for recording in (first, second))
    assert a is not None
    assert b is not None
    assert a.provenance is Provenance.ORACLE
    assert [box.id for box in a.boxes] == [f"p{k + 1}" for k in range(len(a.boxes))]
    assert [box.distance_m for box in a.boxes] == sorted(box.distance_m for box in a.boxes)
    for one, other in zip(a.boxes, b.boxes, strict=True):
        np.testing.assert_array_equal(one.center_ego_m, other.center_ego_m)
    exact = OracleConfig(1.0, 0.0, centre_noise_m=0.0, size_noise=0.0, yaw_noise_rad=0.0)
    clear = open_tiny(proposals="oracle", oracle=exact).clip("scene-2001-04").proposals
    assert clear is not None
    assert {box.category for box in clear.boxes} == {"car", "pedestrian"}  # no police
    for box in clear.boxes:
        assert box.velocity_ego_mps is not None
        assert np.hypot(*box.velocity_ego_mps) == pytest.approx(2.0)  # 1 m a step, backwards


def test_oracle_recall_and_false_positives_are_as_declared(open_real: Open) -> None:
    oracle = OracleConfig(recall=0.7, false_positives=5.0, range_m=40.0)
    blurred = {"proposals": "oracle", "top_k": 500, "scenes": ("scene-0103",)}
    recording = open_real(**blurred, oracle=oracle)
    exact = open_real(**blurred, oracle=replace(oracle, recall=1.0, false_positives=0.0))
    tokens = [token for scene in recording.scenes() for token in scene.tokens]
    found, there = (
        sum(len(r._proposals(token).boxes) for token in tokens)  # type: ignore[union-attr]
        for r in (recording, exact)
    )
    assert found == pytest.approx(0.7 * there + 5.0 * len(tokens), rel=0.05)


def test_the_three_real_scenes_load(open_real: Open) -> None:
    recording = open_real(frames=2)
    assert [len(scene.tokens) for scene in recording.scenes()] == [39, 40, 41]
    tokens = [token for scene in recording.scenes() for token in scene.tokens]
    assert sum(recording.truth(token).future_valid.all() for token in tokens) == 102
    for token in tokens:
        clip = recording.clip(token)
        assert len(clip.cameras) == 6
        stamps = [frame.stamp_us for sequence in clip.cameras for frame in sequence.frames]
        assert max(stamps) <= clip.t0_us + 5_000
    assert not recording.synthetic


def test_a_missing_image_is_a_matter_of_who_reads_it(open_real: Open) -> None:
    recording = open_real()
    first, later = (recording.clip(t) for t in recording.scenes()[0].tokens[:2])
    for sequence in first.cameras:
        assert sequence.frames[-1].decode().shape == (900, 1600, 3)
    with pytest.raises(FrameError, match=r"CAM_FRONT.*cannot read the image"):
        later.cameras[0].frames[-1].decode()


def test_the_can_bus_speaks_of_the_moment_before(open_real: Open) -> None:
    recording = open_real(ego=EgoSource.CAN_BUS, scenes=("scene-0103",))
    by_poses = open_real(scenes=("scene-0103",))
    tokens = recording.scenes()[0].tokens
    # The first message comes 11 ms after the first keyframe.
    assert recording.clip(tokens[0]).status is None
    differences = []
    for token in tokens[2:]:
        by_can, by_pose = recording.clip(token).status, by_poses.clip(token).status
        assert by_can is not None
        assert by_pose is not None
        assert by_can.provenance is Provenance.CAN_BUS
        differences.append(by_can.speed_mps - by_pose.speed_mps)
    assert np.abs(differences).mean() < 0.5


def test_a_map_is_read_only_when_asked_for(open_real: Open) -> None:
    recording = open_real()
    truth = recording.truth(recording.scenes()[0].tokens[5])
    assert not truth.map_polygons
    layers = recording.with_map(truth).map_polygons
    assert set(layers) == {"drivable_area", "road_segment", "lane"}
    from shapely import Point

    at = Point(truth.now.global_from_ego.translation_m[:2])
    assert any(area.contains(at) for area in layers["drivable_area"])
    assert any(lane.contains(at) for lane in layers["lane"])


def test_a_recording_without_maps_has_no_polygons(open_tiny: Open) -> None:
    recording = open_tiny()
    assert not recording.with_map(recording.truth("scene-2001-00")).map_polygons


def test_the_future_command_is_the_peers_own(tmp_path: Path) -> None:
    public = reference("planning_metrics") / "public"
    config = NuScenesConfig(
        root=str(public / "nuscenes_synth"), command="gt_future", cache=str(tmp_path)
    )
    recording = NuScenesRecording(config)
    expected = json.loads((public / "expected_per_sample.json").read_text())["per_sample"]
    peers = (Command.RIGHT, Command.LEFT, Command.STRAIGHT)
    assert recording.synthetic
    tokens = [token for scene in recording.scenes() for token in scene.tokens]
    assert len(tokens) == 336
    for token in tokens:
        command = recording._command(token)
        assert command is not None
        assert command.provenance is Provenance.GT_FUTURE
        assert command.command is peers[expected[token]["uniad"]["command"]], token
