import json
from dataclasses import dataclass, field, replace
from threading import Event

import numpy as np
import pytest
from small_world import SmallRecording

from drivevlm.baselines import Baseline, stop
from drivevlm.data.recording import DataError
from drivevlm.dialogue.blocks import Block
from drivevlm.evaluate.exchange import Swap, exchange_for
from drivevlm.evaluate.expert import Expert, examples_from
from drivevlm.evaluate.plan_run import Shard, plan_run
from drivevlm.evaluate.score_run import score_run
from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.record.decision_json import decision_to_json
from drivevlm.record.run_folder import RunFolder
from drivevlm.world.clip import Clip
from drivevlm.world.decision import Decision
from drivevlm.world.plan import Plan
from drivevlm.world.sets import FailureKind

RECORDING = SmallRecording(count=3, keyframes=8)
MANIFEST = {"format": 1, "identity": {"shard": "0/1"}}


@dataclass
class Counting:
    """Plans how many clips of the scene it remembers: its memory shows in its plans."""

    name: str = "counting"
    stop_after: int = 10**9
    memory: dict[str, int] = field(default_factory=dict)
    decided: int = 0

    def recall(self, clip: Clip) -> Clip:
        return clip

    def decide(self, clip: Clip) -> Decision:
        self.decided += 1
        if self.decided > self.stop_after:
            raise KeyboardInterrupt
        x_m = float(self.memory.get(clip.scene, 0))
        return Decision(plan=Plan(np.full((6, 2), x_m)))

    def remember(self, clip: Clip, decision: Decision) -> None:
        assert decision.plan is not None
        self.memory[clip.scene] = int(decision.plan.xy_ego_m[0, 0]) + 1


def planned(folder, planners, **options):
    with RunFolder(folder, MANIFEST) as run:
        plan_run(RECORDING, planners, run, **options)
        return run.records


def scored(records, *names, protocols=("uniad", "vad")):
    return score_run(
        RECORDING,
        records,
        scenes=RECORDING.scenes(),
        planners=names,
        protocols=[PROTOCOLS[name] for name in protocols],
        fallback=lambda clip: stop(clip, 6, 0.5),
    )


def test_every_clip_is_decided_once_and_scenes_keep_their_memory_apart(tmp_path):
    records = planned(tmp_path, [Counting()], scenes_in_flight=3)
    assert len(records) == 24
    for (_, token), record in records.items():
        assert record.decision.plan is not None
        assert record.decision.plan.xy_ego_m[0, 0] == int(token.split("-")[1])


def test_a_clips_numbers_are_called_as_the_tables_call_them(tmp_path):
    records = planned(tmp_path, [Counting()])
    scores = scored(records, "counting", protocols=("lightemma", "exact"))
    (numbers,) = scores.numbers(scores.tokens[0]).values()
    for name in ("lightemma ADE 3s (m)", "exact L2 at 3s (m)", "exact off drivable 3s"):
        assert name in numbers


@pytest.mark.parametrize("stop_after", [1, 5, 8, 9, 23])
def test_a_broken_run_goes_on_with_its_memory_and_ends_the_same(tmp_path, stop_after):
    with pytest.raises(KeyboardInterrupt):
        planned(tmp_path / "broken", [Counting(stop_after=stop_after)])
    resumed = planned(tmp_path / "broken", [Counting()])
    whole = planned(tmp_path / "whole", [Counting()])
    assert {k: decision_to_json(r.decision) for k, r in resumed.items()} == {
        k: decision_to_json(r.decision) for k, r in whole.items()
    }


def test_shards_hold_every_scene_once():
    parts = [Shard(i, 2).of(RECORDING.scenes()) for i in range(2)]
    assert sorted(s.name for part in parts for s in part) == ["s0", "s1", "s2"]


@pytest.mark.parametrize("text", ["", "2/2", "1", "a/b", "-1/2", "0/0"])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="shard"):
        Shard.parse(text)


def test_the_expert_scores_zero_where_the_future_is_recorded(tmp_path):
    records = planned(tmp_path, [Expert(RECORDING)])
    figures = scored(records, "expert").by_planner["expert"]["protocols"]
    assert figures["uniad"]["n"] == 24
    assert figures["vad"]["n"] == 6  # two clips of each scene have 3 s left
    for protocol in figures.values():
        assert max(protocol["l2_m"].values()) < 1e-6


def test_a_failed_answer_stays_in_the_total(tmp_path):
    records = planned(tmp_path, [Baseline("constant_velocity")])
    run = scored(records, "constant_velocity", protocols=("uniad",))
    figures = run.by_planner["constant_velocity"]
    assert figures["failures"] == {"total": 24, "failed": 3, "by_kind": {"no_past": 3}}
    strict = figures["protocols"]["uniad"]
    assert (strict["n"], strict["lenient"]["n"]) == (24, 21)
    # The three first clips stand still instead of driving 2, 4 and 6 m a second step.
    assert strict["l2_m"]["1s"] == pytest.approx((4 + 8 + 12) / 24)
    assert strict["lenient"]["l2_m"]["1s"] == pytest.approx(0.0, abs=1e-5)


def test_a_run_that_is_not_finished_is_scored_as_far_as_it_came(tmp_path):
    records = planned(tmp_path, [Baseline("stop")], shard=Shard(0, 3))
    run = scored(records, "stop")
    assert (run.clips, run.scenes) == (8, 1)
    assert run.by_planner["stop"]["protocols"]["uniad"]["n_total"] == 8
    json.dumps(run.by_planner)


def test_examples_come_from_other_scenes_and_by_seed():
    examples = examples_from(RECORDING, count=2, seed=0)
    clip = RECORDING.clip("s0-3")
    assert all(example.scene != "s0" for example, _ in examples(clip))
    again = examples_from(RECORDING, count=2, seed=0)
    assert [e.token for e, _ in again(clip)] == [e.token for e, _ in examples(clip)]
    with pytest.raises(DataError, match="choose more scenes"):
        examples_from(SmallRecording(count=1), count=1, seed=0)(clip)


def test_a_swapped_command_is_always_another_one():
    exchange = exchange_for(RECORDING, {Block.COMMAND: Swap.SWAP}, seed=0)
    assert exchange is not None
    for scene in RECORDING.scenes():
        for token in scene.tokens:
            clip = RECORDING.clip(token)
            assert exchange(clip).command != clip.command


def test_a_swapped_ego_status_is_of_another_scene_and_ends_now():
    exchange = exchange_for(RECORDING, {Block.EGO_STATUS: Swap.SWAP}, seed=0)
    assert exchange is not None
    clip = RECORDING.clip("s0-5")
    shown = exchange(clip)
    assert shown.status is not None
    assert shown.status.speed_mps != pytest.approx(4.0)
    assert shown.history is not None
    assert shown.history.stamp_us[-1] == clip.t0_us


def test_a_mean_ego_status_is_the_mean_over_clips_that_have_one():
    exchange = exchange_for(RECORDING, {Block.EGO_STATUS: Swap.MEAN}, seed=0)
    assert exchange is not None
    status = exchange(RECORDING.clip("s2-0")).status
    assert status is not None
    assert status.speed_mps == pytest.approx(8.0)  # 4, 8 and 12 m/s


@pytest.mark.parametrize(
    ("swaps", "said"),
    [
        ({Block.PRIOR: Swap.SHUFFLE}, "memory"),
        ({Block.COMMAND: Swap.MEAN}, "have a mean"),
    ],
)
def test_an_exchange_that_cannot_be_made_says_so(swaps, said):
    with pytest.raises(DataError, match=said):
        exchange_for(RECORDING, swaps, seed=0)


@pytest.mark.parametrize("block", [Block.PROPOSALS, Block.SCENE_SUMMARY])
def test_nothing_is_not_exchanged_in_silence(block):
    exchange = exchange_for(RECORDING, {block: Swap.SHUFFLE}, seed=0)
    assert exchange is not None
    with pytest.raises(DataError, match="anything to give"):
        exchange(RECORDING.clip("s0-3"))


def test_an_interrupted_run_gives_up_the_replies_on_their_way(tmp_path):
    released = Event()

    @dataclass
    class Hanging(Counting):
        def decide(self, clip: Clip) -> Decision:
            if clip.scene == "s0":
                raise KeyboardInterrupt
            assert released.wait(timeout=20), "nobody gave the reply up"
            return Decision.failed(FailureKind.MODEL, "cancelled")

    with pytest.raises(KeyboardInterrupt):
        planned(tmp_path, [Hanging()], scenes_in_flight=2, give_up=released.set)
    with RunFolder(tmp_path, MANIFEST) as run:
        assert run.records == {}


def test_the_planner_gets_the_exchanged_clip_and_remembers_the_real_one(tmp_path):
    seen, remembered = [], []

    @dataclass
    class Looking(Counting):
        def decide(self, clip: Clip) -> Decision:
            seen.append(clip.command)
            return Decision.failed(FailureKind.MODEL, "looks only")

        def remember(self, clip: Clip, decision: Decision) -> None:
            remembered.append(clip.command)

    planned(tmp_path, [Looking()], exchange=lambda clip: replace(clip, command=None))
    assert set(seen) == {None}
    assert None not in remembered
