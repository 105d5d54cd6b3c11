"""What an ego does without something: its town's run is played again, and forked without it.

Run A goes on in this process. In the step of a question a child takes the thing away and goes on
by itself; the ego's places in both are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from drivevlm.world.pose import Floats
from drivevlm_sim.labels.suspects import Kind, Suspect
from drivevlm_sim.scene_log import STEP_S
from drivevlm_sim.traffic.child import ChildDiedError, in_child
from drivevlm_sim.traffic.jaywalkers import Peopled
from drivevlm_sim.traffic.roads import Roads
from drivevlm_sim.traffic.signals import SignalPlan, same_movement
from drivevlm_sim.traffic.sumo import Simulation
from drivevlm_sim.twins.interventions import Removal

WITHIN_S = 4.0
"""For so long the ego is watched."""
WATCHED_STEPS = round(WITHIN_S / STEP_S)
GONE = (np.nan, np.nan)


@dataclass(frozen=True, slots=True)
class Question:
    """What does an ego do after a step of the recording without a suspect; None changes nothing."""

    step: int
    ego: str
    suspect: Suspect | None


def moved_m(
    simulation: Peopled, roads: Roads, questions: Sequence[Question]
) -> dict[Question, float]:
    """How far the ego's front bumper is moved within ``WITHIN_S`` at most, by question.

    What SUMO cannot take away has no answer.

    Args:
        simulation: Run A, before its first step.
        roads: Of its town.
        questions: About it.
    """
    asked: dict[int, list[Question]] = {}
    watched: dict[int, set[str]] = {}
    for question in questions:
        asked.setdefault(question.step, []).append(question)
        for step in _watched(question):
            watched.setdefault(step, set()).add(question.ego)
    with_all: dict[tuple[str, int], tuple[float, float]] = {}
    without: dict[Question, Floats] = {}
    for step in range(max(watched, default=-1) + 1):
        simulation.advance()
        for ego in watched.get(step, ()):
            with_all[ego, step] = _front_m(simulation, ego)
        for question in asked.get(step, ()):
            way_m = _way_without(simulation, roads, question)
            if way_m is not None:
                without[question] = way_m
    return {
        question: _apart_m(np.array([with_all[question.ego, k] for k in _watched(question)]), way_m)
        for question, way_m in without.items()
    }


def _watched(question: Question) -> range:
    return range(question.step + 1, question.step + 1 + WATCHED_STEPS)


def _way_without(simulation: Peopled, roads: Roads, question: Question) -> Floats | None:
    """The ego's front bumper, (``WATCHED_STEPS``, 2), NaN where it is gone; None if impossible."""

    def drive() -> Floats | None:
        try:
            hold = _take_away(simulation, roads, question.suspect)
        except simulation.api.TraCIException:  # SUMO knows no such thing now
            return None
        fronts = []
        for elapsed in range(WATCHED_STEPS):
            hold(elapsed)
            simulation.advance()
            fronts.append(_front_m(simulation, question.ego))
        return np.array(fronts)

    try:
        return in_child(drive)
    except ChildDiedError:
        return None


def _take_away(simulation: Peopled, roads: Roads, suspect: Suspect | None) -> Callable[[int], None]:
    """Take a suspect away; what is returned keeps it away, and is called before every step.

    A light is taken away by green for the ego's own movement alone: a green junction would also
    take away the duty to yield.
    """
    if suspect is None:
        return lambda elapsed: None
    if simulation.people.take_away(simulation, suspect.name):
        return lambda elapsed: None
    if suspect.kind is not Kind.LIGHT:
        Removal(suspect.name, walks=suspect.kind is Kind.WALKER).act(simulation.api, 0, {})
        return lambda elapsed: None
    signal, _, place = suspect.name.rpartition("/")
    links = (link for group in roads.links.values() for link in group)
    own = next(link for link in links if (link.signal, link.signal_link) == (signal, int(place)))
    plan, mine = SignalPlan.read(simulation, signal), same_movement(roads, own)
    greens = {link: plan.green(link) for link in mine}

    def hold(elapsed: int) -> None:
        state = [greens.get(k, letter) for k, letter in enumerate(plan.after(elapsed + 1))]
        simulation.api.trafficlight.setRedYellowGreenState(signal, "".join(state))

    return hold


def _front_m(simulation: Simulation, ego: str) -> tuple[float, float]:
    """Where it is, in SUMO's axes."""
    ask = simulation.api.vehicle
    if ego not in ask.getIDList():
        return GONE
    x_m, y_m = ask.getPosition(ego)
    return x_m, y_m


def _apart_m(a: Floats, b: Floats) -> float:
    """The greatest distance while both are there."""
    apart = np.hypot(*(a - b).T)
    return float(np.nanmax(apart)) if np.isfinite(apart).any() else 0.0
