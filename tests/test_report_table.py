import json
from pathlib import Path

import pytest
from report_cases import every_kind, results

from drivevlm.report.markdown import as_markdown
from drivevlm.report.results import DASH, answer_rows, detection_rows, remarks
from drivevlm.report.scores import Cells, score_rows, split_rows
from drivevlm.report.table import as_text

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("width", [120, 100, 50])
def test_the_table_looks_as_agreed(width):
    assert as_text(results(), width=width) == (GOLDEN / f"report_table_{width}.txt").read_text()


def test_the_markdown_looks_as_agreed():
    assert as_markdown(results()) == (GOLDEN / "report_table.md").read_text()


@pytest.mark.parametrize("width", [120, 50])
def test_further_figures_and_kinds_of_clips_look_as_agreed(width):
    golden = GOLDEN / f"report_table_kinds_{width}.txt"
    assert as_text(every_kind(), width=width) == golden.read_text()


def test_the_markdown_of_every_kind_looks_as_agreed():
    assert as_markdown(every_kind()) == (GOLDEN / "report_table_kinds.md").read_text()


@pytest.mark.parametrize("width", [120, 100, 80, 50])
def test_no_width_hides_a_number(width):
    """Of L2 and collision; of what is told in brief, the value at 3 s or the average."""
    text = " ".join(as_text(every_kind(), width=width).split())
    for number in ("1.48", "[1.31, 1.66]", "1.11", "[0.00, 2.21]", "120 / 120", "117 / 120"):
        assert number in text
    for number in ("4.00", "1.71", "3.50", "turning 10", "3.70"):
        assert number in text
    assert max(len(line) for line in as_text(every_kind(), width=width).splitlines()) <= width


def test_tokens_and_times_say_how_many_answers_they_are_of():
    ours = answer_rows(results())[0]
    assert (ours.tokens, ours.ms) == ("3120 / 188 of 117", "812 / 790 / 1201 of 117")


def test_a_run_with_covered_eyes_says_so_in_its_first_line():
    covered = {**results(), "blocks": {"cameras": "mean", "ego_status": "off", "prior": "on"}}
    assert as_text(covered).splitlines()[0].endswith("cameras mean · ego_status off")


def test_what_supports_no_claim_says_so_beside_the_numbers():
    said = " ".join(remarks(results()))
    assert "synthetic: generated scenes" in said
    assert "untrained: random weights" in said
    plain = {**results(), "synthetic": False, "planners": {}}
    assert not any(word in " ".join(remarks(plain)) for word in ("synthetic", "untrained"))


def test_a_row_that_learned_says_from_how_much():
    taught = {"train_data": {"name": "nuscenes v1.0-mini"}, "train_clips": 32, "train_scenes": 1}
    planners = {"ego_mlp": {"label": "ego_mlp", "learned_from": taught, "protocols": {}}}
    said = " ".join(remarks({**results(), "planners": planners}))
    assert "ego_mlp learned from 32 clips of 1 other scene of nuscenes v1.0-mini" in said


def test_a_run_that_scores_no_plan_says_so_and_nothing_of_strict_and_lenient():
    unscored = {**results(), "planners": {"vlm": {"label": "vlm", "protocols": {}}}}
    said = " ".join(remarks(unscored))
    assert "No plan is scored" in said
    assert "Strict" not in said


def test_missing_is_a_dash_and_not_zero():
    silent = [row for row in score_rows(results()) if row.planner == "silent"]
    assert [row.l2_m.values for row in silent] == [(DASH,) * 4]
    assert silent[0].n == "0 / 120"
    assert answer_rows(results())[2].consistency == DASH


def test_a_further_figure_has_its_unit_and_what_cannot_be_judged_is_a_dash():
    told = {row.protocol: row for row in score_rows(every_kind()) if row.planner != "expert"}
    exact, light = told["exact"].further, told["lightemma"].further
    assert list(exact) == ["off drivable (%)", "collision at (%)"]
    assert exact["off drivable (%)"].values == ("1.00", "2.00", "4.00", "2.33")
    assert exact["collision at (%)"].values == (DASH,) * 4
    assert light["ADE (m)"] == Cells(("", "", "1.71", ""), "[1.60, 1.90]")
    assert light["miss rate (%)"].values == ("", "", DASH, "")
    assert told["lightemma"].collision_pct.values == (DASH,) * 4
    assert told["uniad"].further == {}


def test_every_kind_of_clips_has_a_row_and_says_how_many_it_holds():
    rows = [(row.protocol, row.split, row.planner, row.n) for row in split_rows(every_kind())]
    name = "embedded tiny-vlm"
    assert rows == [
        ("exact", "straight", name, "100 / 120"),
        ("exact", "turning", name, "10 / 120"),
        ("exact", "standing", name, "0 / 120"),
    ]
    assert split_rows(results()) == ()


def test_lenient_stands_below_strict_only_where_it_differs():
    rows = [(r.protocol, r.planner, r.lenient) for r in score_rows(results())]
    assert rows == [
        ("uniad", "embedded tiny-vlm", False),
        ("uniad", "embedded tiny-vlm", True),
        ("uniad", "expert", False),
        ("uniad", "silent", False),
        ("vad", "embedded tiny-vlm", False),
    ]
    calm = results()
    score = calm["planners"]["drivevlm"]["protocols"]["uniad"]
    score["lenient"] = {key: score[key] for key in ("n", "l2_m", "collision")}
    assert not any(row.lenient for row in score_rows(calm))


def test_a_leak_marks_who_reads_the_prompt_and_nobody_else():
    marks = {row.planner: row.marks for row in score_rows(results())}
    assert marks["embedded tiny-vlm"] == ("untrained", "LEAK")
    assert marks["expert"] == ()
    assert "LEAK" not in as_text({**results(), "leaks": []})


def test_a_note_names_its_planners_where_it_is_not_true_of_all():
    noted = results()
    for name in ("drivevlm", "expert"):
        noted["planners"][name]["protocols"]["uniad"]["notes"] = ["no interval: 3 scenes"]
    lines = remarks(noted)
    assert "vad: needs a complete future of 3 s" in lines
    assert "uniad (embedded tiny-vlm, expert): no interval: 3 scenes" in lines


def test_a_note_of_several_protocols_is_told_once():
    noted = results()
    for score in noted["planners"]["drivevlm"]["protocols"].values():
        score["notes"] = ["no interval: 3 scenes"]
    noted["planners"] = {"drivevlm": noted["planners"]["drivevlm"]}
    told = [line for line in remarks(noted) if "no interval" in line]
    assert told == ["uniad, vad: no interval: 3 scenes"]


def test_null_anywhere_is_no_crash():
    whole = every_kind()
    for path in list(_paths(whole)):
        broken = json.loads(json.dumps(whole))
        node = broken
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = None
        assert as_markdown(broken)
    assert as_text(dict.fromkeys(whole))
    assert as_text({})


def _paths(node, path=()):
    items = node.items() if isinstance(node, dict) else ()
    for key, value in items:
        yield (*path, key)
        yield from _paths(value, (*path, key))


def test_names_are_shown_as_they_are_and_never_as_markup():
    odd = results()
    odd["planners"]["drivevlm"]["label"] = "[red]vlm[/red] | x"
    odd["planners"]["drivevlm"]["detection"] = {"[bold]": 1}
    assert "[red]vlm[/red] | x" in as_text(odd, width=150)
    assert "[red]vlm[/red] \\| x" in as_markdown(odd)


def test_nested_detection_figures_get_rows_of_their_own():
    """A class without labels has no row, a lenient reading none where nothing failed, and notes
    stand among the remarks."""
    found = results()
    found["planners"]["drivevlm"]["detection"] = {
        "failed": 0,
        "recall": 0.5,
        "lenient": {"recall": 0.5},
        "note": "how it is judged",
        "nuscenes": {
            "map": 0.25,
            "failed": 1,
            "by_class": {"car": {"ap": 0.5, "n": 7}, "bus": {"ap": None, "n": 0}},
            "lenient": {"map": 0.75},
        },
    }
    _, rows = detection_rows(found)
    assert rows == (
        ("failed", "0"),
        ("recall", "0.500"),
        ("nuscenes: map", "0.250"),
        ("nuscenes: failed", "1"),
        ("nuscenes: AP car", "0.500 of 7"),
        ("nuscenes: lenient: map", "0.750"),
    )
    assert "detection: how it is judged" in remarks(found)
