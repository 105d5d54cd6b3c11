"""Traffic lights: what drivers see of them, and how to hold a plan while some links are forced.

SUMO's drivers react in the step in which a light changes; people need a moment. So lights are
shown ``SHOWN_EARLY_STEPS`` before SUMO's drivers obey them: then there are frames in which a light
has changed and the driver has not reacted yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from drivevlm.world.sets import Signal
from drivevlm_sim.scene_log import STEP_S
from drivevlm_sim.town.town import Turn
from drivevlm_sim.traffic.roads import Link, Roads, edge_of
from drivevlm_sim.traffic.sumo import Simulation

SHOWN_EARLY_STEPS = 7
"""0.7 s, a reaction time."""


def shown(obeyed: Sequence[str]) -> tuple[str, ...]:
    """What is shown in each step, from what is obeyed; the last steps, unknown yet, are missing."""
    return tuple(obeyed[SHOWN_EARLY_STEPS:])


def colour(letter: str) -> Signal:
    """The colour of a letter of SUMO's states; "" is no signal, and red-yellow counts as red."""
    if not letter:
        return Signal.NONE
    if letter in "rRsu":
        return Signal.RED
    if letter in "yY":
        return Signal.AMBER
    return Signal.GREEN if letter in "gG" else Signal.UNKNOWN


@dataclass(frozen=True, slots=True)
class SignalPlan:
    """What a signal's plan will do if nobody intervenes.

    Attributes:
        phases: Duration and state of each phase, in a circle.
        phase: The one that runs now.
        rest_s: How long it still runs.
    """

    phases: tuple[tuple[float, str], ...]
    phase: int
    rest_s: float

    @classmethod
    def read(cls, simulation: Simulation, signal: str) -> SignalPlan:
        """The plan of a running simulation's signal, which must run by its own program."""
        ask = simulation.api.trafficlight
        now, current = simulation.api.simulation.getTime(), ask.getProgram(signal)
        for logic in ask.getAllProgramLogics(signal):
            if logic.programID == current:
                return cls(
                    phases=tuple((float(phase.duration), phase.state) for phase in logic.phases),
                    phase=int(ask.getPhase(signal)),
                    rest_s=float(ask.getNextSwitch(signal) - now),
                )
        raise ValueError(f"signal {signal} runs no program of its own: {current}")

    def after(self, steps: int) -> str:
        """The state that is obeyed in the step that is made ``steps`` from now; 1 is the next."""
        phase, rest_s, wait_s = self.phase, self.rest_s, (steps - 1) * STEP_S
        while wait_s >= rest_s - STEP_S * 1e-3:
            phase = (phase + 1) % len(self.phases)
            rest_s += self.phases[phase][0]
        return self.phases[phase][1]

    def green(self, link: int) -> str:
        """The letter that a link shows when it is green: whether it then still has to yield."""
        letters = (state[link] for _, state in self.phases)
        return next((letter for letter in letters if letter in "gG"), "g")

    def forced(self, steps: int, links: Iterable[int], letter: str) -> str:
        """The same with some links forced and all others held."""
        state = list(self.after(steps))
        for link in links:
            state[link] = letter
        return "".join(state)


def same_movement(roads: Roads, own: Link) -> tuple[int, ...]:
    """Links of a signal plan that one lamp box rules together with ``own``.

    These are the left turns of its approach, or all its other ways.
    """
    approach, left = edge_of(own.from_lane), own.turn in (Turn.LEFT, Turn.BACK)
    return tuple(
        sorted(
            link.signal_link
            for links in roads.links.values()
            for link in links
            if link.signal == own.signal
            and edge_of(link.from_lane) == approach
            and (link.turn in (Turn.LEFT, Turn.BACK)) == left
        )
    )
