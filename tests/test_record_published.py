import json

import numpy as np
import pytest

from drivevlm.record.merge import merge_runs
from drivevlm.record.published import Published, append_published, read_published
from drivevlm.record.run_folder import RecordError, RunFolder


def trajectory(*, stamp_us: int = 2_000_000, heard_us: int = 2_400_000, fallback: bool = False):
    rng = np.random.default_rng(stamp_us)
    time_s = np.arange(1, 31) * 0.1
    return Published(
        "scene-1", stamp_us, heard_us, fallback, time_s, rng.normal(size=(30, 2)), time_s / 3
    )


def as_tuple(told: Published):
    arrays = (told.time_s, told.xy_global_m, told.yaw_global_rad)
    head = (told.scene, told.stamp_us, told.heard_us, told.fallback)
    return head + tuple(array.tolist() for array in arrays)


def test_what_was_published_reads_back_without_loss_in_the_order_heard(tmp_path):
    told = [trajectory(), trajectory(stamp_us=1_500_000, fallback=True)]
    for one in told:
        append_published(tmp_path, one)
    assert [as_tuple(one) for one in read_published(tmp_path)] == [as_tuple(one) for one in told]


def test_a_run_without_a_replay_has_published_nothing(tmp_path):
    assert read_published(tmp_path) == []


def test_a_torn_last_line_is_left_out(tmp_path):
    append_published(tmp_path, trajectory())
    append_published(tmp_path, trajectory(stamp_us=2_100_000))
    path = tmp_path / "published.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert [one.stamp_us for one in read_published(tmp_path)] == [2_000_000]


@pytest.mark.parametrize(
    "change",
    [
        {"heard_us": None},
        {"heard_us": 2.5},
        {"fallback": "no"},
        {"scene": 7},
        {"time_s": [0.1]},
        {"time_s": ["soon"] * 30},
        {"xy_global_m": [[0.0, float("nan")]] * 30},
        {"heard_us": 1_999_999},
    ],
)
def test_a_bad_line_is_one_error_that_names_file_and_line(tmp_path, change):
    append_published(tmp_path, trajectory())
    path = tmp_path / "published.jsonl"
    line = {**json.loads(path.read_text()), **change}
    path.write_text(path.read_text() + json.dumps(line) + "\n")
    with pytest.raises(RecordError, match=r"published\.jsonl, line 2: expected a published") as bad:
        read_published(tmp_path)
    assert "\n" not in str(bad.value)


def test_a_line_that_lacks_a_field_or_is_no_object_is_the_same_error(tmp_path):
    for text in ('{"scene": "scene-1"}', "[]", "{", "null"):
        (tmp_path / "published.jsonl").write_text(text + "\n")
        with pytest.raises(RecordError, match="line 1: expected a published trajectory"):
            read_published(tmp_path)


@pytest.mark.parametrize("time_s", [[0.1, 0.1], [-0.1, 0.1], []])
def test_times_of_a_trajectory_increase_from_its_stamp_on(time_s):
    n = len(time_s)
    with pytest.raises(ValueError, match=r"time_s|N > 0"):
        Published("scene-1", 0, 0, False, np.array(time_s), np.zeros((n, 2)), np.zeros(n))


def test_a_plan_is_never_heard_before_it_was_decided():
    with pytest.raises(ValueError, match="before its stamp"):
        trajectory(stamp_us=2_000_000, heard_us=1_999_999)


def test_parts_of_a_replay_merge_with_what_was_published_in_each_once(tmp_path):
    parts = []
    for i in range(2):
        manifest = {"format": 1, "identity": {"shard": f"{i}/2"}}
        with RunFolder(tmp_path / str(i), manifest) as run:
            append_published(run.path, trajectory(stamp_us=i))
            parts.append(run.path)
    for _ in range(2):
        merge_runs(parts, tmp_path / "whole")
        assert [one.stamp_us for one in read_published(tmp_path / "whole")] == [0, 1]
