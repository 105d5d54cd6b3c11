"""A made world that keeps every rule is told so; with one thing broken, its rule goes red."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import checked_world as by_hand
import cv2
import numpy as np
import pytest
from checked_world import SYNTH, T0_X_M, TWINS, A, B, changed, changed_boxes, changed_lines
from conftest import reference

from drivevlm.app import main
from drivevlm.data.dense import DENSE_FOLDER, DenseView, write_dense
from drivevlm.world.pose import Pose2, Pose3
from drivevlm_sim.check.check_world import check_world
from drivevlm_sim.check.disk import Disk
from drivevlm_sim.check.findings import Finding, Rule
from drivevlm_sim.check.twin_rules import family_finding
from drivevlm_sim.made_once import WorldError
from drivevlm_sim.twins.twin_pair import Family

Break = Callable[[Path], None]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return by_hand.make(tmp_path_factory.mktemp("made") / "world")


def broken(root: Path) -> set[str]:
    checked = check_world(root)
    return {one.rule.name for rows in checked.findings.values() for one in rows if not one.holds}


def test_a_sound_world_keeps_every_rule_and_each_is_judged(sound):
    checked = check_world(sound)
    assert checked.holds
    findings = [one for rows in checked.findings.values() for one in rows]
    unjudged = {one.rule.name for one in findings if not one.figures}
    assert unjudged == {"box_hull", "twin_families", "towns_elsewhere"}
    by_name = {one.rule.name: one for one in checked.findings[TWINS]}
    gap = by_name["twin_futures"].figures
    assert gap == {by_hand.PAIR: pytest.approx(24.0 - 64 / 6)}
    assert by_name["twin_braking_can"].figures[by_hand.PAIR] == pytest.approx(3.0, abs=0.2)
    assert by_name["twin_braking_pose"].figures[by_hand.PAIR] == pytest.approx(3.0)
    assert 24 <= by_name["twin_cause_seen"].figures[by_hand.PAIR] <= 64
    shares = checked.facts[TWINS]["pictures of both sides of the same bytes"]
    assert shares == {"share": pytest.approx(15 / 18, abs=1e-3)}


def test_a_checked_world_is_left_as_it_was(sound, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(sound.rglob("*"))
    assert main(["sim", "check", f"data.root={sound}", "out=told"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "told/check.json"
    assert set(sound.rglob("*")) == before
    told = json.loads((tmp_path / "told" / "check.json").read_text())
    assert told["format"] == 1
    assert {row["rule"] for row in told["rules"][TWINS]} > {"twin_ego_pose", "twin_others"}


def test_violations_end_in_exit_code_1_and_are_named(sound, tmp_path, capsys):
    root = shutil.copytree(sound, tmp_path / "world")
    by_hand.picture_path(root, B, -1).unlink()
    assert main(["sim", "check", f"data.root={root}", f"out={tmp_path / 'told'}"]) == 1
    assert "1 of 1" in capsys.readouterr().out
    told = json.loads((tmp_path / "told" / "check.json").read_text())
    row = next(row for row in told["rules"][TWINS] if row["rule"] == "twin_pictures")
    assert row["broken"] == [{"where": by_hand.PAIR, "figure": 1.0}]


def test_a_recording_beside_is_told_with_the_same_figures(sound):
    checked = check_world(sound, beside=sound / SYNTH)
    assert checked.facts[f"beside: {SYNTH}"].items() <= checked.facts[SYNTH].items()
    speed = checked.facts[SYNTH]["speed (m/s)"]
    assert speed == {name: pytest.approx(8.0) for name in ("50 %", "95 %", "99 %", "99.9 %")}


def test_splits_in_roots_of_their_own_share_no_town(sound, tmp_path, capsys):
    other = shutil.copytree(sound, tmp_path / "other")
    words = ["sim", "check", f"data.root={sound}", f"apart=[{other}]", f"out={tmp_path / 'told'}"]
    assert main(words) == 1
    for version in (SYNTH, TWINS):
        path = other / version / "scene.json"
        path.write_text(path.read_text().replace("tiny-1", "tiny-2"))
    assert main(words) == 0
    assert main([*words, f"apart={tmp_path / 'nowhere'}"]) == 2
    assert "nowhere holds no version folder" in capsys.readouterr().err


@pytest.mark.part
def test_real_scenes_are_told_beside(sound):
    mini = reference("nuscenes_mini_real") / "v1.0-mini"
    facts = check_world(sound, beside=mini).facts["beside: v1.0-mini"]
    assert 3 < (facts["speed (m/s)"]["50 %"] or 0) < 7
    assert 1 < (facts["lateral acceleration (m/s2)"]["99 %"] or 0) < 3
    assert 2 < (facts["jerk (m/s3)"]["99 %"] or 0) < 10


def test_what_is_no_world_ends_in_one_line(tmp_path, sound, capsys):
    with pytest.raises(WorldError, match="holds no version folder"):
        check_world(tmp_path)
    with pytest.raises(WorldError, match="beside="):
        check_world(sound, beside=tmp_path)
    assert main(["sim", "check"]) == 2
    assert main(["sim", "check", f"data.root={sound}", "data.rot=x"]) == 2
    assert "data.rot" in capsys.readouterr().err


def test_checking_wakes_neither_sumo_nor_gl():
    heavy = "{'libsumo', 'sumolib', 'moderngl', 'torch'}"
    code = f"import sys, drivevlm_sim.check.check_world; sys.exit(bool({heavy} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_finding_tells_worst_first_and_forgives_a_share():
    rule = Rule("r", "figures", most=1.0, share=0.5)
    finding = Finding.of(rule, {"a": 3.0, "b": 0.5, "c": math.inf, "d": None})
    assert list(finding.broken) == ["c", "a"]
    assert finding.unjudged == 1
    assert not finding.holds  # two of three
    assert Finding.of(rule, {"a": 3.0, "b": 0.5}).holds
    assert not Finding.of(rule, {"a": math.nan}).holds
    assert finding.values()["worst"] == {"where": "c", "figure": None}


def test_no_family_has_more_than_a_quarter():
    def pairs(*families: Family) -> dict[str, SimpleNamespace]:
        lines = [SimpleNamespace(family=family) for family in families]
        return {str(k): SimpleNamespace(line=line) for k, line in enumerate(lines)}

    four = (Family.JAYWALKER, Family.OPPONENT, Family.PEDESTRIAN, Family.LEADER_BRAKES)
    assert family_finding(pairs(*four)).holds
    assert not family_finding(pairs(*four, Family.JAYWALKER)).holds
    assert family_finding(pairs(*four[:3])).figures == {}


# One thing broken at a time.


def pose(root: Path, name: str, k: int, by_m: float) -> None:
    by_hand.moved_ego(root, name, lambda number, x_m: x_m + by_m * (number == k))


def messages(root: Path, rows: slice, key: str, value: float) -> None:
    path = root / "can_bus" / f"{B}_pose.json"
    told = json.loads(path.read_text())
    for message in told[rows]:
        message[key][0] += value
    path.write_text(json.dumps(told))


def in_pair(root: Path, **values: object) -> None:
    changed_lines(root / TWINS / "twins.jsonl", lambda row: row.update(values))


def in_cause(root: Path, **values: object) -> None:
    changed_lines(root / TWINS / "twins.jsonl", lambda row: row["cause"].update(values))


def in_label(root: Path, key: str, value: object, name: str = "scene-2001", k: int = 0) -> None:
    path = root / (TWINS if name in (A, B) else SYNTH) / "drivevlm_labels.jsonl"
    changed_lines(path, lambda row: row.update({key: value}), by_hand.sample_of(name, k))


def in_lead(root: Path, key: str, value: object) -> None:
    path = root / SYNTH / "drivevlm_labels.jsonl"
    changed_lines(path, lambda row: row["lead"].update({key: value}))


def town_in_two_splits(root: Path) -> None:
    (root / TWINS / "splits.json").write_text(json.dumps({"val": [A, B]}))


def road_elsewhere(root: Path) -> None:
    path = root / "maps" / "expansion" / "boston-seaport.json"
    tables = json.loads(path.read_text())
    for node in tables["node"]:
        node["y"] += 30.0
    path.write_text(json.dumps(tables))


def sharp_turn(root: Path) -> None:
    def turn(rows: list[by_hand.Row]) -> None:
        for row in rows[3::13]:
            row["rotation"] = [np.cos(0.4), 0.0, 0.0, np.sin(0.4)]

    changed(root, SYNTH, "ego_pose", turn)


def no_points(root: Path) -> None:
    changed(
        root, SYNTH, "sample_annotation", lambda rows: [r.update(num_lidar_pts=0) for r in rows]
    )


def label_dropped(root: Path) -> None:
    path = root / SYNTH / "drivevlm_labels.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))


def lead_in_the_sky(root: Path) -> None:
    def lift(_: int, row: by_hand.Row) -> None:
        row["translation"][2] += 400.0

    changed_boxes(root, "scene-2001", by_hand.LEAD, lift)


def late_keyframe(root: Path) -> None:
    def later(rows: list[by_hand.Row]) -> None:
        next(r for r in rows if r["token"] == by_hand.sample_of(B, -6))["timestamp"] += 200_000

    changed(root, TWINS, "sample", later)


def other_route(root: Path) -> None:
    path = root / "can_bus" / f"{B}_route.json"
    path.write_text(json.dumps((np.array(json.loads(path.read_text())) + 0.01).tolist()))


def cause_comes_and_goes(root: Path) -> None:
    def without(rows: list[by_hand.Row]) -> None:
        walker = by_hand.instance_token(TWINS, B, by_hand.WALKER)
        mine = [row for row in rows if row["instance_token"] == walker]
        gone = next(row for row in mine if row["sample_token"] == by_hand.sample_of(B, -2))
        for row in mine:
            row["next"] = gone["next"] if row["next"] == gone["token"] else row["next"]
        rows.remove(gone)

    changed(root, TWINS, "sample_annotation", without)


def cause_unboxed(root: Path) -> None:
    changed_boxes(root, B, by_hand.WALKER, lambda _, row: row.update(instance_token=there(B)))


def there(name: str) -> str:
    return by_hand.instance_token(TWINS, name, by_hand.PARKED)


def parked_moves(root: Path) -> None:
    def move(k: int, row: by_hand.Row) -> None:
        row["translation"][1] += 0.6 * (k == -1)

    changed_boxes(root, B, by_hand.PARKED, move)


def parked_grows(root: Path) -> None:
    changed_boxes(root, B, by_hand.PARKED, lambda _, row: row.update(size=[1.9, 5.5, 1.5]))


def repainted(root: Path, **how: int) -> None:
    ego = Pose3.from_pose2(Pose2(T0_X_M, 100.0, 0.0))
    jpeg = by_hand.picture(0, ego, by_hand.FRONT.name, walker=True, **how)
    by_hand.picture_path(root, B, 0).write_bytes(jpeg)


def noisy(root: Path) -> None:
    """All pictures of a side with a noise of their own."""
    noise = np.random.default_rng(1)
    paths = sorted((root / "samples").glob(f"CAM_*/*{B}__*.jpg"))
    assert paths
    for path in paths:
        image = cv2.imread(str(path)).astype(np.int64)
        image += noise.integers(-8, 9, image.shape)
        cv2.imwrite(str(path), np.clip(image, 0, 255).astype(np.uint8))


def same_pictures(root: Path) -> None:
    shutil.copy(by_hand.picture_path(root, A, 0), by_hand.picture_path(root, B, 0))


RED = {"state": "red", "distance_m": 30.0, "visible": True}
BREAKS: list[tuple[str, Break]] = [
    ("towns_apart", town_in_two_splits),
    ("ego_on_road", road_elsewhere),
    ("ego_lateral", sharp_turn),
    ("box_points", no_points),
    ("box_empty", no_points),
    ("standing", lambda root: by_hand.moved_ego(root, "scene-2001", lambda k, x_m: T0_X_M)),
    ("label_file", lambda root: in_label(root, "decision", {"longitudinal": "halt"})),
    ("label_lines", label_dropped),
    ("label_instances", lambda root: in_lead(root, "instance", "nobody")),
    ("label_seen", lead_in_the_sky),
    ("label_unseen", lambda root: in_lead(root, "visible", False)),
    ("label_signal", lambda root: in_label(root, "signal", {**RED, "distance_m": None})),
    ("label_lead_gap", lambda root: in_lead(root, "gap_m", 9.0)),
    ("label_words", lambda root: in_label(root, "sentences", ["I follow a bus."])),
    ("label_words", lambda root: in_label(root, "sentences", ["The light is red."])),
    ("label_metres", lambda root: in_label(root, "sentences", ["I follow a car, 14 m ahead."])),
    ("twin_samples", lambda root: in_pair(root, samples=["nobody", by_hand.sample_of(B, 0)])),
    ("twin_keyframes", late_keyframe),
    ("twin_t0", lambda root: in_pair(root, t0_us=by_hand.T0_US + 500)),
    ("twin_ego_pose", lambda root: pose(root, B, -3, 0.002)),
    ("twin_ego_can", lambda root: messages(root, slice(60, 61), "vel", 0.002)),
    ("twin_ego_can", lambda root: (root / "can_bus" / f"{A}_pose.json").unlink()),
    ("twin_route", other_route),
    ("twin_cause_there", lambda root: in_cause(root, there_s=3.9)),
    ("twin_cause_boxed", cause_comes_and_goes),
    ("twin_cause_boxed", lambda root: in_cause(root, instance="nobody")),
    ("twin_cause_told", lambda root: in_cause(root, pixels=5)),
    ("twin_others", parked_moves),
    ("twin_others", parked_grows),
    ("twin_futures", lambda root: pose(root, B, 6, 11.0)),
    ("twin_gap_told", lambda root: in_pair(root, gap_3s_m=13.0)),
    ("twin_braking_can", lambda root: messages(root, slice(300, 306), "accel", -3.0)),
    ("twin_braking_pose", lambda root: pose(root, A, 3, 0.8)),
    ("twin_command", lambda root: in_label(root, "route", None, B, -2)),
    ("twin_light", lambda root: in_label(root, "signal", RED, B)),
    ("twin_pictures", lambda root: by_hand.picture_path(root, A, 0, "CAM_BACK").unlink()),
    ("twin_pictures_differ", same_pictures),
    ("twin_cause_seen", lambda root: repainted(root, aside_px=30)),
    ("twin_noise_shared", lambda root: repainted(root, seed=1)),
    ("twin_noise_shared", noisy),
]


@pytest.mark.part
@pytest.mark.parametrize(
    ("rule", "breaks"), BREAKS, ids=[f"{k}-{rule}" for k, (rule, _) in enumerate(BREAKS)]
)
def test_with_one_thing_broken_its_rule_goes_red(rule, breaks, sound, tmp_path):
    root = shutil.copytree(sound, tmp_path / "world")
    breaks(root)
    assert rule in broken(root)


@pytest.mark.part
@pytest.mark.parametrize(("aside_px", "holds"), [(0, True), (12, False)])
def test_projected_hulls_are_held_against_masks(aside_px, holds, sound, tmp_path):
    root = shutil.copytree(sound, tmp_path / "world")
    disk = Disk(root / SYNTH)
    camera, token = by_hand.FRONT.name, by_hand.sample_of("scene-2001", 0)
    name = by_hand.instance_token(SYNTH, "scene-2001", by_hand.LEAD)
    left, top, right, bottom = disk.rectangles(camera, disk.sample_of[token])[name]
    mask = np.zeros((90, 160), dtype=np.uint16)
    columns = slice(round(left) + aside_px, round(right) + aside_px)
    mask[round(top) : round(bottom), columns] = 1
    write_dense(root / SYNTH / DENSE_FOLDER, token, {camera: DenseView(mask, (name,), None, ())})
    assert ("box_hull" not in broken(root)) == holds
