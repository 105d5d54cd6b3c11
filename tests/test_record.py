import json

import numpy as np
import pytest

from drivevlm.record.decision_json import decision_from_json, decision_to_json
from drivevlm.record.manifest import digest_of
from drivevlm.record.merge import merge_runs
from drivevlm.record.replay import recorded_replies
from drivevlm.record.run_folder import (
    Record,
    RecordError,
    RunFolder,
    read_manifest,
    read_records,
)
from drivevlm.vlm.seam import DeadlineError
from drivevlm.world.boxes import Box3, Detection
from drivevlm.world.decision import CriticalObject, Decision, Failure, Usage
from drivevlm.world.plan import Plan
from drivevlm.world.sets import (
    FailureKind,
    LaneRelation,
    Lateral,
    Longitudinal,
    MetaDecision,
    Signal,
    Verdict,
)


def decision() -> Decision:
    rng = np.random.default_rng(0)
    box = Box3.typical("car", x_ego_m=10.1, y_ego_m=-1 / 3, id="p1")
    return Decision(
        plan=Plan(rng.normal(size=(6, 2)), yaw_ego_rad=rng.normal(size=6)),
        detections=(Detection(box, Verdict.KEPT),),
        critical=(CriticalObject("p1", LaneRelation.EGO_LANE, 5.1, None),),
        signal=Signal.RED,
        summary='a "quoted" line\nand <b>another</b>',
        meta=MetaDecision(Longitudinal.STOP, Lateral.KEEP_LANE),
        reply="PLAN: …",
        request_digest="ab",
        usage=Usage(700, 90),
        timings_ms={"total": 12.5},
    )


def manifest(**identity):
    return {"format": 1, "identity": {"shard": "0/1", "seed": 0, **identity}}


def record(clip: str, planner: str = "vlm") -> Record:
    return Record(planner, "scene-1", clip, decision())


def test_a_decision_survives_json_without_loss():
    once = decision_to_json(decision())
    again = decision_to_json(decision_from_json(json.loads(json.dumps(once))))
    assert again == once


def test_a_failure_survives_json():
    failed = Decision.failed(FailureKind.DEADLINE, "too late")
    assert decision_from_json(decision_to_json(failed)).failure == failed.failure


def test_a_torn_last_line_is_cut_off_and_the_rest_is_kept(tmp_path):
    with RunFolder(tmp_path, manifest()) as run:
        run.append(record("a"))
        run.append(record("b"))
    path = tmp_path / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert [r.clip for r in read_records(tmp_path)] == ["a"]
    with RunFolder(tmp_path, manifest()) as run:
        assert list(run.records) == [("vlm", "a")]
        run.append(record("b"))
    assert [r.clip for r in read_records(tmp_path)] == ["a", "b"]


def test_a_damaged_line_in_the_middle_is_named_not_skipped(tmp_path):
    with RunFolder(tmp_path, manifest()) as run:
        run.append(record("a"))
    path = tmp_path / "records.jsonl"
    path.write_bytes(b"{}\n" + path.read_bytes())
    with pytest.raises(RecordError, match="line 1"):
        read_records(tmp_path)


@pytest.mark.parametrize("text", ["x", "[]", "{}", '{"format": 1}'])
def test_a_damaged_manifest_is_one_clear_line(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RecordError, match="restore it or start a new run"):
        read_manifest(tmp_path)


def test_a_folder_of_another_run_is_refused_with_the_difference(tmp_path):
    with RunFolder(tmp_path, manifest()):
        pass
    with (
        pytest.raises(RecordError, match="seed was 0, is 1"),
        RunFolder(tmp_path, manifest(seed=1)),
    ):
        pass


def test_two_writers_cannot_share_a_folder(tmp_path):
    with (
        RunFolder(tmp_path, manifest()),
        pytest.raises(RecordError, match="in use"),
        RunFolder(tmp_path, manifest()),
    ):
        pass


def test_a_replay_gives_errors_and_silence_as_they_were():
    late = Failure(FailureKind.DEADLINE, "no reply within 2 s")
    silent = Failure(FailureKind.UNREADABLE, "nothing was said")
    decisions = [
        Decision(plan=None, failure=late, request_digest="late"),
        Decision(plan=None, failure=silent, request_digest="silent"),
        Decision.failed(FailureKind.IMAGE, "gone.jpg"),
    ]
    replies = recorded_replies(Record("vlm", "s", str(k), d) for k, d in enumerate(decisions))
    assert set(replies) == {"late", "silent"}
    assert replies["silent"].texts == ("",)
    assert isinstance(replies["late"], DeadlineError)
    assert "within 2 s" in str(replies["late"])


def test_parts_of_unlike_divisions_do_not_merge(tmp_path):
    shards = ("0/2", "1/2", "2/3")
    for k, shard in enumerate(shards):
        with RunFolder(tmp_path / str(k), manifest(shard=shard)) as run:
            run.append(record(str(k)))
    with pytest.raises(RecordError, match="n differs"):
        merge_runs([tmp_path / str(k) for k in range(3)], tmp_path / "whole")


def test_a_merged_run_is_named_by_its_own_digest(tmp_path):
    for i, clip in enumerate("ab"):
        part = manifest(shard=f"{i}/2")
        part["config_digest"] = digest_of(part["identity"])
        with RunFolder(tmp_path / clip, part) as run:
            run.append(record(clip))
    merge_runs([tmp_path / "a", tmp_path / "b"], tmp_path / "whole")
    whole = read_manifest(tmp_path / "whole")
    assert whole["config_digest"] == digest_of(whole["identity"])


def test_parts_merge_into_one_run_and_a_missing_part_is_named(tmp_path):
    for i, clip in enumerate("ab"):
        with RunFolder(tmp_path / clip, manifest(shard=f"{i}/2")) as run:
            run.append(record(clip))
    with pytest.raises(RecordError, match="1/2 are missing"):
        merge_runs([tmp_path / "a"], tmp_path / "whole")
    merge_runs([tmp_path / "a", tmp_path / "b"], tmp_path / "whole")
    assert {r.clip for r in read_records(tmp_path / "whole")} == {"a", "b"}
