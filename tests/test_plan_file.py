"""Plan files: what is read is exact, what is wrong is said in one line, and the schema agrees."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from conftest import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from drivevlm.metrics.rule import Axes
from drivevlm.record import plan_file_check
from drivevlm.record.plan_file import (
    SCHEMA,
    PlanFileError,
    matched,
    read_plan_file,
    write_plan_file,
)
from drivevlm.record.plan_file_check import FARTHEST_M, FRAMES, POINTS, json_of, problems
from drivevlm.record.run_folder import RecordError
from drivevlm.world.plan import Plan

AHEAD = [[1.0 * k, 0.0] for k in range(1, 7)]
GOOD = {"frame": "ego", "point": "rear_axle", "dt_s": 0.5, "plans": {"a": AHEAD, "b": None}}
VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))


def refusal(path: Path, content: str | bytes) -> str:
    """The line with which a file is refused."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(PlanFileError) as refused:
        read_plan_file(path)
    line = str(refused.value)
    assert "\n" not in line
    assert str(path) in line
    return line


def test_a_file_is_read_as_it_says(tmp_path):
    path = tmp_path / "plans.json"
    path.write_text(json.dumps({**GOOD, "frame": "lidar"}))
    plans = read_plan_file(path)
    assert (plans.frame, plans.point, plans.dt_s) == (Axes.LIDAR, "rear_axle", 0.5)
    assert plans.xy_m["b"] is None
    np.testing.assert_array_equal(plans.xy_m["a"], AHEAD)


def test_the_point_may_be_left_out_and_a_byte_order_mark_is_passed_over(tmp_path):
    path = tmp_path / "plans.json"
    bare = {key: value for key, value in GOOD.items() if key != "point"}
    path.write_text(json.dumps(bare), encoding="utf-8-sig")
    assert read_plan_file(path).point is None


def plan(*rows: Any) -> dict[str, Any]:
    return {**GOOD, "plans": {"a": list(rows)}}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([1], "it holds a list, expected {"),
        ({}, "it is empty, expected {"),
        ({"a": AHEAD, "b": AHEAD}, 'bare plans go under "plans"'),
        ({**GOOD, "fram": "ego"}, 'unknown keys "fram" (did you mean "frame"?)'),
        ({"frame": "ego", "dt_s": 0.5}, 'missing keys "plans"'),
        ({"plans": {"a": AHEAD}}, 'missing keys "frame", "dt_s"'),
        ({**GOOD, "frame": "global"}, '"frame" is "global", expected "ego" (x ahead, y left)'),
        ({**GOOD, "frame": ["ego"]}, '"frame" is a list'),
        ({**GOOD, "point": None}, '"point" is null, expected "rear_axle" or "lidar"; leave it out'),
        ({**GOOD, "dt_s": 0.1}, '"dt_s" is 0.1, expected 0.5: write the positions at 0.5 s, 1 s'),
        ({**GOOD, "dt_s": True}, '"dt_s" is true'),
        ({**GOOD, "plans": []}, '"plans" is a list, expected an object'),
        ({**GOOD, "plans": {}}, '"plans" is empty'),
        (plan(*AHEAD[:5]), '"a" has 5 steps, expected 6 (0.5 s, 1 s, ... 3 s)'),
        (plan(*AHEAD, [7.0, 0.0]), '"a" has 7 steps'),
        (plan(AHEAD), '"a" is nested once too deep'),
        (plan(*np.ravel(AHEAD)[:6]), '"a" step 1 is a number, expected a pair [x, y]'),
        (plan([1.0, 0.0, 0.1], *AHEAD[1:]), '"a" step 1 has 3 numbers, expected 2, [x, y]'),
        (plan(*AHEAD[:5], [6.0]), '"a" step 6 has 1 numbers, expected 2, [x, y]'),
        (plan(*AHEAD[:5], [6.0, "0"]), '"a" step 6: y is "0", expected a number'),
        (plan(*AHEAD[:5], [True, 0.0]), '"a" step 6: x is true, expected a number'),
        (plan(*AHEAD[:5], [[6.0], 0.0]), '"a" step 6: x is a list, expected a number'),
        (plan(*AHEAD[:5], [np.nan, 0.0]), '"a" step 6: x is nan, expected a finite number'),
        (plan(*AHEAD[:5], [0.0, -np.inf]), '"a" step 6: y is -inf, expected a finite number'),
        (plan(*AHEAD[:5], [2e6, 0.0]), '"a" step 6: x is 2e+06 m, expected under 1e+06 m'),
        ({**GOOD, "plans": {"a": {"x": 1}}}, '"a" is an object, expected 6 pairs [x, y]'),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, value, words):
    assert words in refusal(tmp_path / "plans.json", json.dumps(value))


def test_all_is_named_at_once_and_the_rest_is_counted(tmp_path):
    plans = {f"clip-{k}": AHEAD[:k] for k in range(6)} | {"good": AHEAD, "line\nbreak": 3}
    line = refusal(tmp_path / "p.json", json.dumps({"frame": "x", "dt_s": 1, "plans": plans}))
    assert '"frame" is "x"' in line
    assert '"dt_s" is 1' in line
    assert '7 of 8 plans cannot be read: "clip-0" has 0 steps' in line
    assert '"clip-4" has 4 steps' in line
    assert "and 2 more" in line
    assert "clip-5" not in line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("{'frame': 1}", "is not JSON (Expecting property name"),
        ("frame: ego", "is not JSON"),
        (json.dumps(GOOD) * 2, "is not JSON (Extra data"),
        ("[" * 100_000, "is nested too deeply"),
        (b"\xff\xfe{\x00}\x00", "is no UTF-8 text"),
        (b"\x1f\x8b\x08\x00", "is compressed: unpack it first"),
        (b"\x93NUMPY\x01", "is a numpy file, and no pickle or numpy file is ever loaded: load it"),
        (b"PK\x03\x04", "is an archive"),
        (b"\x80\x04\x95", "is a pickle, and no pickle or numpy file is ever loaded"),
        (b"(dp0\nVa\np1\n", "is a pickle"),
        ('{"frame": "ego", "frame": "ego"}', 'given more than once: "frame" (2 times)'),
        (
            f'{{"frame": "ego", "dt_s": 0.5, "plans": {{"a": {AHEAD}, "b": null, "a": null}}}}',
            'given more than once: "a" (2 times); keep one of each',
        ),
        (json.dumps(plan(*AHEAD)).replace("6.0", "1e999"), "x is inf, expected a finite number"),
        (json.dumps(plan(*AHEAD)).replace("6.0", "9" * 9000), "x is inf"),
    ],
)
def test_what_is_no_json_is_refused_with_a_hint(tmp_path, content, words):
    assert words in refusal(tmp_path / "plans.json", content)


@pytest.mark.parametrize("name", ["plans.pkl", "plans.PT", "plans.npz"])
def test_a_suffix_of_pickles_is_refused_unread(tmp_path, name):
    assert "is ever loaded: load it where you trust it" in refusal(tmp_path / name, "{}")


def test_what_is_no_file_is_refused(tmp_path):
    for path, words in (
        (tmp_path, "is a folder"),
        (tmp_path / "none.json", "there is no plan file"),
        (Path("/dev/null"), "is not a plain file"),
        (tmp_path / ("n" * 300), "cannot be read (File name too long)"),
    ):
        with pytest.raises(RecordError, match="plan file") as refused:
            read_plan_file(path)
        assert words in str(refused.value)


def test_a_file_over_the_limit_is_refused_unread(tmp_path):
    path = tmp_path / "plans.json"
    with path.open("wb") as file:
        os.truncate(file.fileno(), 300 * 2**20)
    with pytest.raises(PlanFileError, match="has 300 MiB, a plan file may have 256 MiB"):
        read_plan_file(path)


def agree(path: Path, value: object) -> None:
    """The reader takes a value if and only if the schema does."""
    path.write_text(json.dumps(value))
    assert (not problems(json_of(path))) == VALIDATOR.is_valid(json.loads(path.read_text()))


NUMBERS = st.floats(-100, 100) | st.sampled_from([0, -0.0, 7, FARTHEST_M, -FARTHEST_M])
FAR = st.sampled_from([FARTHEST_M + 1, -1e300, 10**30])
ODD = st.one_of(st.none(), st.booleans(), FAR, st.text(max_size=3), st.lists(NUMBERS, max_size=7))
RARELY = st.integers(0, 19).map(lambda k: k == 7)


def odd_at_times(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return RARELY.flatmap(lambda odd: ODD if odd else usual)


PAIRS = odd_at_times(st.lists(odd_at_times(NUMBERS), min_size=2, max_size=2))
LENGTHS = odd_at_times(st.just(6)).map(lambda n: n if n == 6 else 5)
PLANS = LENGTHS.flatmap(lambda n: st.lists(PAIRS, min_size=n, max_size=n))
FILES = st.fixed_dictionaries(
    {
        "frame": odd_at_times(st.sampled_from(FRAMES)),
        "dt_s": odd_at_times(st.just(0.5)),
        "plans": odd_at_times(
            st.dictionaries(
                st.text(max_size=4), st.none() | odd_at_times(PLANS), min_size=1, max_size=2
            )
        ),
    },
    optional={"point": odd_at_times(st.sampled_from(POINTS))},
)


@settings(max_examples=300, deadline=None)
@given(FILES)
def test_reader_and_schema_agree(tmp_path_factory, value):
    agree(tmp_path_factory.getbasetemp() / "plans.json", value)


@pytest.mark.parametrize("key", sorted(GOOD))
def test_reader_and_schema_agree_on_one_change(tmp_path, key):
    VALIDATOR.check_schema(VALIDATOR.schema)
    agree(tmp_path / "plans.json", GOOD)
    agree(tmp_path / "plans.json", {**GOOD, "plan": {}})
    assert not problems(GOOD)
    for odd in (None, True, 0, 0.5, "", "ego", "lidar", "rear_axle", [], {}, {"a": None}, AHEAD):
        agree(tmp_path / "plans.json", {**GOOD, key: odd})
    agree(tmp_path / "plans.json", {k: v for k, v in GOOD.items() if k != key})


def test_our_plans_come_back_as_they_were(tmp_path):
    path = tmp_path / "plans.json"
    rng = np.random.default_rng(0)
    fine = Plan(rng.normal(0, 9, (40, 2)), dt_s=0.1)
    plans = {"a": Plan(rng.normal(0, 9, (6, 2))), "fine": fine, "failed": None}
    write_plan_file(path, plans)
    back = read_plan_file(path)
    assert (back.frame, back.point, list(back.xy_m)) == (Axes.EGO, "rear_axle", list(plans))
    np.testing.assert_array_equal(back.xy_m["a"], plans["a"].xy_ego_m)
    np.testing.assert_array_equal(back.xy_m["fine"], fine.xy_ego_m[4:30:5])
    assert back.xy_m["failed"] is None
    assert VALIDATOR.is_valid(json.loads(path.read_text()))


def test_what_would_be_no_plan_file_is_not_written(tmp_path):
    path = tmp_path / "plans.json"
    for plans, words in (
        ({}, '"plans" is empty'),
        ({"a": Plan(np.zeros((4, 2)))}, 'clip "a": plan ends at 2 s, scoring needs 3 s'),
        ({"a": Plan(np.full((6, 2), 1e7))}, "expected under 1e+06 m"),
    ):
        with pytest.raises(PlanFileError) as refused:
            write_plan_file(path, plans)
        assert words in str(refused.value)
    with pytest.raises(PlanFileError, match="cannot be written"):
        write_plan_file(tmp_path / "nowhere" / "plans.json", {"a": None})
    assert not list(tmp_path.iterdir())


def test_tokens_without_a_partner_are_counted_and_named(tmp_path):
    path = tmp_path / "plans.json"
    path.write_text(json.dumps({**GOOD, "plans": dict.fromkeys("abxyz", AHEAD) | {"b": None}}))
    found = matched(read_plan_file(path), ["c", "b", "a"])
    assert list(found.xy_m) == ["b", "a"]
    assert found.xy_m["b"] is None
    assert (found.unknown, found.missing) == (("x", "y", "z"), ("c",))
    assert found.notes == (
        '3 of 5 plans are of no clip of these data: "x", "y", "z"',
        '1 of 3 clips have no plan in the file: "c"',
    )
    assert matched(read_plan_file(path), "abxyz").notes == ()


def test_a_file_of_other_data_is_refused(tmp_path):
    path = tmp_path / "plans.json"
    path.write_text(json.dumps(GOOD))
    with pytest.raises(PlanFileError, match=r'none of the 2 plans .*"a", "b".* 7 clips .*2 more'):
        matched(read_plan_file(path), "tuvwxyz")


def test_the_reference_plans_are_read_to_the_bit(tmp_path):
    cases = json.loads((reference("planning_metrics") / "public/predictions.json").read_text())
    for frame in FRAMES:
        plans = {token: case[f"traj_{frame}"] for token, case in cases.items()}
        path = tmp_path / f"{frame}.json"
        path.write_text(json.dumps({"frame": frame, "dt_s": 0.5, "plans": plans}))
        read = read_plan_file(path)
        np.testing.assert_array_equal(
            np.array([read.xy_m[token] for token in cases]), list(plans.values())
        )


def test_the_schema_names_what_the_reader_names():
    properties = VALIDATOR.schema["properties"]
    assert tuple(properties) == plan_file_check.KEYS
    assert tuple(properties["frame"]["enum"]) == FRAMES
    assert tuple(properties["point"]["enum"]) == POINTS
