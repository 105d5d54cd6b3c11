"""The network that reads ego motion alone: what it may learn from, and what it then plans."""

import json
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from conftest import reference
from tiny_tables import write_tables

from drivevlm.app import main
from drivevlm.baselines import Baseline
from drivevlm.baselines.ego_mlp import NAMES, EgoMlp, constant_velocity_m, mirror, read_layers, seen
from drivevlm.build.ego_mlp import EgoMlpRow, mlp_rows
from drivevlm.build.table import Chosen
from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.evaluate.train_ego_mlp import (
    WEIGHTS,
    Lessons,
    MlpSettings,
    fit,
    lessons_from,
    loss_m,
    teaching_clips,
)
from drivevlm.world.clip import Clip
from drivevlm.world.ego import EgoHistory, EgoStatus
from drivevlm.world.pose import Pose2
from drivevlm.world.sets import FailureKind, Provenance
from drivevlm_sim.tables import TablesConfig, make_tables

MINI = ("scene-0061", "scene-0553", "scene-0103", "scene-0916")
"""Two scenes of the official mini_train, two of mini_val."""


def clip_of(*past: Pose2, status: EgoStatus | None = None) -> Clip:
    stamps = [500_000 * k for k in range(len(past))]
    history = EgoHistory.from_poses(past, stamp_us=stamps)
    return Clip("now", "scene", stamps[-1], (), status=status, history=history)


def row_for(root: Path, *, version: str = "v1.0-mini", mlp: dict | None = None, **data):
    """The row beside a run on some data, and what was said of it."""
    config = NuScenesConfig(root=str(root), version=version, **data)
    values = {"prompt": {}, "vlm": {}, "data": {}, "planner": ["ego_mlp"], "mlp": mlp or {}}
    chosen = Chosen.of(values, {"data": "nuscenes", "vlm": "untrained"})
    said: list[str] = []
    chosen = replace(chosen, data=("nuscenes", config))
    return mlp_rows(chosen, NuScenesRecording(config), said.append).get("ego_mlp"), said


def learned_from(row: EgoMlpRow | None) -> list[str]:
    assert row is not None
    return [scene.name for recording in row.drives.recordings for scene in recording.scenes()]


@cache
def generated() -> tuple[Lessons, Lessons]:
    """Drives on straight and curved roads that speed up and slow down; the second, other scenes."""
    with TemporaryDirectory() as folder:
        config = TablesConfig(scenes=30, samples=720, boxes=1)
        root = make_tables(Path(folder) / "drives", config=config)
        where = NuScenesConfig(root=str(root), version=config.version, cache=folder)
        recording = NuScenesRecording(where)
        all_of_them = lessons_from(recording, teaching_clips(recording))
    return some(all_of_them, slice(0, 20 * 17)), some(all_of_them, slice(20 * 17, None))


def some(lessons: Lessons, rows: slice) -> Lessons:
    return Lessons(
        lessons.features[rows],
        lessons.speed_mps[rows],
        lessons.moved_m[rows],
        lessons.future_m[rows],
    )


@cache
def taught() -> EgoMlp:
    return EgoMlp(fit(generated()[0], MlpSettings()))


def mean_distance_m(paths_m: np.ndarray, lessons: Lessons) -> float:
    return float(np.linalg.norm(paths_m - lessons.future_m, axis=2).mean())


def planned_m(planner: EgoMlp, lessons: Lessons) -> np.ndarray:
    return planner.layers.paths_m(lessons.features, lessons.speed_mps, lessons.moved_m)


def test_it_learns_from_the_official_train_split_and_from_no_scored_scene(tmp_path):
    root = write_tables(tmp_path, names=MINI, samples=32)
    assert learned_from(row_for(root, split="mini_val")[0]) == ["scene-0061", "scene-0553"]
    assert learned_from(row_for(root, scenes=("scene-0061",))[0]) == ["scene-0553"]
    row, said = row_for(root)
    assert row is None
    assert said[0].startswith("ego_mlp is left out: every scene to learn from is scored (2)")


def test_without_an_official_split_it_learns_from_the_other_scenes(tmp_path):
    root = write_tables(tmp_path, version="v1.0-mine", names=("a", "b", "c"), samples=32)
    row, _ = row_for(root, version="v1.0-mine", scenes=("b",))
    assert learned_from(row) == ["a", "c"]
    assert row is not None
    assert (row.recipe["train_scenes"], row.recipe["train_clips"]) == (2, 50)


def test_other_data_teach_it_all_but_the_scored_scenes_they_hold(tmp_path):
    scored = write_tables(tmp_path / "scored", version="v1.0-mine", names=("a", "b"), samples=32)
    other = write_tables(tmp_path / "other", names=("b", "c", "d"), samples=32)
    mlp = {"train_root": str(other), "train_version": "v1.0-mini"}
    row, said = row_for(scored, version="v1.0-mine", mlp=mlp)
    assert learned_from(row) == ["c", "d"]
    assert said == [f"scored scenes in {other}, not learned from: 1"]


def test_a_scored_scene_under_another_name_is_known_by_its_clips(tmp_path):
    root = write_tables(tmp_path / "scored", version="v1.0-mine", names=("a", "b"), samples=32)
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    scenes = json.loads((copy / "v1.0-mine" / "scene.json").read_text())
    for scene in scenes:
        scene["name"] = f"renamed {scene['name']}"
    (copy / "v1.0-mine" / "scene.json").write_text(json.dumps(scenes))
    row, _ = row_for(root, version="v1.0-mine", scenes=("a",), mlp={"train_root": str(copy)})
    assert learned_from(row) == ["renamed b"]


def test_a_scored_scene_with_other_clips_is_known_by_its_name(tmp_path):
    root = write_tables(tmp_path / "scored", version="v1.0-mine", names=("a", "b"), samples=32)
    other = tmp_path / "other"
    shutil.copytree(root, other)
    for table in (other / "v1.0-mine").iterdir():
        table.write_text(table.read_text().replace('"a-', '"z-'))
    row, _ = row_for(root, version="v1.0-mine", scenes=("a",), mlp={"train_root": str(other)})
    assert learned_from(row) == ["b"]


def test_what_happens_in_a_scored_scene_moves_no_weight(tmp_path):
    weights, digests = [], set()
    for bent in (False, True):
        root = write_tables(tmp_path / str(bent), names=MINI, samples=32)
        if bent:
            path = root / "v1.0-mini" / "ego_pose.json"
            poses = json.loads(path.read_text())
            for pose in poses:
                # Scenes lie 100 s apart: from 200 s on, it is those of mini_val.
                if pose["timestamp"] >= 1_600_000_190_000_000:
                    pose["translation"][0] += 0.001 * (pose["timestamp"] % 7_000_000) / 1e3
            path.write_text(json.dumps(poses))
        row, _ = row_for(root, split="mini_val", mlp={"epochs": 2, "cache": str(tmp_path)})
        assert row is not None
        digests.add(row.recipe["train_data"]["digest"])
        weights.append(row.planner(row.drives.recordings[0]).layers)
    assert len(digests) == 2
    for plain, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(plain, other)


def test_too_few_clips_give_no_row(tmp_path):
    names = ("scene-0061", "scene-0103")
    row, said = row_for(write_tables(tmp_path, names=names, samples=26), split="mini_val")
    assert row is None
    assert "19 clips of 1 scene of nuscenes v1.0-mini mini_train, 20 are needed" in said[0]


def test_the_same_seed_gives_the_same_file_and_the_next_run_reads_it(tmp_path):
    root = write_tables(tmp_path / "data", names=MINI, samples=32)
    files = []
    for folder in ("one", "two"):
        mlp = {"epochs": 3, "cache": str(tmp_path / folder)}
        row, said = row_for(root, split="mini_val", mlp=mlp)
        assert row is not None
        row.planner(row.drives.recordings[0])
        assert said[-1] == "ego_mlp: training, 3 epochs of 50 clips"
        (file,) = (tmp_path / folder / "ego_mlp").iterdir()
        files.append(file)
    assert files[0].name == files[1].name
    assert files[0].read_bytes() == files[1].read_bytes()
    said.clear()
    kept = row.planner(row.drives.recordings[0]).layers
    assert not any("training" in line for line in said)
    trained = fit(
        lessons_from(row.drives.recordings[0], teaching_clips(row.drives.recordings[0])),
        row.settings,
    )
    np.testing.assert_array_equal(kept.w3, trained.w3)
    other = fit(generated()[0], MlpSettings(epochs=1, seed=1))
    assert (other.w1 != fit(generated()[0], MlpSettings(epochs=1)).w1).any()


def test_a_damaged_file_is_trained_anew(tmp_path):
    root = write_tables(tmp_path / "data", names=MINI, samples=32)
    row, _ = row_for(root, split="mini_val", mlp={"epochs": 1, "cache": str(tmp_path)})
    assert row is not None
    row.planner(row.drives.recordings[0])
    (file,) = (tmp_path / "ego_mlp").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:1000])
    row.planner(row.drives.recordings[0])
    assert file.read_bytes() == whole
    assert read_layers(file, "another recipe") is None


def test_the_slope_of_the_loss_is_its_slope():
    lessons = some(generated()[0], slice(0, 8))
    layers = fit(lessons, MlpSettings(hidden=5, epochs=3))
    z = layers.standardised(lessons.features)
    wanted_m = lessons.future_m - constant_velocity_m(lessons.speed_mps)
    scale_m = np.full((8, 6), 0.7)
    _, slopes = loss_m(layers, z, wanted_m, scale_m)
    for name, slope in zip(WEIGHTS, slopes, strict=True):
        at = np.unravel_index(np.abs(slope).argmax(), slope.shape)
        losses = []
        for change in (-1e-5, 1e-5):
            moved = getattr(layers, name).copy()
            moved[at] += change
            losses.append(loss_m(layers._replace(**{name: moved}), z, wanted_m, scale_m)[0])
        assert (losses[1] - losses[0]) / 2e-5 == pytest.approx(slope[at], rel=1e-4), name


def test_on_other_drives_it_beats_standing_and_constant_velocity():
    _, other = generated()
    its = mean_distance_m(planned_m(taught(), other), other)
    assert its < 0.8 * mean_distance_m(constant_velocity_m(other.speed_mps), other)
    assert its < 0.3 * mean_distance_m(np.zeros_like(other.future_m), other)


def test_one_real_scene_teaches_it_to_drive_another_like_constant_velocity():
    root = reference("nuscenes_mini_real")
    row, _ = row_for(root, split="mini_val")
    assert learned_from(row) == ["scene-0061"]
    assert row is not None
    layers = fit(
        lessons_from(row.drives.recordings[0], teaching_clips(row.drives.recordings[0])),
        row.settings,
    )
    scored = NuScenesRecording(NuScenesConfig(root=str(root), split="mini_val"))
    lessons = lessons_from(scored, teaching_clips(scored))
    its = mean_distance_m(planned_m(EgoMlp(layers), lessons), lessons)
    assert its < 1.2 * mean_distance_m(constant_velocity_m(lessons.speed_mps), lessons)
    assert its < 0.3 * mean_distance_m(np.zeros_like(lessons.future_m), lessons)


def test_an_ego_that_stands_stays_within_centimetres():
    jitter_m = (0.004, -0.003, 0.0, 0.002, 0.0)
    decision = taught().decide(clip_of(*(Pose2(x, -x, 0.0) for x in jitter_m)))
    assert decision.plan is not None
    assert np.linalg.norm(decision.plan.xy_ego_m, axis=1).max() < 0.05


def test_the_mirrored_drive_is_read_mirrored():
    past = [Pose2(3.0 * k, 0.2 * k * k, 0.1 * k) for k in range(5)]
    mirrored = [Pose2(pose.x_m, -pose.y_m, -pose.yaw_rad) for pose in past]
    features = seen(clip_of(*past)).features
    assert np.abs(features).min() > 0
    np.testing.assert_allclose(
        seen(clip_of(*mirrored)).features, features * mirror(NAMES), atol=1e-12
    )


def test_a_short_past_is_marked_and_not_zero():
    features = seen(clip_of(Pose2(0.0, 0.0, 0.0), Pose2(3.0, 0.0, 0.0))).features
    np.testing.assert_allclose(features[:4], [0.0, 0.0, 0.0, 1.0], atol=1e-12)
    assert np.isnan(features[4:7]).all()
    assert features[7] == 0.0  # unknown
    assert taught().decide(clip_of(Pose2(0.0, 0.0, 0.0), Pose2(3.0, 0.0, 0.0))).plan is not None


def test_it_reads_the_past_poses_whatever_else_tells_of_the_speed():
    past = [Pose2(3.0 * k, 0.0, 0.0) for k in range(5)]
    told = EgoStatus(99.0, 5.0, 1.0, Provenance.CAN_BUS)
    plans = [taught().decide(clip_of(*past, status=status)).plan for status in (None, told)]
    np.testing.assert_array_equal(plans[0].xy_ego_m, plans[1].xy_ego_m)


@pytest.mark.parametrize("past_poses", [1, 0])
def test_a_missing_past_is_a_counted_failure(past_poses):
    lone = clip_of(Pose2(0.0, 0.0, 0.0))
    decision = taught().decide(lone if past_poses else replace(lone, history=None))
    assert decision.failure is not None
    assert decision.failure.kind is FailureKind.NO_PAST


def test_it_plans_the_same_where_the_recording_ends_now(tmp_path):
    plans = []
    for samples in (12, 6):
        root = write_tables(tmp_path / str(samples), samples=samples)
        recording = NuScenesRecording(NuScenesConfig(root=str(root)))
        plans.append(taught().decide(recording.clip("scene-2001-05")).plan)
    np.testing.assert_array_equal(plans[0].xy_ego_m, plans[1].xy_ego_m)
    straight = Baseline("constant_velocity").decide(recording.clip("scene-2001-05")).plan
    assert (plans[0].xy_ego_m != straight.xy_ego_m).any()


def test_a_run_records_what_its_row_learned_from(tmp_path, capsys):
    root = write_tables(tmp_path / "data", names=MINI, samples=32)
    words = ["eval", "data=nuscenes", f"data.root={root}", "planner=[ego_mlp,stop]"]
    words += ["page.clips=0", "protocol=[vad]", "mlp.epochs=1", f"mlp.cache={tmp_path}"]
    assert main([*words, "data.split=mini_val", f"out={tmp_path}/run"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "ego_mlp learns from 50 clips of 2 scenes of nuscenes v1.0-mini mini_train" in said
    learned = json.loads((tmp_path / "run" / "run.json").read_text())["identity"]["models"]
    assert learned["ego_mlp"]["train_data"]["name"] == "nuscenes v1.0-mini mini_train"
    assert (learned["ego_mlp"]["train_scenes"], learned["ego_mlp"]["train_clips"]) == (2, 50)
    assert main(["report", f"{tmp_path}/run"]) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert list(results["planners"]) == ["ego_mlp", "stop"]


def test_a_run_goes_on_without_the_row_where_every_scene_is_scored(tmp_path, capsys):
    root = write_tables(tmp_path / "data", names=MINI, samples=9)
    words = ["eval", "data=nuscenes", f"data.root={root}", "page.clips=0", "protocol=[vad]"]
    assert main([*words, "planner=[ego_mlp,stop]", f"out={tmp_path}/run"]) == 0
    assert "ego_mlp is left out" in capsys.readouterr().out
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert list(results["planners"]) == ["stop"]
    assert results["decisions"] == {"made": 36, "wanted": 36}
    assert main(["report", f"{tmp_path}/run"]) == 0
    assert main([*words, "planner=[ego_mlp]", f"out={tmp_path}/none"]) == 2
    assert "nobody plans" in capsys.readouterr().err
