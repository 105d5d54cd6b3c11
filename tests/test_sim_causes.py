"""What matters to an ego is found by taking it away, in a copy of the running simulation."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import traffic_cases
from traffic_cases import SEED, cars, needs_sumo, standing_scene, still

from drivevlm.world.scene_labels import CRITICAL_M
from drivevlm_sim.labels.decide import Cause, decided
from drivevlm_sim.labels.label import labels_of
from drivevlm_sim.labels.suspects import MOST_SUSPECTS, Kind, Suspect, suspects
from drivevlm_sim.labels.without import WATCHED_STEPS, Question, moved_m
from drivevlm_sim.make import tested
from drivevlm_sim.make.part_file import write_part
from drivevlm_sim.make.plan import ReasonJob
from drivevlm_sim.make.recipe import WorldRecipe
from drivevlm_sim.make.stage import part_path
from drivevlm_sim.make.traffic_part import members_of
from drivevlm_sim.scene_log import Body, SceneLog
from drivevlm_sim.town.make_town import make_town
from drivevlm_sim.traffic.child import ChildDiedError, in_child
from drivevlm_sim.traffic.demand import Demand
from drivevlm_sim.traffic.facts import Witness
from drivevlm_sim.traffic.jaywalker import JAYWALKER
from drivevlm_sim.traffic.record import DEPARTURES_S, run, simulate
from drivevlm_sim.traffic.roads import read_roads
from drivevlm_sim.traffic.scene import Scenes, Sky
from drivevlm_sim.twins import twin_pair
from drivevlm_sim.twins.story import BUSY
from drivevlm_sim.twins.twin_pair import CauseKind, TwinPair

NONE = {
    **dict.fromkeys(("leader", "signal_state", "junction_duty", "junction_turn", "foes"), ""),
    **dict.fromkeys(("walker", "walkers", "blocker", "lane_change", "signal"), ""),
    **dict.fromkeys(("leader_gap_m", "leader_speed_mps", "signal_m", "junction_m"), np.nan),
    **dict.fromkeys(("walker_m", "crossing_m", "stop_line_m", "blocked_m"), np.nan),
    "signal_link": 3,
    "signal": "north",
    "speed_limit_mps": 13.9,
}
LIGHT = "north/3"
RED = {"signal_state": "r", "signal_m": 10.0}
TRUCK = {"leader": "truck", "leader_gap_m": 4.0, "leader_speed_mps": 0.0}
ON_CROSSING = {"walkers": "anna bert", "crossing_m": 7.0}


PEOPLE = ("anna", "bert", "cora", "dora", "emil")


def standing(**facts: object) -> SceneLog:
    """A sedan that stands for 10 s, with a truck and five people ahead, and what it knows."""
    others = [still("truck", Body.TRUCK, (60.0, 50.0), 100)]
    others += [still(name, Body.PEDESTRIAN, (57.0, 50.0), 100) for name in PEOPLE]
    log = standing_scene(*others)
    columns = {name: np.full(log.steps, value) for name, value in {**NONE, **facts}.items()}
    return replace(log, facts=columns)


# ---- a copy of this process ----


def test_a_child_answers_and_leaves_nothing_here():
    here = [1]

    def work() -> tuple[int, np.ndarray]:
        here.append(2)
        return os.getpid(), np.arange(500_000)  # more than a pipe holds at once

    pid, values = in_child(work)
    assert pid != os.getpid()
    np.testing.assert_array_equal(values, np.arange(500_000))
    assert here == [1]


def test_a_failure_in_a_child_comes_with_its_traceback():
    def wrong_turn() -> None:
        raise KeyError("no such street")

    with pytest.raises(RuntimeError, match=r"(?s)wrong_turn.*KeyError: 'no such street'"):
        in_child(wrong_turn)
    with pytest.raises(RuntimeError, match="pickle"):  # an answer that cannot come back
        in_child(lambda: lambda: None)


def _killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _gone() -> None:
    os._exit(0)


@pytest.mark.parametrize("die", [_killed, _gone])
def test_a_child_that_dies_is_told_and_nothing_hangs(die: Callable[[], None]):
    began = time.monotonic()
    with pytest.raises(ChildDiedError):
        in_child(die)
    assert in_child(lambda: "the next one answers") == "the next one answers"
    assert time.monotonic() - began < 10.0


def test_a_child_that_dies_amid_its_answer_has_died():
    before = set(os.listdir("/proc/self/fd"))

    def half_an_answer() -> None:
        for fd in sorted(map(int, set(os.listdir("/proc/self/fd")) - before)):
            try:
                os.write(fd, struct.pack("!i", 1000) + b"half")
            except OSError:  # the end that reads
                continue
        os._exit(0)

    with pytest.raises(ChildDiedError):
        in_child(half_an_answer)


# ---- suspects ----


def test_suspects_are_what_may_hold_the_ego_the_nearest_first():
    assert suspects(standing(), 0) == ()
    assert suspects(standing(**TRUCK, **RED), 0) == (
        Suspect(Kind.VEHICLE, "truck"),
        Suspect(Kind.LIGHT, LIGHT),
    )
    assert suspects(standing(**ON_CROSSING, foes="truck", junction_m=9.0), 0) == (
        Suspect(Kind.WALKER, "anna"),
        Suspect(Kind.WALKER, "bert"),
        Suspect(Kind.VEHICLE, "truck"),
    )
    assert suspects(standing(**{**RED, "signal_m": 90.0}), 0) == ()  # out of reach


def test_suspects_are_few_and_the_leader_is_among_them():
    crowd = {"walkers": " ".join(PEOPLE), "crossing_m": 3.0}
    assert [one.name for one in suspects(standing(**crowd), 0)] == [*PEOPLE[:4]]
    found = suspects(standing(**crowd, **TRUCK), 0)
    assert [one.name for one in found] == [*PEOPLE[:3], "truck"]
    assert len(found) == MOST_SUSPECTS


# ---- decisions ----


def test_what_was_taken_away_in_vain_is_no_cause():
    log = standing(**TRUCK, **RED)
    assert decided(log, 0).cause is Cause.LEADER_STANDS
    reason = decided(log, 0, {"truck": CRITICAL_M, LIGHT: 3.0})
    assert (reason.cause, reason.light, reason.sure) == (Cause.RED_LIGHT, LIGHT, True)
    reason = decided(log, 0, {"truck": 3.0, LIGHT: 0.0})
    assert (reason.cause, reason.names, reason.sure) == (Cause.LEADER_STANDS, ("truck",), True)


def test_who_moves_the_ego_most_is_named_first():
    assert decided(standing(**ON_CROSSING), 0, {"anna": 0.1, "bert": 2.0}).names == ("bert", "anna")
    assert decided(standing(**ON_CROSSING), 0, {"anna": 2.0, "bert": 0.1}).names == ("anna", "bert")


def test_what_remains_unsure_is_not_told():
    log = standing(**ON_CROSSING)
    reason = decided(log, 0, {"anna": 0.0, "bert": 0.0})  # both at once hold it
    assert (reason.cause, reason.sure) == (Cause.WALKER, False)
    anna, bert = (Suspect(Kind.WALKER, name) for name in ("anna", "bert"))

    def told(moved: Mapping[Suspect, float]) -> tuple[str, ...]:
        seen = {"anna", "bert", "truck"}
        return labels_of(log, 0, seen=seen, signal_seen=True, tested=moved).sentences

    assert told({anna: 0.0, bert: 0.0}) == ()
    assert told({anna: 0.0, bert: 2.0})
    labels = labels_of(log, 0, seen={"bert"}, signal_seen=True, tested={anna: 0.0, bert: 2.0})
    assert [(one.name, one.critical, one.visible) for one in labels.tested] == [
        *(("anna", False, False), ("bert", True, True))
    ]


def test_a_twin_tells_what_its_cause_does():
    a = standing(**TRUCK)
    moved = a.rear_axle_m.copy()
    moved[41:, 0] += np.minimum(0.1 * np.arange(1, a.steps - 40), 3.0)
    pair = TwinPair(
        name="town/leader_brakes/v1",
        family=twin_pair.Family.LEADER_BRAKES,
        town="town",
        a=a,
        b=replace(a, rear_axle_m=moved),
        t0=40,
        cause=twin_pair.Cause(CauseKind.VEHICLE, instance="truck"),
    )
    assert tested.tested_by_twin(pair, a) == {40: {Suspect(Kind.VEHICLE, "truck"): 3.0}}
    assert (
        tested.tested_by_twin(pair, replace(a, others={})) == {}
    )  # where it is not, it tells nothing


# ---- in traffic ----


def spread(questions: list[Question], count: int) -> list[Question]:
    """So many of them, from the first to the last."""
    places = np.linspace(0, len(questions) - 1, min(count, len(questions)))
    return [questions[int(k)] for k in places]


@cache
def answered() -> dict[str, list[float | None]]:
    """What all questions about one run have given, by what was taken away."""
    asked = {
        kind: spread(questions, count)
        for (kind, questions), count in zip(
            _questions().items(), (9, 16, 8, 5, 8, 6, 2), strict=True
        )
    }
    town = traffic_cases.town()
    roads = read_roads(town.net_xml, town.offset_m)
    with simulate(town, roads, seed=SEED, seconds=DEPARTURES_S, demand=Demand()) as simulation:
        moved = moved_m(simulation, roads, [one for some in asked.values() for one in some])
    return {kind: [moved.get(one) for one in some] for kind, some in asked.items()}


def _questions() -> dict[str, list[Question]]:
    scenes = traffic_cases.scenes()
    kinds = ("nothing", "far", "leader", "light", "walker", "jaywalker", "unknown")
    found: dict[str, list[Question]] = {kind: [] for kind in kinds}
    for ego in cars(scenes.recording):
        life, first = scenes.life(ego), scenes.recording.vehicles[ego].track.first
        for row in range(0, life.steps - WATCHED_STEPS - 1, 5):
            for kind, suspect in _known(life, row, first + row):
                found[kind].append(Question(first + row, ego, suspect))
    return found


def _known(life: SceneLog, row: int, step: int) -> list[tuple[str, Suspect | None]]:
    """What could be taken away in a row of an ego's life, by kind."""
    facts = {name: values[row] for name, values in life.facts.items()}
    speed_mps = life.ego.speed_mps[row]
    walkers, first_m = str(facts["walkers"]), facts["leader_gap_m"]
    waits = life.facts["signal_state"][row : row + WATCHED_STEPS + 1] == "r"
    found: list[tuple[str, Suspect | None]] = [("nothing", None)]
    found += [("far", Suspect(Kind.VEHICLE, name)) for name in _far(life, step, row)[:1]]
    if facts["leader_gap_m"] < 12.0 and speed_mps > 3.0:
        found.append(("leader", Suspect(Kind.VEHICLE, str(facts["leader"]))))
    if waits.all() and speed_mps < 0.1 and facts["signal_m"] < 3.0 and not facts["foes"]:
        light = f"{facts['signal']}/{int(facts['signal_link'])}"
        if facts["junction_turn"] == "straight" and not walkers and not first_m < 10.0:
            found.append(("light", Suspect(Kind.LIGHT, light)))
    yields = facts["junction_duty"] == "yield" and not first_m < facts["crossing_m"]
    if walkers and " " not in walkers and yields and speed_mps < 5.0:
        found.append(("walker", Suspect(Kind.WALKER, walkers)))
    if str(facts["walker"]).startswith(JAYWALKER) and speed_mps > 3.0:
        found.append(("jaywalker", Suspect(Kind.WALKER, str(facts["walker"]))))
    unknown = Suspect(Kind.VEHICLE, "parked_0") if row % 2 else Suspect(Kind.WALKER, "nobody")
    return [*found, ("unknown", unknown)]


def _far(life: SceneLog, step: int, row: int) -> list[str]:
    """Vehicles over 150 m away from an ego."""
    tracks = [mover.track for mover in traffic_cases.recorded().vehicles.values()]
    here = [(track, at) for track in tracks if (at := track.at(step)) is not None]
    ego_m = life.ego.xy_m[row]
    return [track.name for track, at in here if np.hypot(*(track.xy_m[at] - ego_m)) > 150.0]


def told(kind: str, least: int) -> list[float]:
    """Answers of a kind; as many questions at least."""
    answers = [moved for moved in answered()[kind] if moved is not None]
    assert len(answers) == len(answered()[kind]) >= least
    return answers


@needs_sumo
def test_an_ego_without_nothing_is_the_same_to_the_bit():
    assert told("nothing", 9) == [0.0] * 9


@needs_sumo
def test_who_is_far_away_moves_nobody():
    assert sum(moved > 0.0 for moved in told("far", 16)) <= 1


@needs_sumo
def test_a_leader_close_ahead_moves_the_ego():
    assert sum(moved > CRITICAL_M for moved in told("leader", 8)) >= 3


@needs_sumo
def test_who_waits_first_at_a_red_light_goes_without_it():
    assert min(told("light", 3)) > CRITICAL_M


@needs_sumo
def test_somebody_on_a_crossing_moves_who_waits_for_them():
    assert max(told("walker", 4)) > CRITICAL_M


@needs_sumo
def test_who_crosses_off_crossings_moves_who_brakes_for_them():
    assert max(told("jaywalker", 3)) > CRITICAL_M


@needs_sumo
def test_what_sumo_does_not_know_has_no_answer():
    assert answered()["unknown"] == [None, None]


@needs_sumo
def test_a_job_finds_out_what_each_suspect_of_its_scenes_does(tmp_path: Path):
    recipe = WorldRecipe(towns=1, scenes=1, pairs=0, seed=3)
    town = make_town(recipe.town(0))
    scenes = Scenes(Witness(run(town, seed=recipe.traffic_seed(0, 0), seconds=52.0, demand=BUSY)))
    first, steps = 420, 41
    for ego in cars(scenes.recording):
        track = scenes.recording.vehicles[ego].track
        if track.first <= first and track.first + len(track) >= first + steps + WATCHED_STEPS:
            name = f"town/3/{ego}-{first}"
            scene = scenes.scene(ego, first=first, steps=steps, name=name, sky=Sky())
            if suspects(scene, 0):
                break
    write_part(part_path(tmp_path, "traffic"), members_of([scene], [], {}))
    job = ReasonJob(recipe, 0, 0, "traffic", (scene.name,))
    write_part(part_path(tmp_path, job.name), tested.find_out(tmp_path, job))
    found = tested.tested_in(tmp_path, "traffic", scene.name)
    asked = {step: set(suspects(scene, step)) for step in range(0, steps, 5)}
    assert {step: set(moved) for step, moved in found.items()} == {
        step: some for step, some in asked.items() if some
    }
    assert found
    assert all(moved >= 0.0 for some in found.values() for moved in some.values())
