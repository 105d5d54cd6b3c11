"""The planner: one call of a VLM per clip, and the memory that carries one decision to the next."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from drivevlm.dialogue.dialogue import Dialogue, Example
from drivevlm.vlm.seam import VLM, DeadlineError, Reply, VLMError
from drivevlm.world.camera import FrameError
from drivevlm.world.clip import Clip, Prior, Summary
from drivevlm.world.decision import Decision, Failure
from drivevlm.world.plan import carried_forward
from drivevlm.world.sets import FailureKind, Provenance

MEMORY_GAP_US = 2_000_000
"""A pause longer than this ends a memory: the world has moved on."""


class Planner(Protocol):
    """Anything that plans, in three steps: recall, decide, remember.

    ``decide`` depends on its clip alone. What a planner carries from one clip to the next is put
    into the clip by ``recall`` and taken from the decision by ``remember``, so that a job may
    look at, exchange or replay the memory in between.
    """

    @property
    def name(self) -> str:
        """As tables and records call it."""

    def recall(self, clip: Clip) -> Clip:
        """The clip with what is remembered of its scene, where the clip itself has nothing."""

    def decide(self, clip: Clip) -> Decision:
        """One decision. Everything that goes wrong in the world becomes its ``failure``."""

    def remember(self, clip: Clip, decision: Decision) -> None:
        """Keep what the scene's next clip may use."""


@dataclass(frozen=True, slots=True)
class _Memory:
    t0_us: int
    decision: Decision


def no_examples(clip: Clip) -> tuple[Example, ...]:
    """Zero-shot."""
    return ()


@dataclass(slots=True)
class VLMPlanner:
    """Asks a VLM once per clip. Clips of one scene must come in order; scenes may interleave.

    Attributes:
        name: As tables call it.
        vlm: The model.
        dialogue: What is asked and how the answer is read.
        examples: Few-shot pairs for a clip, all from other scenes.
        deadline_s: Seconds a reply may take; None for no limit.
        seed: For models that sample.
    """

    name: str
    vlm: VLM
    dialogue: Dialogue
    examples: Callable[[Clip], tuple[Example, ...]] = no_examples
    deadline_s: float | None = None
    seed: int = 0
    _memory: dict[str, _Memory] = field(default_factory=dict)

    def recall(self, clip: Clip) -> Clip:
        """The clip with prior plan and scene summary of the scene's last decision.

        The memory is dropped after a gap of ``MEMORY_GAP_US`` and when time runs backwards.
        Without past poses the old plan cannot be moved and is left out.
        """
        memory = self._memory.get(clip.scene)
        if memory is None:
            return clip
        age_us = clip.t0_us - memory.t0_us
        if not 0 < age_us <= MEMORY_GAP_US:
            del self._memory[clip.scene]
            return clip
        age_s = age_us / 1e6
        if clip.prior is None:
            clip = replace(clip, prior=_prior(memory, clip, age_s))
        if clip.summary is None and memory.decision.summary is not None:
            summary = Summary(memory.decision.summary, age_s, Provenance.MEMORY)
            clip = replace(clip, summary=summary)
        return clip

    def decide(self, clip: Clip) -> Decision:
        """Ask and read. A broken image, a late reply and a model's error are failures."""
        started = time.perf_counter()
        try:
            request = self.dialogue.ask(clip, self.examples(clip))
        except FrameError as error:
            return Decision.failed(FailureKind.IMAGE, str(error))
        request = replace(request, session=clip.scene, deadline_s=self.deadline_s, seed=self.seed)
        asked = time.perf_counter()
        try:
            reply = self.vlm.submit(request).result()
        except VLMError as error:
            late = isinstance(error, DeadlineError)
            failure = Failure(FailureKind.DEADLINE if late else FailureKind.MODEL, str(error))
            return Decision(plan=None, failure=failure, request_digest=request.digest)
        replied = time.perf_counter()
        decision = self.dialogue.read(reply, clip)
        done = time.perf_counter()
        timings_ms = _timings_ms(reply, started=started, asked=asked, replied=replied, done=done)
        return replace(decision, request_digest=request.digest, timings_ms=timings_ms)

    def remember(self, clip: Clip, decision: Decision) -> None:
        """Keep a decision for the scene's next clip. A failure clears what was known before."""
        self._memory[clip.scene] = _Memory(clip.t0_us, decision)

    def keep_only(self, scene: str) -> None:
        """Forget all other scenes: for who plans one after the other, and for ever."""
        for other in [name for name in self._memory if name != scene]:
            del self._memory[other]


def plan_next(planner: Planner, clip: Clip) -> Decision:
    """Recall, decide, remember."""
    decision = planner.decide(planner.recall(clip))
    planner.remember(clip, decision)
    return decision


def _timings_ms(
    reply: Reply, *, started: float, asked: float, replied: float, done: float
) -> Mapping[str, float]:
    return {
        "ask": 1e3 * (asked - started),
        **reply.timings_ms,
        "read": 1e3 * (done - replied),
        "total": 1e3 * (done - started),
    }


def _prior(memory: _Memory, clip: Clip, age_s: float) -> Prior | None:
    if memory.decision.plan is None or clip.history is None:
        return None
    now_from_then = clip.history.pose_at(memory.t0_us)
    if now_from_then is None:
        return None
    plan = carried_forward(memory.decision.plan, now_from_then=now_from_then, age_s=age_s)
    return None if plan is None else Prior(plan, age_s)
