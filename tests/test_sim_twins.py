"""Laws of twins in SUMO: a forked run is the replayed one, and what comes of it keeps the rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drivevlm_sim.scene_log_file import read_scene_log, scene_log_bytes, write_scene_log
from drivevlm_sim.town.recipe import Kind, Rule, TownRecipe
from drivevlm_sim.traffic.intervention import Intervention
from drivevlm_sim.traffic.jaywalker import Jaywalker
from drivevlm_sim.traffic.sumo import Snapshot, has_sumo
from drivevlm_sim.twins.fork import HORIZON_STEPS, Outcome, Trial, forked, replayed
from drivevlm_sim.twins.interventions import ForcedRed
from drivevlm_sim.twins.occasions import occasions
from drivevlm_sim.twins.pairs import Found, chosen_trials, find_pairs
from drivevlm_sim.twins.rules import breaches
from drivevlm_sim.twins.story import Story, tell
from drivevlm_sim.twins.twin_pair import AFTER_STEPS, BEFORE_STEPS, Cause, CauseKind, Family

pytestmark = pytest.mark.skipif(not has_sumo(), reason="SUMO is not installed (extra [sim])")
MIXED = TownRecipe(seed=5, rule=Rule.MIXED, columns=3, rows=3)
SIGNALS = TownRecipe(seed=6, rule=Rule.SIGNALS, columns=3, rows=2)


def told(recipe: TownRecipe, *, seed: int, seconds: float) -> Story:
    from drivevlm_sim.town.make_town import make_town

    return tell(make_town(recipe), seed=seed, seconds=seconds)


@pytest.fixture(scope="module")
def story() -> Story:
    """A short run, for what one or two trials tell."""
    return told(SIGNALS, seed=1, seconds=70.0)


@pytest.fixture(scope="module")
def stories() -> list[Story]:
    """Runs of several towns, long enough for all families."""
    four_arms = TownRecipe(seed=7, kind=Kind.GRID, rule=Rule.PRIORITY, lanes=1, columns=3, rows=3)
    recipes = (MIXED, SIGNALS, four_arms)
    return [told(recipe, seed=seed, seconds=150.0) for seed, recipe in enumerate(recipes)]


@pytest.fixture(scope="module")
def found(stories: list[Story]) -> list[Found]:
    rare = (Family.OPPONENT, Family.PEDESTRIAN)
    often = tuple(family for family in Family if family not in rare)
    return [
        find_pairs(story, families=families, most_tries=dict.fromkeys(families, tries))
        for story in stories
        for families, tries in ((often, 4), (rare, 30))
    ]


def numbers(snapshot: Snapshot) -> Iterator[np.ndarray]:
    vehicles, persons = snapshot.vehicles, snapshot.persons
    yield vehicles.front_xy_m
    yield vehicles.yaw_rad
    yield vehicles.speed_mps
    yield vehicles.acceleration_mps2
    yield vehicles.lane_m
    yield persons.xy_m
    yield persons.yaw_rad


def assert_same_run(one: Outcome, other: Outcome) -> None:
    assert (one.reason, one.ego, one.t0) == (other.reason, other.ego, other.t0)
    assert len(one.snapshots) == len(other.snapshots)
    for a, b in zip(one.snapshots, other.snapshots, strict=True):
        assert a.vehicles.names == b.vehicles.names
        assert a.persons.names == b.persons.names
        assert a.signals == b.signals
        for x, y in zip(numbers(a), numbers(b), strict=True):
            np.testing.assert_array_equal(x, y)  # 0.000 m, not nearly so


def nothing_at(story: Story, step: int, intervention: Intervention) -> Trial:
    """A trial that waits for whoever parts anywhere near the middle of the town."""
    signal = sorted(story.snapshots[0].signals)[0]
    return Trial(
        family=Family.SIGNAL_APPROACH,
        fork=step,
        ego="",
        spot_m=story.snapshots[step].vehicles.front_xy_m.mean(axis=0),
        cause=Cause(CauseKind.SIGNAL, signal=signal, link=0, links=(0,)),
        lead_steps=0,
        intervention=intervention,
    )


def test_a_fork_that_changes_nothing_goes_on_like_run_a(story: Story):
    signal = sorted(story.snapshots[0].signals)[0]
    trials = [
        nothing_at(story, 400, Intervention()),
        # Setting a plan's natural states by hand is to change nothing, too.
        nothing_at(story, 420, ForcedRed(signal, (), 0)),
    ]
    assert [outcome.reason for _, outcome in forked(story, trials)] == ["nobody reacts"] * 2
    assert story.steps > 420 + HORIZON_STEPS


def test_a_forked_run_is_the_replayed_one_to_the_bit(story: Story):
    families = (Family.STOPPED_VEHICLE, Family.SIGNAL_APPROACH)
    trials = chosen_trials(story, families, dict.fromkeys(families, 6))
    parted = [(t, o) for t, o in forked(story, trials) if not o.reason]
    assert parted
    trial, outcome = parted[0]
    assert_same_run(outcome, replayed(story, trial))


def test_a_failure_in_a_child_is_told_to_the_parent(story: Story):
    class Wrong(Intervention):
        def act(self, api: object, elapsed: int, signals: object) -> None:
            raise KeyError("no such thing")

    with pytest.raises(RuntimeError, match="no such thing"):
        list(forked(story, [nothing_at(story, 400, Wrong())]))


def test_what_sumo_refuses_is_counted_not_raised(story: Story):
    class Refused(Intervention):
        def act(self, api: object, elapsed: int, signals: object) -> None:
            story_api = api
            story_api.vehicle.remove("nobody")  # type: ignore[attr-defined]

    ((_, outcome),) = forked(story, [nothing_at(story, 400, Refused())])
    assert outcome.reason.startswith("SUMO refuses")


def test_trials_leave_time_for_the_cause_to_be_there(story: Story):
    for trial in occasions(story):
        early = trial.family not in {
            Family.SIGNAL_APPROACH,
            Family.SIGNAL_HELD,
            Family.LEADER_BRAKES,
        }
        assert trial.lead_steps == (BEFORE_STEPS if early else 0)
        assert trial.fork < story.steps


def test_a_walker_stands_at_the_kerb_until_the_first_stride():
    walker = Jaywalker(
        name="w",
        edge="e",
        at_m=50.0,
        lanes_m={1: 0.0, 2: 3.4},
        middle_m=np.array([50.0, 0.0]),
        across=np.array([0.0, 1.0]),
        kerb_m=3.0,
        wait_steps=40,
        pace_mps=1.5,
    )
    assert walker.off_m(0) == walker.off_m(40) == -3.0
    assert walker.off_m(60) == pytest.approx(0.0)  # 2 s of 1.5 m/s later: amid the lane
    np.testing.assert_allclose(walker.place_m(60), [50.0, 0.0])
    # Both lanes are blocked once the walker is 2 m from the first one's middle.
    assert [walker.blocks(lane, 46) for lane in (1, 2)] == [False, False]  # -2.1 m
    assert [walker.blocks(lane, 47) for lane in (1, 2)] == [True, True]  # -1.95 m
    assert [walker.blocks(lane, 74) for lane in (1, 2)] == [False, True]  # 2.1 m: past the first
    assert [walker.blocks(lane, 97) for lane in (1, 2)] == [False, False]  # 5.55 m: past both


@pytest.mark.part
def test_a_family_that_has_its_pairs_is_not_tried_any_more(story: Story):
    family = Family.STOPPED_VEHICLE
    found = find_pairs(story, families=[family], most_pairs={family: 1})
    counts = found.counts[family]
    assert counts.pairs == len(found.pairs) == 1
    assert counts.tries < len(chosen_trials(story, [family]))


@pytest.mark.part
def test_forked_is_replayed_in_every_family(stories: list[Story]):
    first: dict[Family, tuple[Story, Trial, Outcome]] = {}
    for story in stories:
        trials = chosen_trials(story, Family, dict.fromkeys(Family, 4))
        for trial, outcome in forked(story, trials):
            if not outcome.reason:
                first.setdefault(trial.family, (story, trial, outcome))
    assert set(first) == set(Family)
    for story, trial, outcome in first.values():
        assert_same_run(outcome, replayed(story, trial))


@pytest.mark.part
def test_each_family_gives_a_pair(found: list[Found]):
    families = {pair.family for one in found for pair in one.pairs}
    assert families == set(Family)


@pytest.mark.part
def test_pairs_keep_all_rules_on_disk(found: list[Found], tmp_path: Path):
    for pair in (pair for one in found for pair in one.pairs):
        logs = []
        for side, log in (("a", pair.a), ("b", pair.b)):
            path = tmp_path / f"{side}.scene.zip"
            write_scene_log(path, log)
            logs.append(read_scene_log(path))
        again = replace(pair, a=logs[0], b=logs[1])
        assert list(breaches(again)) == []
        assert pair.t0 == BEFORE_STEPS
        assert {log.steps for log in logs} == {BEFORE_STEPS + 1 + AFTER_STEPS}


@pytest.mark.part
def test_every_trial_is_a_pair_or_a_counted_reject(found: list[Found]):
    for one in found:
        assert sum(counts.pairs for counts in one.counts.values()) == len(one.pairs)
        for counts in one.counts.values():
            assert counts.tries == counts.pairs + sum(counts.rejects.values())


@pytest.mark.part
def test_causes_are_what_their_family_says(found: list[Found]):
    for pair in (pair for one in found for pair in one.pairs):
        a, b = (pair.cause.instance in log.others for log in (pair.a, pair.b))
        expected = {
            Family.SIGNAL_APPROACH: (False, False),
            Family.SIGNAL_HELD: (False, False),
            Family.STOPPED_VEHICLE: (False, True),
            Family.JAYWALKER: (False, True),
            Family.LEADER_BRAKES: (True, True),
            Family.OPPONENT: (True, False),
            Family.PEDESTRIAN: (True, False),
        }
        assert (a, b) == expected[pair.family]
        assert not any("ghost" in name for log in (pair.a, pair.b) for name in log.others)


@pytest.mark.part
def test_pairs_repeat_by_seed():
    runs = []
    for _ in range(2):
        story = told(SIGNALS, seed=1, seconds=80.0)
        found = find_pairs(story, most_tries=dict.fromkeys(Family, 3))
        runs.append([(p.name, scene_log_bytes(p.a), scene_log_bytes(p.b)) for p in found.pairs])
    assert runs[0] == runs[1]
    assert runs[0]
