from report_cases import results

from drivevlm.report.eyes import reason_table, twin_table
from drivevlm.report.markdown import as_markdown
from drivevlm.report.page import write_page
from drivevlm.report.results import DASH, remarks
from drivevlm.report.table import as_text


def group(n, pair, single=None, ci95=None):
    return {"n": n, "pair": pair, "single": single, "ci95": {"pair": ci95, "single": None}}


def twins(pair, **options):
    """Of 38 pairs; half of them of one family, which one planner gets right more often."""
    return {
        **group(38, pair, (1 + pair) / 2, [pair - 0.05, pair + 0.05]),
        "n_total": 40,
        "failed": 0,
        "by": {
            "family": {"stopped_vehicle": group(19, pair / 2), "jaywalker": group(19, 1.0)},
            "town": {"elm": group(38, pair)},
            "distance": {"0-15 m": group(38, pair)},
            "pixels": {"6-30 px": group(38, pair)},
        },
        "notes": ["a pair is right where both plans are"],
        **options,
    }


def share(accuracy, **options):
    constant = {"answer": "stop", "accuracy": 0.4}
    return {"accuracy": accuracy, "n": 120, "ci95": [0.5, 0.75], "constant": constant, **options}


def seen():
    """The report's results with twins and, of one planner, reasons."""
    told = results()
    told["planners"]["drivevlm"]["twins"] = twins(0.434)
    told["planners"]["expert"]["twins"] = twins(1.0, failed=2)
    told["planners"]["drivevlm"]["reasons"] = {
        "clips": 120,
        "longitudinal": share(0.625),
        "lateral": share(None),
        "signal": share(0.5, by_distance={"0-15 m": share(0.9, ci95=None)}),
        "lead_gap": {
            "n": 40,
            "named": 30,
            "mean_error_m": 2.5,
            "median_error_m": 1.25,
            "constant": {"answer_m": 12.0, "mean_error_m": 9.0, "median_error_m": 7.5},
            "invented": 3,
            "without_lead": 80,
        },
    }
    return told


def test_twins_are_told_by_planner_with_every_group():
    table = twin_table(seen())
    assert table is not None
    assert table.heads == ("pairs", "n", "embedded tiny-vlm", "expert")
    assert table.rows == (
        ("both sides right", "38 / 40", "43.4", "100.0"),
        ("95 % of both", DASH, "[38.4, 48.4]", "[95.0, 105.0]"),
        ("sides right, each by itself", "38 / 40", "71.7", "100.0"),
        ("pairs with a failed answer", "38 / 40", "0", "2"),
        ("town elm", "38", "43.4", "100.0"),
        ("stopped vehicle", "19", "21.7", "50.0"),
        ("jaywalker", "19", "100.0", "100.0"),
        ("cause at 0-15 m", "38", "43.4", "100.0"),
        ("cause of 6-30 px", "38", "43.4", "100.0"),
    )


def test_reasons_stand_beside_what_a_constant_answer_scores():
    table = reason_table(seen())
    assert table is not None
    assert table.heads == ("reasons", "embedded tiny-vlm", "a constant")
    assert table.rows == (
        ("longitudinal (%)", "62.5 of 120 [50.0, 75.0]", "40.0 stop"),
        ("lateral (%)", "- of 120 [50.0, 75.0]", "40.0 stop"),
        ("signal (%)", "50.0 of 120 [50.0, 75.0]", "40.0 stop"),
        ("signal at 0-15 m (%)", "90.0 of 120", "40.0 stop"),
        ("lead gap off by, median (m)", "1.25 of 30 / 40", "7.50"),
        ("leads invented", "3 of 80", DASH),
    )


def test_a_terminal_is_told_families_and_towns_and_no_more():
    text = as_text(seen(), width=110)
    for words in (
        "both sides right",
        "43.4",
        "[38.4, 48.4]",
        "town elm",
        "jaywalker",
        "62.5 of 120",
    ):
        assert words in text
    for words in ("cause at", "cause of", "signal at", "leads invented"):
        assert words not in text
    assert max(len(line) for line in as_text(seen(), width=50).splitlines()) <= 50


def test_page_and_markdown_tell_everything(tmp_path):
    page = write_page(tmp_path / "p.html", title="t", facts={}, results=seen(), views=[])
    for text in (page.read_text(), as_markdown(seen())):
        for words in ("cause at 0-15 m", "cause of 6-30 px", "signal at 0-15 m (%)", "3 of 80"):
            assert words in text
    assert "twins (embedded tiny-vlm, expert): a pair is" not in " ".join(remarks(seen()))
    assert "twins: a pair is right where both plans are" in remarks(seen())


def test_other_data_have_neither_table(tmp_path):
    assert twin_table(results()) is None
    assert reason_table(results()) is None
    assert "twins" not in as_text(results())


def test_a_missing_number_is_a_dash():
    told = results()
    told["planners"]["drivevlm"]["twins"] = {"n": 0, "pair": None}
    told["planners"]["drivevlm"]["reasons"] = {"signal": {"accuracy": None}}
    table = twin_table(told)
    assert table is not None
    assert table.rows[0] == ("both sides right", "0 / -", DASH)
    assert as_markdown(told)
