"""A planner that is asked offline, and what it was shown."""

from __future__ import annotations

from drivevlm.planner import Planner, VLMPlanner
from drivevlm.world.clip import Clip
from drivevlm.world.decision import Decision


class Witness:
    """Asks another planner, and keeps the clips that it was asked about, memory included.

    A bag waits for every reply: the node's deadline, which counts on a clock that stands meanwhile,
    does not bind the planner. Its own does.
    """

    def __init__(self, planner: Planner) -> None:
        self.planner = planner
        self._shown: dict[int, Clip] = {}

    @property
    def name(self) -> str:
        """The other planner's."""
        return self.planner.name

    def recall(self, clip: Clip) -> Clip:
        """As the other does, which forgets all scenes but this one."""
        if isinstance(self.planner, VLMPlanner):
            self.planner.keep_only(clip.scene)
        return self.planner.recall(clip)

    def decide(self, clip: Clip) -> Decision:
        """As the other does."""
        self._shown[clip.t0_us] = clip
        return self.planner.decide(clip)

    def remember(self, clip: Clip, decision: Decision) -> None:
        """As the other does."""
        self.planner.remember(clip, decision)

    def taken(self, t0_us: int) -> Clip | None:
        """What it was shown at a decision time, once; None where it was not asked."""
        return self._shown.pop(t0_us, None)
