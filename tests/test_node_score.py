"""``drivevlm node-score``: what latency costs, from a run folder to table, picture and page."""

import json
import shutil

import pytest
from flat_world import flat_words

from drivevlm.app import main
from drivevlm.app.settings import recorded
from drivevlm.build.parts import Parts
from drivevlm.build.table import Chosen
from drivevlm.metrics.held import Keyframe
from drivevlm.record.published import append_published
from drivevlm.record.run_folder import read_records
from drivevlm.world.published import Published

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """Two baselines on two scenes of 9 keyframes, 3 of each with a future of 3 s."""
    out = tmp_path_factory.mktemp("node-score") / "run"
    words = flat_words("planner=[constant_velocity,expert]", "protocol=[exact]", "page.clips=1")
    assert main(["eval", *words, f"out={out}"]) == 0
    return out


@pytest.fixture
def folder(run_folder, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(run_folder, tmp_path / "run")


def node_score(folder, capsys, *more) -> tuple[dict, str]:
    assert main(["node-score", f"run={folder}", *more]) == 0
    return json.loads((folder / "node_score.json").read_text()), capsys.readouterr().out


def publish(folder, *, planner: str, latency_us: int) -> None:
    """As if a node had published these decisions while the run was replayed."""
    values, groups = recorded(folder, [])
    recording = Parts.of(Chosen.of({**values, "planner": ["stop"]}, groups), print).recording
    for record in read_records(folder):
        if record.planner == planner and record.decision.plan is not None:
            keyframe = Keyframe.of(recording.truth(record.clip))
            plan = Published.of(
                record.decision.plan,
                scene=keyframe.scene,
                stamp_us=keyframe.stamp_us,
                global_from_ego=keyframe.global_from_ego,
                latency_us=latency_us,
            )
            append_published(folder, plan)


def test_a_run_folder_gets_its_score_its_picture_and_a_page_that_shows_both(folder, capsys):
    told, out = node_score(folder, capsys)
    assert out.rstrip().splitlines()[-1] == str(folder / "report.html")
    assert (told["planner"], told["protocol"]) == ("constant_velocity", "exact")
    assert told["rows"]["ideal"]["n"] == 6
    assert list(told["rows"]) == ["ideal", "stop"]  # constant velocity is the planner itself
    assert len(told["swept"]) == 21
    assert (folder / "node_score.png").read_bytes().startswith(PNG)
    page = (folder / "report.html").read_text()
    assert "late plans of constant_velocity" in page
    assert "data:image/png;base64," in page
    for words in ("ideal", "artificial", "2.0", "no real latency", "no interval: 2 scenes"):
        assert words in out
        assert words in page


def test_the_ideal_is_the_runs_own_score(folder, capsys):
    told, _ = node_score(folder, capsys)
    results = json.loads((folder / "results.json").read_text())
    own = results["planners"]["constant_velocity"]["protocols"]["exact"]
    ideal = told["rows"]["ideal"]
    for figure in ("l2_m", "collision"):
        strict = {step: mean["mean"] for step, mean in ideal[figure]["strict"].items()}
        assert strict == pytest.approx(own[figure], abs=1e-6)
    assert ideal["with_plan"] == own["lenient"]["n"] < own["n"] == ideal["n"]


def test_what_a_node_published_stands_beside_the_ideal_with_its_latency(folder, capsys):
    publish(folder, planner="constant_velocity", latency_us=300_000)
    told, out = node_score(folder, capsys)
    assert told["latency_s"] == {"p50": 0.3, "p95": 0.3, "max": 0.3, "n": 16}
    real, artificial = told["rows"]["as published"], told["swept"][3]
    assert artificial.pop("latency_s") == 0.3
    assert real == artificial
    assert real["with_plan"] < told["rows"]["ideal"]["with_plan"]
    assert "as published 0.30 / 0.30" in " ".join(out.split())
    assert told["stages_ms"]["stamp to heard"]["p50"] == 300.0


def test_another_planner_of_the_run_was_not_published(folder, capsys):
    publish(folder, planner="constant_velocity", latency_us=300_000)
    told, _ = node_score(folder, capsys, "planner=expert")
    assert list(told["rows"]) == ["ideal", "constant_velocity", "stop"]
    assert told["rows"]["ideal"]["l2_m"]["strict"]["avg"]["mean"] == pytest.approx(0, abs=1e-6)


def test_a_report_keeps_the_section_until_the_run_has_other_decisions(folder, capsys):
    node_score(folder, capsys)
    assert main(["report", str(folder)]) == 0
    assert "late plans of" in (folder / "report.html").read_text()
    lines = (folder / "records.jsonl").read_text().splitlines(keepends=True)
    first = next(k for k, line in enumerate(lines) if '"constant_velocity"' in line)
    (folder / "records.jsonl").write_text("".join(lines[:first] + lines[first + 1 :]))
    assert main(["report", str(folder)]) == 0
    assert "late plans of" not in (folder / "report.html").read_text()


def test_a_run_without_a_page_gets_the_picture(folder, capsys):
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config.replace("clips: 1", "clips: 0"))
    _, out = node_score(folder, capsys)
    assert out.rstrip().splitlines()[-1] == str(folder / "node_score.png")


def test_bad_words_end_in_one_line_that_says_what_to_do(folder, capsys, tmp_path):
    for words, said in (
        ([], "run is not set: drivevlm node-score run=runs/..."),
        (["runs/a"], "expected key=value, got 'runs/a'"),
        (["rum=a"], "rum is no setting of node-score, did you mean run?"),
        ([f"run={tmp_path}/none"], "none is no run folder: it has no run.json"),
        ([f"run={folder}", "planner=vlm"], "holds no decision of vlm: it has constant_velocity"),
    ):
        assert main(["node-score", *words]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1


def test_a_bad_line_of_what_was_published_is_named(folder, capsys):
    (folder / "published.jsonl").write_text("{}\n")
    assert main(["node-score", f"run={folder}"]) == 2
    assert "published.jsonl, line 1: expected a published" in capsys.readouterr().err
