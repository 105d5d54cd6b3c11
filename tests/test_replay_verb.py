"""``drivevlm replay``: the bundled worlds to a node in a process of its own, and into a bag."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("cyclonedds", reason="the wire needs cyclonedds (the extra [dds])")

from mcap.reader import make_reader

from drivevlm.app import VERBS, main
from drivevlm.record.decision_json import decision_to_json
from drivevlm.record.published import read_published
from drivevlm.record.run_folder import read_manifest, read_records
from drivevlm.world.sets import FailureKind

DOMAIN = 101 - os.getpid() % 100
WIRE = ("loopback=true", f"domain={DOMAIN}")
SCENE = "data.scenes=[scene-2001]"
CLIPS = 16
SHORT = (SCENE, "page.clips=0", "protocol=[exact]")
PATIENT = (  # however busy the machine is, no picture and no plan is too old for this node
    "max_latency_ms=60000.0",
    "sync.max_age_ms=60000.0",
    "sync.wait_ms=2000.0",
    "gate.max_plan_age_s=60.0",
)


def run(words, capsys) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """``drivevlm node`` as somebody starts it in another terminal."""
    words = ["use_sim_time=true", "objects.type=predicted_objects", *PATIENT]
    words += ["planner.settings=[planner=constant_velocity]"]
    log = (tmp_path_factory.mktemp("node") / "log").open("w")
    command = [sys.executable, "-m", "drivevlm", "node", *WIRE, *words]
    with subprocess.Popen(command, stdout=log, stderr=log) as process:
        yield process
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def decisions(folder: Path) -> dict[str, dict]:
    """Of the node's planner, by clip, but for how long each took."""
    found = {r.clip: decision_to_json(r.decision) for r in read_records(folder)}
    return {clip: {**told, "timings_ms": None} for clip, told in found.items()}


@pytest.mark.part
def test_in_lockstep_a_node_of_another_process_decides_as_eval_does(node, tmp_path, capsys):
    alone = ["planner=[constant_velocity]", *SHORT]
    assert run(["eval", "data.t0=anchor", *alone, f"out={tmp_path}/eval"], capsys)[0] == 0
    words = [*WIRE, "lockstep=true", *alone, f"out={tmp_path}/lockstep"]
    code, out, err = run(["replay", *words], capsys)
    assert (code, err) == (0, "")
    assert out.rstrip().splitlines()[-1] == f"{tmp_path}/lockstep"
    assert f"{CLIPS} of {CLIPS} clips were answered, of which failed: no_past 1\n" in out
    found = decisions(tmp_path / "lockstep")
    assert len(found) == CLIPS
    assert found == decisions(tmp_path / "eval")
    assert read_published(tmp_path / "lockstep") == []  # its clock stood: nothing was late
    folders = [f"{tmp_path}/{name}" for name in ("eval", "lockstep")]
    assert run(["compare", *folders, "page.clips=0", f"out={tmp_path}/c"], capsys)[0] == 0
    compared = json.loads((tmp_path / "c" / "compare.json").read_text())
    assert compared["different"] == []
    assert run(["report", tmp_path / "lockstep"], capsys)[0] == 0
    plans = tmp_path / "lockstep" / "plans-constant_velocity.json"
    beside = ["protocol=[exact]", "planner=[stop]", "page.clips=0", SCENE, "data.t0=anchor"]
    assert run(["score", plans, *beside, f"out={tmp_path}/s"], capsys)[0] == 0


@pytest.mark.part
def test_what_is_published_live_is_recorded_with_when_it_came(node, tmp_path, capsys):
    words = [*WIRE, "rate=4", "planner=[stop,expert]", *SHORT, f"out={tmp_path}/live"]
    code, out, err = run(["replay", *words], capsys)
    assert (code, err) == (0, "")
    told = json.loads((tmp_path / "live" / "replay.json").read_text())
    assert f"{told['answered']} of {CLIPS} clips were answered" in out
    assert told["sent"]["CAM_FRONT/image/compressed"] == CLIPS
    published = read_published(tmp_path / "live")
    assert len(published) == told["plans"] > 0
    assert all(plan.heard_us >= plan.stamp_us for plan in published)
    records = read_records(tmp_path / "live")
    by = Counter(record.planner for record in records)
    assert by == dict.fromkeys(("constant_velocity", "stop", "expert"), CLIPS)
    failures = Counter(
        record.decision.failure.kind
        for record in records
        if record.planner == "constant_velocity" and record.decision.failure is not None
    )
    assert set(failures) <= {FailureKind.DEADLINE, FailureKind.NO_PAST}
    assert failures[FailureKind.DEADLINE] == CLIPS - told["answered"]
    identity = read_manifest(tmp_path / "live")["identity"]
    assert identity["planners"] == ["constant_velocity", "stop", "expert"]
    assert identity["replay"]["rate"] == 4.0


@pytest.mark.part
def test_faults_on_request_are_done_and_counted(node, tmp_path, capsys):
    lost = "faults.faults=[{kind: loss, what: CAM_FRONT/image/*}]"
    words = [*WIRE, "rate=20", lost, "planner=[stop]", *SHORT, f"out={tmp_path}/r"]
    code, out, err = run(["replay", *words], capsys)
    assert (code, err) == (1, "")  # no clip was answered
    assert f"faults: loss {CLIPS}" in out
    records = [r for r in read_records(tmp_path / "r") if r.planner == "constant_velocity"]
    assert [r.decision.failure.kind for r in records] == [FailureKind.IMAGE] * CLIPS
    assert read_manifest(tmp_path / "r")["identity"]["replay"]["faults"]["seed"] == 0


def test_a_bag_is_one_file_that_others_read(tmp_path, capsys):
    words = ["replay", "to=bag", f"bag={tmp_path}/new/drive.mcap", SCENE]
    code, out, err = run(words, capsys)
    assert (code, err) == (0, "")
    assert out.rstrip().splitlines()[-1] == f"{tmp_path}/new/drive.mcap"
    with (tmp_path / "new" / "drive.mcap").open("rb") as file:
        summary = make_reader(file).get_summary()
    counts = {
        summary.channels[k].topic: n for k, n in summary.statistics.channel_message_counts.items()
    }
    assert counts["/drivevlm/input/CAM_BACK/image/compressed"] == CLIPS
    assert f"{sum(counts.values())} messages were sent on" in out
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["drive.mcap"]
    code, _, err = run(words, capsys)
    assert (code, err.count("\n")) == (2, 1)
    assert "drive.mcap exists: remove it, or choose another bag=" in err


BAD = [
    (["rate=2", "lockstep=true"], "rate=2 with lockstep=true"),
    (["rate=0"], "rate lies in (0, 1000], got 0"),
    (["to=bag"], "to=bag needs bag=FILE.mcap, or bag=FOLDER"),
    (["bag=x.mcap"], "bag=x.mcap is written with to=bag, got to=topics"),
    (["to=bag", "bag=x.mcap", "lockstep=true"], "leave out lockstep and rate"),
    (["to=paper"], "to is one of topics, bag; got 'paper'"),
    (["clock_hz=0"], "clock_hz=0 is for to=bag"),
    (["odometry_hz=1"], "odometry_hz lies in [10, 1000], got 1"),
    (["wait.silent=0"], "silent is at least 1, got 0"),
    (["faults.faults=[{kind: delay}]"], "by_s is of a delay"),
    (["faults.faults=[{kind: fire}]"], "faults.faults.kind is one of drop, delay"),
    (["lokstep=true"], "lokstep is no setting, did you mean lockstep?"),
    (["lockstep"], "expected key=value, got 'lockstep'"),
    (["domain=500"], "domain_id must be from 0 to 232"),
    (["remap=[a]"], "remap takes OLD:=NEW or autoware, got 'a'"),
    (["out=."], ". exists: a replay begins anew"),
    (["data=demo_twins"], "its clips are twins, and no drive of one vehicle"),
    (["block.cameras=shuffle"], "block: a replay exchanges nothing between clips"),
    (["run.shard=6/7"], "part 6/7 of nuscenes v1.0-synth holds no scene"),
    (["wait.node_s=0.1"], "within 0.1 s: start the node in the same domain"),
]


@pytest.mark.parametrize(("words", "said"), BAD)
def test_what_cannot_be_ends_in_one_line(words, said, capsys):
    domain = f"domain={1 + DOMAIN}"  # where nobody is
    code, _, err = run(["replay", "loopback=true", domain, "planner=[stop]", *words], capsys)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.part
def test_a_row_that_asks_a_model_is_not_planned_beside_a_node(node, tmp_path, capsys):
    words = [*WIRE, "planner=[vlm,stop]", f"out={tmp_path}/r"]
    code, _, err = run(["replay", *words], capsys)
    assert (code, err.count("\n")) == (2, 1)
    assert "vlm is not planned beside a node, which has constant_velocity here" in err
    assert not (tmp_path / "r").exists()


def test_without_the_extra_one_line_says_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cyclonedds.core", None)
    code, _, err = run(["replay"], capsys)
    assert (code, err.count("\n")) == (2, 1)
    assert "pip install 'drivevlm[dds]'" in err


def test_help_shows_both_terminals(capsys):
    assert main(["replay", "--help"]) == 0
    out = capsys.readouterr().out
    assert "t0: anchor" in out
    verbs = [shlex.split(line)[1] for line in VERBS["replay"].examples]
    assert verbs[:2] == ["node", "replay"]
    for name in ("to:", "bag:", "rate:", "lockstep:", "wait:", "faults:"):
        assert f"\n    {name}" in out
