import json
import math

import pytest
from conftest import reference

from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.report.published import NUSCENES_VAL, PUBLISHED, Published, published_under

SAME = {
    "uniad_stp3": "stp3 (same checkpoint, time-averaged)",
    "l2_mean": "L2 only, time-averaged",
}
"""What the reference calls a protocol that has another name here."""
NAMES = {
    "SparseDrive-S (paper)": "SparseDrive-S",
    "SparseDrive-B (paper)": "SparseDrive-B",
    "Impromptu-VLA 3B, nuScenes": "Impromptu 3B base+nuScenes",
    "Impromptu-VLA 3B, Impromptu + nuScenes": "Impromptu 3B +Impromptu+nuScenes",
    "Impromptu-VLA 7B, nuScenes": "Impromptu 7B base+nuScenes",
    "Impromptu-VLA 7B, Impromptu + nuScenes": "Impromptu 7B +Impromptu+nuScenes",
}
SECOND_TABLE = {
    "SparseDrive-S (released)",
    "VAD",
    "UniAD",
    "UniAD without post-optimisation",
}
"""Of SparseDrive's README; the reference holds its first table, and of this one UniAD's note."""


@pytest.fixture(scope="module")
def rows():
    path = reference("planning_metrics") / "published_tables.json"
    return json.loads(path.read_text())["nuscenes_open_loop"]


def second_table(row: Published) -> bool:
    return row.protocol == "sparsedrive" and row.method in SECOND_TABLE


@pytest.mark.parametrize(
    "row", [r for r in PUBLISHED if not second_table(r)], ids=lambda r: f"{r.protocol} {r.method}"
)
def test_every_number_of_ours_stands_in_the_reference(row, rows):
    method = NAMES.get(row.method, row.method)
    protocol = SAME.get(row.protocol, row.protocol)
    (theirs,) = [r for r in rows if (r["method"], r["protocol"]) == (method, protocol)]
    assert not any(word in theirs["source"] for word in ("second-hand", "recalled"))
    for ours, key in ((row.l2_m, "L2"), (row.collision_pct, "col_pct")):
        given = theirs[f"{key}_1s_2s_3s_avg"] or [None] * 4
        assert [value for value in ours if value is not None] in (
            [],
            [v for v in given if v is not None],
        )
    assert theirs["ego_status"] in (None, row.ego_status)


def test_sparsedrives_second_table_is_the_one_that_the_reference_notes_of_uniad(rows):
    (theirs,) = [r for r in rows if (r["method"], r["protocol"]) == ("UniAD", "sparsedrive")]
    told = {row.method: row for row in published_under("sparsedrive")}
    for row in (told["UniAD"], told["UniAD without post-optimisation"]):
        words = "/".join(f"{value:.2f}".removeprefix("0") for value in row.collision_pct)
        assert words in theirs["note"]
    assert told["UniAD"].l2_m == tuple(theirs["L2_1s_2s_3s_avg"])


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda r: f"{r.protocol} {r.method}")
def test_an_average_is_the_mean_of_the_three_horizons(row):
    for *steps, mean in (row.l2_m, row.collision_pct):
        if mean is not None:
            # Both ends are rounded to two digits: half a digit each.
            assert math.isclose(sum(steps) / 3, mean, abs_tol=0.0101)


def test_a_mean_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"0\.9 is not the mean of"):
        Published("x", "vad", (0.1, 0.2, 0.3, 0.9), (None,) * 4, None, "nowhere")


def test_a_row_says_where_it_stands_and_no_quotation_is_among_them():
    assert all(row.source for row in PUBLISHED)
    quoted = ("PARA-Drive", "BEV-Planner", "OmniDrive", "ORION", "Senna", "AutoVLA", "LightEMMA")
    assert not [row.method for row in PUBLISHED if row.method.startswith(quoted)]


def test_the_val_split_has_fewer_clips_the_more_a_protocol_needs():
    counts = {name: NUSCENES_VAL[p.rule.counted] for name, p in PROTOCOLS.items()}
    assert (counts["uniad"], counts["vad"]) == (6019, 5119)
