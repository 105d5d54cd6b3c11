"""The stale-plan score, on straight drives whose every figure can be worked out by hand."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from metrics_cases import road, straight
from small_world import SmallRecording

from drivevlm.baselines import stop
from drivevlm.evaluate.stale import SWEPT_S, StaleScore, stale_score
from drivevlm.metrics.held import Held, Keyframe
from drivevlm.metrics.planning import STOP
from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.metrics.stale import Judged, LateRow
from drivevlm.record.run_folder import RecordError
from drivevlm.world.decision import Decision
from drivevlm.world.published import Published
from drivevlm.world.sets import FailureKind

EXACT = PROTOCOLS["exact"]
RECORDING = SmallRecording(count=1, keyframes=10)
"""One drive at 4 m/s; 4 of its 10 keyframes have a future of 3 s."""
TOKENS = RECORDING.scenes()[0].tokens
SLOW = dict.fromkeys(TOKENS, Decision(plan=straight(3.0)))
"""Each plan is 1 m/s too slow, so that at h seconds it is h metres behind."""
FAILED = Decision.failed(FailureKind.MODEL, "no answer")


def scored(decisions=SLOW, published=(), *, recording=RECORDING, **beside) -> StaleScore:
    return stale_score(
        recording,
        decisions,
        published,
        planner="slow",
        beside=beside,
        fallback=lambda clip: stop(clip, 6, 0.5),
    )


@cache
def slow_run() -> StaleScore:
    return scored()


def heard(decisions=SLOW, *, after_s: float = 0.0, fine: bool = False) -> list[Published]:
    """The decisions' plans as a node would publish them."""
    found = []
    for token, decision in decisions.items():
        keyframe = Keyframe.of(RECORDING.truth(token))
        one = Published.of(
            straight(3.0, dt_s=0.1) if fine else decision.plan,
            scene=keyframe.scene,
            stamp_us=keyframe.stamp_us,
            global_from_ego=keyframe.global_from_ego,
            latency_us=round(after_s * 1e6),
        )
        found.append(one)
    return found


def l2(row: LateRow, reading: str) -> list[float | None]:
    """At 1, 2 and 3 s and their mean."""
    means = [mean.mean for mean in row.figures["l2_m"][reading].values()]
    return [None if mean is None else round(mean, 9) for mean in means]


def test_the_ideal_is_the_score_of_each_clips_own_plan():
    row = slow_run().rows["ideal"]
    assert (row.n, row.with_plan, row.age_s.max) == (4, 4, 0.0)
    # Behind by 0.5 and 1 m up to 1 s, and so on to 3 m.
    assert l2(row, "reached") == l2(row, "strict") == [0.75, 1.25, 1.75, 1.25]
    assert l2(row, "cost") == [0, 0, 0, 0]


def test_a_plan_too_slow_by_1_mps_costs_a_metre_for_each_second_that_it_is_late():
    for late_s in (0.5, 1.0):
        row = slow_run().swept[late_s]
        assert l2(row, "cost") == [late_s] * 4
        assert l2(row, "ideal") == [0.75, 1.25, 1.75, 1.25]
        assert l2(row, "continued") == [late_s + up_to for up_to in (0.75, 1.25, 1.75, 1.25)]


def test_what_a_plan_does_not_reach_is_counted_not_guessed():
    row = slow_run().swept[1.0]
    assert (row.n, row.with_plan, row.reaches) == (4, 2, {"1s": 2, "2s": 2, "3s": 0})
    assert l2(row, "reached") == [1.75, 2.25, None, None]
    assert [mean.n for mean in row.figures["l2_m"]["reached"].values()] == [2, 2, 0, 0]


def test_a_keyframe_without_a_plan_stays_in_the_total_as_the_fallback():
    row = slow_run().swept[1.0]
    # Two keyframes stop, 4 m behind for each second: 3, 5, 7 m on average.
    expected = [(1.75 + 3) / 2, (2.25 + 5) / 2, (2.75 + 7) / 2, (2.25 + 5) / 2]
    assert l2(row, "strict") == expected
    assert [mean.n for mean in row.figures["l2_m"]["strict"].values()] == [4, 4, 4, 4]


def test_a_run_heard_at_once_scores_exactly_as_its_ideal():
    score = scored(published=heard())
    assert score.rows["as published"].to_json() == score.rows["ideal"].to_json()
    assert score.swept[0.0].to_json() == score.rows["ideal"].to_json()
    assert (score.latency_s.p50, score.latency_s.n) == (0.0, 10)


def test_a_run_heard_late_scores_as_at_that_artificial_latency_also_in_finer_points():
    for fine in (False, True):
        score = scored(published=heard(after_s=0.7, fine=fine))
        real, artificial = score.rows["as published"], score.swept[0.7]
        assert real.with_plan == 2
        assert real.reaches == artificial.reaches
        for reading in ("reached", "continued", "strict", "cost"):
            assert l2(real, reading) == l2(artificial, reading) == l2(score.swept[1.0], reading)
        assert score.latency_s.p95 == 0.7
        assert score.stages_ms["stamp to heard"].p50 == pytest.approx(700.0)


def test_a_perfect_plan_costs_nothing_however_late_as_long_as_the_drive_goes_on():
    score = scored(dict.fromkeys(TOKENS, Decision(plan=straight(4.0))))
    for late_s, row in score.swept.items():
        assert row.with_plan == max(0, 4 - int(np.ceil(2 * late_s)))
        assert l2(row, "cost") == ([0, 0, 0, 0] if row.with_plan else [None] * 4)


def test_a_failed_decision_has_no_ideal_but_the_vehicle_keeps_the_plan_before():
    score = scored({**SLOW, TOKENS[2]: FAILED})
    assert (score.rows["ideal"].n, score.rows["ideal"].with_plan) == (4, 3)
    assert score.swept[0.0].with_plan == 4
    assert score.swept[0.0].age_s.max == 0.5


def test_plans_older_than_a_second_are_had_and_told():
    plans = {token: SLOW[token] if token == TOKENS[0] else FAILED for token in TOKENS}
    row = scored(plans).swept[0.0]
    assert (row.with_plan, row.old, row.age_s.max) == (4, 1, 1.5)


def test_fallbacks_are_had_as_published_and_are_no_plans_to_put_a_latency_on():
    plans = heard(after_s=0.4)
    stop = replace(plans[1], stamp_us=850_000, heard_us=950_000, fallback=True)
    score = scored(published=[*plans, stop])
    assert score.rows["as published"].fallback == 1  # at 1 s; the third plan is there at 1.4 s
    assert all(row.fallback == 0 for row in score.swept.values())
    told = next(note for note in score.notes if note.startswith("as published: "))
    assert told.startswith("as published: 11 trajectories were heard, 1 are fallbacks; ")


def test_a_run_that_timed_all_its_plans_has_the_latency_that_they_took():
    took = replace(SLOW[TOKENS[0]], timings_ms={"ask": 50.0, "total": 600.0, "decode": 550.0})
    score = scored(dict.fromkeys(TOKENS, took))
    assert l2(score.rows["as measured"], "cost") == [1.0] * 4
    assert score.latency_s.p50 == 0.6
    assert list(score.stages_ms) == ["ask", "decode", "total"]
    assert score.stages_ms["decode"].n == 10


def test_a_run_that_timed_only_some_plans_has_no_real_latency_and_says_so():
    took = replace(SLOW[TOKENS[0]], timings_ms={"total": 600.0})
    score = scored({**SLOW, TOKENS[0]: took})
    assert list(score.rows) == ["ideal"]
    assert score.latency_s is None
    assert any(note.startswith("no real latency") for note in score.notes)


def test_baselines_stand_beside_without_latency():
    score = scored(stop={token: Decision(plan=STOP) for token in TOKENS})
    assert l2(score.rows["stop"], "strict") == [3, 5, 7, 5]


def test_latencies_go_from_none_to_two_seconds():
    assert list(slow_run().swept) == list(SWEPT_S)
    assert (SWEPT_S[0], SWEPT_S[1], SWEPT_S[-1]) == (0.0, 0.1, 2.0)


def test_a_recording_without_a_future_to_judge_by_is_refused():
    short = SmallRecording(count=1, keyframes=6)
    decisions = dict.fromkeys(short.scenes()[0].tokens, SLOW[TOKENS[0]])
    with pytest.raises(RecordError, match="no keyframe has a recorded future of 3 s"):
        scored(decisions, recording=short)


def test_an_interval_of_the_cost_is_of_late_minus_ideal():
    truths = [replace(road(), token=f"t{k}", scene=f"s{k}") for k in range(25)]
    cases, keyframes = EXACT.prepare(truths), [Keyframe.of(truth) for truth in truths]

    def judged(speeds) -> Judged:
        own = [
            Published.of(straight(v), scene=k.scene, stamp_us=0, global_from_ego=k.global_from_ego)
            for v, k in zip(speeds, keyframes, strict=True)
        ]
        return Judged.of(EXACT, cases, Held.of(keyframes, own), lambda token: STOP)

    rng = np.random.default_rng(0)
    late, ideal = judged(rng.uniform(2.0, 3.0, 25)), judged(rng.uniform(3.5, 4.0, 25))
    cost = LateRow.of(EXACT, late, ideal).figures["l2_m"]["cost"]["1s"]
    assert cost.ci95 is not None
    assert 0 < cost.ci95.low < cost.mean < cost.ci95.high
