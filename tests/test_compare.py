"""Two run folders, compared from the command line."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import jsonschema
import pytest
from flat_world import flat_root, flat_words

from drivevlm.app import main
from drivevlm.record import run_folder

SCHEMA = Path(run_folder.__file__).with_name("compare.schema.json")


def run(words, capsys) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    home = tmp_path_factory.mktemp("runs")
    for name, words in {
        "cv": ["planner=[constant_velocity,stop]"],
        "cv-again": ["planner=[constant_velocity,stop]"],
        "expert": ["planner=[expert]"],
        "one-scene": ["planner=[expert]", "data.scenes=[scene-2001]"],
        "other-scene": ["planner=[expert]", "data.scenes=[scene-2002]"],
        "uniad": ["planner=[stop]", "fallback=ctrv"],
    }.items():
        protocol = "uniad" if name == "uniad" else "vad"
        words = [*flat_words(f"protocol=[{protocol}]", "page.clips=0"), *words]
        assert main(["eval", *words, f"out={home}/{name}"]) == 0
    return home


def told(folder) -> dict:
    """What was written, which is always of the published form."""
    found = json.loads((folder / "compare.json").read_text())
    jsonschema.validate(found, json.loads(SCHEMA.read_text()))
    return found


def cells(compared_json) -> list[dict]:
    return [
        cell
        for protocol in compared_json["protocols"].values()
        for means in (
            protocol["strict"],
            protocol["lenient"],
            *(m for split in protocol["splits"].values() for m in split.values()),
        )
        for row in means["figures"].values()
        for cell in row.values()
    ]


def test_two_runs_of_one_configuration_differ_by_exactly_nothing(runs, capsys):
    code, out, err = run(["compare", runs / "cv", runs / "cv-again"], capsys)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == str(runs / "cv-again" / "compare-cv" / "compare.html")
    found = told(runs / "cv-again" / "compare-cv")
    assert (found["format"], found["changed"]) == (1, 0)
    differences = [cell["difference"] for cell in cells(found)]
    assert len(differences) > 20
    assert set(differences) <= {0.0, None}
    assert 0.0 in differences
    assert "0 of 18 clips changed" in out
    page = (runs / "cv-again" / "compare-cv" / "compare.html").read_text()
    assert "No clip changed" in page


def test_b_turns_into_a_when_they_change_places(runs, capsys, tmp_path):
    for name, pair in {"ab": ("cv", "expert"), "ba": ("expert", "cv")}.items():
        words = [*(runs / side for side in pair), f"out={tmp_path}/{name}", "page.clips=0"]
        assert run(["compare", *words], capsys)[0] == 0
    forth, back = (cells(told(tmp_path / name)) for name in ("ab", "ba"))
    for one, other in zip(forth, back, strict=True):
        assert one["a"] == other["b"]
        if one["difference"] is not None:
            assert one["difference"] == pytest.approx(-other["difference"])


def test_the_difference_to_the_driver_is_the_error_itself(runs, capsys, tmp_path):
    words = [runs / "cv", runs / "expert", f"out={tmp_path}", "page.clips=3"]
    code, out, _ = run(["compare", *words], capsys)
    assert code == 0
    cell = told(tmp_path)["protocols"]["vad"]["strict"]["figures"]["l2_m"]["avg"]
    own = json.loads((runs / "cv" / "results.json").read_text())["planners"]["constant_velocity"]
    assert cell["a"] == pytest.approx(own["protocols"]["vad"]["l2_m"]["avg"])
    assert cell["difference"] == pytest.approx(-cell["a"])
    assert "…" not in out  # nothing is cut in 80 columns
    assert "no interval: 2 scenes, at least 20 are needed" in out
    page = (tmp_path / "compare.html").read_text()
    assert page.count("<article") == 3
    assert len(re.findall(r'aria-label="CAM_[A-Z_]*"', page)) == 3
    assert page.count("data:image/jpeg") == 3
    by_clip = {row["token"]: abs(row["difference"] or 0) for row in told(tmp_path)["by_clip"]}
    order = [by_clip[token] for token in re.findall(r"<code>(\w+)</code>", page)]
    assert order == sorted(by_clip.values(), reverse=True)[:3]


def test_planners_are_chosen_for_both_runs_or_for_each(runs, capsys, tmp_path):
    for words, planners in (
        ([], ("constant_velocity", "constant_velocity")),
        (["planner=stop"], ("stop", "stop")),
        (["planner=constant_velocity,stop"], ("constant_velocity", "stop")),
    ):
        out = [f"out={tmp_path}", "page.clips=0", *words]
        code, _, err = run(["compare", runs / "cv", runs / "cv", *out], capsys)
        assert (code, err) == (0, "")
        assert (told(tmp_path)["a"]["planner"], told(tmp_path)["b"]["planner"]) == planners


def test_clips_of_one_run_alone_are_counted_and_left_out(runs, capsys, tmp_path):
    """Other scenes are another digest, but the clips that both have are the same."""
    words = [runs / "expert", runs / "one-scene", f"out={tmp_path}", "page.clips=0"]
    code, out, err = run(["compare", *words], capsys)
    assert (code, err) == (0, "")
    assert "clips: 9 in both, 9 only in a, 0 only in b" in out
    assert told(tmp_path)["clips"] == {"both": 9, "only_a": 9, "only_b": 0}
    different = {row["setting"]: row["b"] for row in told(tmp_path)["different"]}
    assert different["data.scenes"] == '["scene-2001"]'


def test_what_does_not_compare_is_refused_in_one_line(runs, capsys, tmp_path):
    for a, b, words, said in (
        ("one-scene", "other-scene", [], "have no clip in common"),
        ("cv", "uniad", [], "choose who scores both, protocol="),
        ("cv", "uniad", ["protocol=vad"], "choose one for both, fallback="),
        ("cv", "expert", ["planner=stop"], "holds no decision of stop"),
        ("cv", "expert", ["planner=a,b,c"], "planner takes one name"),
        ("cv", "expert", ["protocol=vda"], "'vda' is none"),
        ("cv", "expert", ["plannr=stop"], "did you mean planner"),
        ("cv", "expert", ["page.clips=-1"], "clips is not negative"),
        ("cv", "nowhere", [], "is no run folder"),
    ):
        code, _, err = run(["compare", runs / a, runs / b, *words, f"out={tmp_path}"], capsys)
        assert (code, err.count("\n")) == (2, 1), err
        assert said in err
    both = ["protocol=vad", "fallback=stop", "page.clips=0", f"out={tmp_path}"]
    assert run(["compare", runs / "cv", runs / "uniad", *both], capsys)[0] == 0
    assert run(["compare", runs / "cv"], capsys)[0] == 2


def test_a_protocol_of_one_run_alone_is_named_and_left_out(runs, capsys, tmp_path):
    words = [*flat_words("protocol=[vad,stp3]", "planner=[stop]", "page.clips=0")]
    assert run(["eval", *words, f"out={tmp_path}/more"], capsys)[0] == 0
    out = f"out={tmp_path}/c"
    code, said, err = run(["compare", runs / "cv", tmp_path / "more", out], capsys)
    assert (code, err) == (0, "")
    assert f"{tmp_path}/more alone was scored by stp3: left out" in said
    assert list(told(tmp_path / "c")["protocols"]) == ["vad"]


def test_other_roads_under_the_same_names_are_refused(runs, capsys, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(flat_root(), root)
    poses = root / "v1.0-flat" / "ego_pose.json"
    moved = json.loads(poses.read_text())
    for pose in moved:
        pose["translation"][0] *= 1.001
    poses.write_text(json.dumps(moved))
    words = ["data=nuscenes", f"data.root={root}", "data.version=v1.0-flat", "planner=[stop]"]
    words += ["page.clips=0", "protocol=[vad]", f"out={tmp_path}/r"]
    assert run(["eval", *words], capsys)[0] == 0
    code, _, err = run(["compare", runs / "cv", tmp_path / "r"], capsys)
    assert (code, err.count("\n")) == (2, 1)
    assert "made with different data" in err
    assert "recorded poses differ" in err


@pytest.mark.part
def test_a_covered_eye_is_told_with_what_was_asked_differently(capsys, tmp_path):
    base = flat_words("data.scenes=[scene-2001]", "planner=[vlm]", "page.clips=0")
    for name, words in {"a": [], "b": ["block.ego_status=off"]}.items():
        words = [*base, "vlm=untrained", "prompt=plan_only", *words, f"out={tmp_path}/{name}"]
        assert run(["eval", *words], capsys)[0] == 0
    code, out, err = run(["compare", tmp_path / "a", tmp_path / "b", "page.clips=2"], capsys)
    assert (code, err) == (0, "")
    found = told(tmp_path / "b" / "compare-a")
    different = {row["setting"]: (row["a"], row["b"]) for row in found["different"]}
    assert different["block.ego_status"] == ("on", "off")
    assert found["answers"]["a"]["tokens"]["n"] == 9
    assert "ego_status off" in out
    page = (tmp_path / "b" / "compare-a" / "compare.html").read_text()
    assert "what was asked differently" in page
    assert page.count("raw reply") == 4
