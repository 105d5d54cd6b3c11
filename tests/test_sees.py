"""Laws of the table of what a model sees: rows are settings, cells are figures or dashes."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from datetime import datetime
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from drivevlm.app import composed
from drivevlm.build.settings import SettingError
from drivevlm.build.table import Chosen
from drivevlm.build.taught import TAUGHT, taught_forms
from drivevlm.record.run_folder import RecordError
from drivevlm.vlm.config import SHIPPED

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PARTS = ("rows", "sets", "runs", "figures", "collect", "markdown", "taught")
with pytest.MonkeyPatch.context() as path:
    path.setattr(sys, "path", [*sys.path, str(BENCHMARKS)])
    rows, sets, runs, figures, collect, markdown, taught = (
        import_module(f"seeing.{part}") for part in PARTS
    )
    sees = import_module("sees")
ASKED = {asked.name: asked for asked in rows.every_row()}
SCENES = sets.DataSet.of("scenes", "demo data.scenes=[scene-2004]")
NOW = datetime(2026, 12, 1, 12, 0)
MODEL = {"name": "tiny", "revision": "sha256:0123 float32", "batch_size": 8}


@cache
def chosen(name: str) -> Chosen:
    words = runs.Runs(Path("runs"), "", "").words(ASKED[name], SCENES)
    return Chosen.of(*composed(words))


def results(**told: Any) -> dict[str, Any]:
    """A small ``results.json`` of two clips, one of them an onset; ``told`` is the model's."""
    figure = {"1s": 0.25, "2s": 0.5, "3s": 1.5, "avg": 0.75}
    ends = dict.fromkeys(figure) | {"avg": [0.5, 1.0]}
    exact = {
        "n": 2,
        "l2_m": figure,
        "collision": figure | {"3s": 0.5},
        "ci95": {"l2_m": ends},
        "splits": {"onset": {"n": 1, "l2_m": figure, "ci95": {}}},
    }
    planner = {
        "label": "vlm tiny",
        "model": MODEL,
        "protocols": {"exact": exact},
        "failures": {"total": 2, "failed": 1},
        "tokens": {"reply_mean": 16.0},
        "ms": {"mean": 1234.0},
        **told,
    }
    return {
        "synthetic": True,
        "data": {"name": "made", "clips": 2, "scenes": 1, "digest": "d"},
        "planners": {"vlm": planner},
        "decisions": {"made": 2, "wanted": 2},
    }


REASONS = {
    "longitudinal": {"accuracy": 0.75, "n": 2, "ci95": None, "constant": {"accuracy": 0.5}},
    "signal": {
        "accuracy": 0.9,
        "by_distance": {"0-15 m": {"n": 3, "accuracy": 1.0}, "60+ m": {"n": 1, "accuracy": 0.0}},
    },
}
TWINS = {
    "n": 4,
    "pair": 0.25,
    "single": 0.5,
    "ci95": {"pair": [0.125, 0.5]},
    "by": {"family": {"jaywalker": {"n": 2, "pair": 0.5}}, "town": {"t1": {"n": 4, "pair": 0.25}}},
}


def put(of: Any, asked: Any, told: dict[str, Any]) -> None:
    """A finished run, as ``drivevlm eval`` would have left it."""
    folder = of.folder(asked, SCENES)
    folder.mkdir(parents=True)
    words = ["drivevlm", "eval", *of.words(asked, SCENES), f"out={folder}"]
    start = {"command": words, "git": {"commit": None, "dirty": None}, "started": "then"}
    facts = {"format": 1, "identity": {"models": {"vlm": MODEL}}, "starts": [start]}
    (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    (folder / "results.json").write_text(json.dumps(told), encoding="utf-8")


@pytest.mark.parametrize("name", ASKED)
def test_every_row_is_settings_that_eval_takes(name):
    settings = chosen(name).settings
    assert settings.protocol == ("exact",)
    assert settings.page.clips == 0
    assert settings.planner == (rows.MOTIONS if name == "baselines" else ("vlm",))


def test_rows_change_what_they_say_and_nothing_else():
    full = chosen("full")
    for name, block in (("covered", "cameras"), ("no_ego_status", "ego_status")):
        changed = chosen(name)
        switch = {"covered": "mean", "no_ego_status": "off"}[name]
        assert getattr(changed.settings.block, block).value == switch
        block_now = replace(changed.settings.block, **{block: getattr(full.settings.block, block)})
        assert block_now == full.settings.block
    assert chosen("exchanged").settings.block.cameras.value == "swap"
    assert chosen("swapped_command").settings.block.command.value == "swap"
    assert chosen("no_history").prompt.images.frames == 1
    assert full.prompt.images.frames == 2
    assert (chosen("bfloat16").vlm[1].dtype, chosen("int8").vlm[1].quantisation) == (
        "bfloat16",
        "int8",
    )
    one = chosen("batch_1")
    assert (one.vlm[1].batch_size, one.settings.run.scenes_in_flight) == (1, 1)


def test_a_form_is_its_sections_and_inputs_are_taken_away_in_any_form():
    sections = {name: [s.value for s in chosen(name).prompt.sections] for name in ASKED}
    assert sections["full"] == []
    assert sections["plan_only"] == sections["covered-plan_only"] == ["PLAN"]
    assert sections["brief"] == ["SCENE", "SPATIAL", "DECIDE", "PLAN"]
    assert sections["plan_first"][0] == "PLAN"
    assert len(sections["plan_first"]) == 5
    assert ASKED["covered-plan_only"].base == ASKED["plan_only"]


def test_networks_need_a_root_to_learn_from_and_packed_data_their_tables(tmp_path):
    assert "blind_mlp" not in rows.baseline_words("")[0]
    assert rows.baseline_words("/w")[1] == "mlp.train_root=/w"
    packed, world = tmp_path / "packed", tmp_path / "world"
    packed.mkdir()
    (packed / "manifest.json").write_text("{}")
    (world / "v1.0-synth").mkdir(parents=True)
    with pytest.raises(SettingError, match="world=ROOT"):
        sees.Settings(scenes=str(packed), train="/w").sets()
    (data,) = sees.Settings(scenes=str(packed), train="/w", world=str(world)).sets()
    assert data.words == ("data=packed", f"data.path={packed}")
    assert data.tables[:2] == ("data=nuscenes", f"data.root={world}")
    words = runs.Runs(Path("runs"), "", "", "/w").words(ASKED["baselines"], data)
    assert Chosen.of(*composed(words)).settings.mlp.train_root == "/w"


def test_cells_are_the_figures_and_what_is_missing_is_none():
    told = figures.figures(results(reasons=REASONS, twins=TWINS), "vlm")
    assert told["all"]["l2_m"]["avg"] == 0.75
    assert told["all"]["ci95"]["avg"] == [0.5, 1.0]
    assert told["all"]["collision"] == 0.5
    assert (told["onset"]["n"], told["onset"]["l2_m"]["3s"]) == (1, 1.5)
    assert told["signal"] == {"accuracy": 0.75, "n": 4}  # 3 of 4 lights
    assert told["decision"]["longitudinal"]["constant"] == 0.5
    assert told["twins"]["by_family"]["jaywalker"]["pair"] == 0.5
    assert told["twins"]["by_town"]["t1"]["pair"] == 0.25
    assert told["parsed"] == {"rate": 0.5, "n": 2}
    bare = figures.figures(results(), "vlm")
    assert bare["twins"]["pair"] is bare["signal"]["accuracy"] is bare["lead_gap"]["n"] is None
    assert bare["decision"]["lateral"]["accuracy"] is bare["detection"]["recall"] is None
    assert figures.figures(results(), "blind_mlp") is None


def test_the_table_says_synthetic_first_and_a_dash_where_nothing_was_run(tmp_path):
    of = runs.Runs(tmp_path, "", "sha256:0123")
    put(of, ASKED["full"], results(reasons=REASONS, twins=TWINS))
    put(of, ASKED["plan_only"], results())
    wanted = [ASKED[name] for name in ("full", "plan_only", "covered")]
    told = collect.collected(of, [SCENES], wanted, folder=SHIPPED, command=["sees.py"], now=NOW)
    text = markdown.as_markdown(told)
    assert "synthetic" in text.splitlines()[0]
    assert "sha256:0123" in text.splitlines()[0]
    l2, answers = (text.split(title)[1] for title in ("Scenes, L2", "Scenes, answers"))
    cells = {
        line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ")[1:]
        for line in l2.split("Scenes, answers")[0].splitlines()
    }
    assert cells["full"][:6] == ["2", "0.25", "0.50", "1.50", "0.75 [0.50, 1.00]", "50.0"]
    assert set(cells["covered"]) == {"-"}
    said = next(line for line in answers.splitlines() if line.startswith("| full"))
    assert said.strip("| ").split(" | ")[1:5] == ["0.500 (2)", "0.75 (0.50)", "-", "0.75 (4)"]
    silent = next(line for line in answers.splitlines() if line.startswith("| plan_only"))
    assert silent.strip("| ").split(" | ")[1:] == ["0.500 (2)", *["-"] * 7, "16", "1234"]
    missing = next(row for row in told["rows"] if row["row"] == "covered")
    assert missing["on"] == {"scenes": None}
    assert told["differences"] == told["same_replies"] == []


def test_a_finished_run_is_not_run_again_and_a_broken_off_one_is(tmp_path, monkeypatch):
    of = runs.Runs(tmp_path, "", "sha256:0123")
    put(of, ASKED["full"], results())
    put(of, ASKED["plan_only"], {**results(), "decisions": {"made": 1, "wanted": 2}})
    ran = []

    def called(words, log):
        ran.append((words[-1], log.name))
        return ""

    monkeypatch.setattr(runs, "called", called)
    wanted = [ASKED[name] for name in ("full", "plan_only", "covered")]
    assert sees.run_all(of, [SCENES], wanted, Console(file=io.StringIO())) == []
    assert ran == [
        (f"out={tmp_path / name}", f"{name}.log") for name in ("plan_only-scenes", "covered-scenes")
    ]


def test_a_folder_of_other_settings_or_of_another_model_is_refused(tmp_path):
    of = runs.Runs(tmp_path, "", "sha256:0123")
    put(of, ASKED["full"], results())
    assert of.finished(ASKED["full"], SCENES)
    with pytest.raises(RecordError, match="the model is sha256:4567 now"):
        replace(of, digest="sha256:4567").finished(ASKED["full"], SCENES)
    with pytest.raises(RecordError, match=r"holds another run \(data\.scenes="):
        of.finished(ASKED["full"], sets.DataSet.of("scenes", "demo"))


def test_rows_of_other_data_do_not_stand_in_one_table(tmp_path):
    of = runs.Runs(tmp_path, "", "sha256:0123")
    put(of, ASKED["full"], results())
    packed_anew = {**results(), "data": {**results()["data"], "digest": "e"}}
    put(of, ASKED["plan_only"], packed_anew)
    with pytest.raises(RecordError, match="full and plan_only were made with different data"):
        collect.collected(of, [SCENES], [], folder=SHIPPED, command=["sees.py"], now=NOW)


def test_a_comparison_that_fails_is_told(tmp_path, monkeypatch):
    of = runs.Runs(tmp_path, "", "sha256:0123")
    for name in ("full", "plan_only"):
        put(of, ASKED[name], results())
    monkeypatch.setattr(runs, "called", lambda words, log: "exit code 2: other data")
    pair = (ASKED["full"], "vlm"), (ASKED["plan_only"], "vlm")
    assert of.compared(SCENES, *pair) is None
    assert of.troubles == ["exit code 2: other data"]


def test_a_form_that_was_not_taught_is_told(tmp_path):
    model = tmp_path / "last"
    model.mkdir()
    words = runs.Runs(tmp_path, "", "").words(ASKED["no_history"], SCENES)
    assert taught_forms(model) is None
    about = json.loads((SHIPPED / TAUGHT).read_text())
    about["forms"] = {"full": 0.2, "plan_first": 0.0, "plan_only": 0.8}
    (model / TAUGHT).write_text(json.dumps(about))
    assert taught_forms(model) == ("full", "plan_only")
    older = "was taught with prompt.images.frames=2, not 1"
    assert taught.doubts(words, "full", model) == [older]
    assert taught.doubts(words, "plan_first", model) == [
        "was not taught the form plan_first",
        older,
    ]


def test_a_command_that_fails_is_told_by_its_last_line(tmp_path):
    log = tmp_path / "made" / "x.log"
    trouble = runs.called(["protocols", "nothing"], log)
    assert trouble.startswith("exit code 2: drivevlm protocols: ")
    assert str(log) in trouble
