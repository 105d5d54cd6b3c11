"""``drivevlm score``: one plan file, every protocol, and what becomes of bad files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import reference
from flat_world import flat_words
from tiny_tables import write_tables

from drivevlm.app import main
from drivevlm.metrics.explain import figure_words
from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.record.plan_file import write_plan_file
from drivevlm.record.run_folder import read_records

ALONE = ["planner=[stop]", "page.clips=0"]


def score(*words: object) -> int:
    return main(["score", *(str(word) for word in words)])


def told(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "scores.json").read_text())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of constant velocity under every protocol."""
    out = tmp_path_factory.mktemp("run") / "r"
    words = ["eval", *flat_words("planner=[constant_velocity]", "protocol=all", "page.clips=0")]
    assert main([*words, f"out={out}"]) == 0
    return out


@pytest.fixture(scope="module")
def plans(run: Path) -> Path:
    """The same plans as a file; those that failed are null."""
    path = run.parent / "plans.json"
    write_plan_file(path, {record.clip: record.decision.plan for record in read_records(run)})
    return path


def test_a_file_scores_as_the_run_that_it_came_from(run: Path, plans: Path, tmp_path, capsys):
    assert score(plans, *flat_words(*ALONE), f"out={tmp_path}/s") == 0
    assert capsys.readouterr().out.rstrip().splitlines()[-1] == f"{tmp_path}/s"
    results = json.loads((run / "results.json").read_text())
    of_run = results["planners"]["constant_velocity"]["protocols"]
    of_file = told(tmp_path / "s")
    assert list(of_file) == list(PROTOCOLS)
    for name, wanted in of_run.items():
        got = of_file[name]
        assert (got["n"], got["n_total"]) == (wanted["n"], wanted["n_total"])
        assert got["lenient"]["n"] == wanted["lenient"]["n"]
        for column, l2_m in wanted["l2_m"].items():
            assert got["l2_m"][column] == pytest.approx(l2_m, abs=1e-5)
        assert got["collision"] == wanted["collision"]
    assert {"1s", "2s", "3s", "avg"} == set(of_file["bevplanner"]["ccr"])


def test_every_sample_has_a_line_a_protocol(plans: Path, tmp_path):
    score(plans, *flat_words(*ALONE, "protocol=[uniad,exact]"), f"out={tmp_path}/s")
    lines = (tmp_path / "s" / "scores_per_sample.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [sum(row["protocol"] == name for row in rows) for name in ("uniad", "exact")] == [18, 6]
    last = next(row for row in rows if row["token"] == rows[17]["token"])
    assert last["valid"] == [False] * 6
    assert last["d_m"] == last["agents"]["hit"] == last["agents"]["gt_hit"] == [None] * 6


def test_null_and_missing_plans_are_stops_when_strict_and_absent_when_lenient(
    run: Path, plans: Path, tmp_path, capsys
):
    file = json.loads(plans.read_text())
    tokens = [token for token, plan in file["plans"].items() if plan is not None]
    file["plans"][tokens[0]] = None
    del file["plans"][tokens[1]]
    (tmp_path / "plans.json").write_text(json.dumps(file))
    words = [*flat_words(*ALONE, "protocol=uniad"), f"out={tmp_path}/s"]
    assert score(tmp_path / "plans.json", *words) == 0
    assert f"have no plan in the file: {json.dumps(tokens[1])}" in capsys.readouterr().out
    uniad = told(tmp_path / "s")["uniad"]
    assert (uniad["n"], uniad["lenient"]["n"]) == (18, 18 - 2 - 2)  # two lack a past in the run
    results = json.loads((tmp_path / "s" / "results.json").read_text())
    stop, [noted] = results["planners"]["stop"], results["plan_file"]["notes"]
    assert tokens[1] in noted
    assert noted in uniad["notes"]
    rows = (tmp_path / "s" / "scores_per_sample.jsonl").read_text().splitlines()
    by_token = {row["token"]: row for row in map(json.loads, rows)}
    assert [by_token[t]["answered"] for t in tokens[:3]] == [False, False, True]
    assert stop["protocols"]["uniad"]["lenient"]["n"] == 18
    assert by_token[tokens[0]]["d_m"][0] > 1.0


def test_plans_in_other_axes_are_warned_of(tmp_path, capsys):
    root = write_tables(tmp_path / "data", names=[f"scene-{k}" for k in range(2001, 2007)])
    tokens = [row["token"] for row in json.loads((root / "v1.0-mini" / "sample.json").read_text())]
    ahead = [[0.5 * k * 8.0, 0.0] for k in range(1, 7)]
    swapped = {"frame": "lidar", "dt_s": 0.5, "plans": dict.fromkeys(tokens, ahead)}
    (tmp_path / "swapped.json").write_text(json.dumps(swapped))
    words = [*ALONE, "data=nuscenes", f"data.root={root}", f"out={tmp_path}/s"]
    assert score(tmp_path / "swapped.json", *words, "protocol=vad", "data.version=v1.0-mini") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "turned a quarter" in said
    [noted] = json.loads((tmp_path / "s" / "results.json").read_text())["plan_file"]["notes"]
    assert "turned a quarter" in noted


def test_without_a_map_its_figures_are_none_and_the_others_stand(tmp_path):
    root = write_tables(tmp_path / "data")
    tokens = [row["token"] for row in json.loads((root / "v1.0-mini" / "sample.json").read_text())]
    plan = np.zeros((6, 2)).tolist()
    file = {"frame": "ego", "dt_s": 0.5, "plans": dict.fromkeys(tokens, plan)}
    (tmp_path / "plans.json").write_text(json.dumps(file))
    words = [*ALONE, "data=nuscenes", f"data.root={root}", "data.version=v1.0-mini"]
    assert score(tmp_path / "plans.json", *words, f"out={tmp_path}/s") == 0
    scores = told(tmp_path / "s")
    for name, figure in (("bevplanner", "ccr"), ("omnidrive", "off_drivable")):
        assert set(scores[name][figure].values()) == {None}
        assert scores[name]["collision"]["3s"] is not None
        words = figure_words(figure)
        assert any(f"{words}: judged in 0 of" in note for note in scores[name]["notes"])
    assert set(scores["exact"]["off_drivable"].values()) == {None}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"frame": "ego", "dt_s": 0.5, "plans": {"nobody": null}}', "another version or split"),
        ('{"frame": "ego", "dt_s": 0.1, "plans": {"a": null}}', "dt_s"),
        ("not json", "JSON"),
    ],
)
def test_a_bad_file_ends_in_one_clear_line(content: str, said: str, tmp_path, capsys):
    (tmp_path / "plans.json").write_text(content)
    assert score(tmp_path / "plans.json", *flat_words(*ALONE), f"out={tmp_path}/s") == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("planner=[vlm,stop]", "vlm is not scored"),
        ("fallback=ctrv", "as a stop"),
        ("protocol=[]", "no protocol is left"),
    ],
)
def test_what_only_an_evaluation_can_be_told_is_refused(
    word: str, said: str, plans: Path, tmp_path, capsys
):
    assert score(plans, *flat_words("page.clips=0", word), f"out={tmp_path}/s") == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_nothing_but_plans_is_judged_beside_a_plan_file(plans: Path, tmp_path):
    words = [*flat_words("planner=[expert]", "protocol=vad", "page.clips=0"), f"out={tmp_path}/s"]
    assert score(plans, *words) == 0
    expert = json.loads((tmp_path / "s" / "results.json").read_text())["planners"]["expert"]
    assert expert["protocols"]["vad"]["l2_m"]["avg"] < 0.03
    assert expert["detection"] is None


def test_the_help_tells_the_defaults_of_scoring(capsys):
    assert main(["score", "--help"]) == 0
    said = capsys.readouterr().out
    assert "  protocol: all" in said or "  protocol:\n  - all" in said
    assert "  - vlm\n" not in said.partition("Settings and their defaults")[2]


@pytest.mark.parametrize("columns", [80, 120, 160])
def test_an_overview_of_the_protocols_breaks_no_word(columns: int, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["protocols"]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= columns
    words = set(re.split(r"[\s,;]+", said))
    for name, protocol in PROTOCOLS.items():
        rule = protocol.rule
        told = f"{name} {rule.agents} {rule.grid} {rule.source.partition(',')[0]}"
        assert set(re.split(r"[\s,;]+", told)) <= words


def test_a_runs_folder_is_not_written_over(run: Path, plans: Path, capsys):
    before = (run / "results.json").read_bytes()
    assert score(plans, *flat_words(*ALONE), f"out={run}") == 2
    assert "is the folder of a run" in capsys.readouterr().err
    assert (run / "results.json").read_bytes() == before


@pytest.mark.part
def test_the_peers_figures_come_from_one_file(tmp_path):
    """The public split from its tables: n, L2 and collision as the peers' code gave them."""
    folder = reference("planning_metrics") / "public"
    predictions = json.loads((folder / "predictions.json").read_text())
    plans = {token: made["traj_lidar"] for token, made in predictions.items()}
    file = {"frame": "lidar", "dt_s": 0.5, "plans": plans}
    (tmp_path / "plans.json").write_text(json.dumps(file))
    words = [*ALONE, "data=nuscenes", f"data.root={folder / 'nuscenes_synth'}"]
    words += ["data.version=v1.0-mini", f"out={tmp_path}/s"]
    assert score(tmp_path / "plans.json", *words) == 0
    scores = told(tmp_path / "s")
    wanted = json.loads((folder / "expected_aggregate.json").read_text())
    for name, (key, l2, collision) in PEERS_KEYS.items():
        assert scores[name]["n"] == wanted[key]["n_samples"]
        for k in (1, 2, 3):
            got = scores[name]["l2_m"][f"{k}s"]
            assert got == pytest.approx(at(wanted[key], l2, k), abs=5e-4), name
            if collision:
                got = scores[name]["collision"][f"{k}s"]
                assert got == pytest.approx(at(wanted[key], collision, k), abs=0.003), name
    for k in (1, 2, 3):
        ccr = wanted["bevplanner"][f"plan_obj_box_col_plus_{k}s"]
        assert scores["bevplanner"]["ccr"][f"{k}s"] == pytest.approx(ccr)
        off = wanted["omnidrive"][f"plan_boundary_{k}s"]
        assert scores["omnidrive"]["off_drivable"][f"{k}s"] == pytest.approx(off)


PEERS_KEYS = {
    "uniad": ("uniad", "uniad_definition/L2/{}s", "uniad_definition/obj_box_col/{}s"),
    "uniad_stp3": ("uniad", "stp3_definition/L2/{}s", "stp3_definition/obj_box_col/{}s"),
    "uniad_v2": (
        "uniad_v2branch",
        "uniad_definition/L2/{}s",
        "uniad_definition/obj_box_col/{}s",
    ),
    "vad": ("vad", "plan_L2_{}s", "plan_obj_box_col_{}s"),
    "stp3": ("stp3", "plan_L2_{}s", "plan_obj_box_col_{}s"),
    "admlp": ("admlp_pytorch", "plan_L2_{}s", "plan_obj_box_col_{}s"),
    "sparsedrive": ("sparsedrive", "L2_{}s", "obj_box_col_{}s"),
    "bevplanner": ("bevplanner", "plan_L2_{}s", "plan_obj_box_col_{}s"),
    "omnidrive": ("omnidrive", "l2_{}s", "plan_obj_box_col_{}s"),
    "lightemma": ("lightemma", "L2_{}s", ""),
}


def at(node: Any, path: str, k: int) -> float:
    for key in path.format(k).split("/"):
        node = node[key]
    return node
