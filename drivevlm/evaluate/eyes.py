"""Whether a planner looks, by twins, and whether its reasons are true, by labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from drivevlm.data.recording import Recording, twins_of
from drivevlm.metrics.reasons import reason_figures
from drivevlm.metrics.twins import twin_figures, twin_scores
from drivevlm.world.decision import Decision
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Floats
from drivevlm.world.truth import Truth

Json = dict[str, Any]


def twins(
    recording: Recording,
    decisions: Mapping[str, Decision],
    axle_plan: Callable[[str, Truth], Plan | None],
    *,
    seed: int = 0,
) -> Json | None:
    """A planner's ``twins`` object of results.json; None where the data are no twins.

    ``axle_plan`` tells a clip's plan as the path of the rear axle, None where it failed.
    """
    pairs = [p for p in twins_of(recording) if any(token in decisions for token in p.tokens)]
    if not pairs:
        return None
    plans: dict[str, Plan | None] = {}
    futures: dict[str, Floats] = {}
    for token in (token for pair in pairs for token in pair.tokens if token in decisions):
        truth = recording.truth(token)
        if truth is not None:
            plans[token], futures[token] = axle_plan(token, truth), truth.future_path()[0]
    return twin_figures(twin_scores(pairs, plans, futures), n_total=len(pairs), seed=seed)


def reasons(
    recording: Recording, decisions: Mapping[str, Decision], *, seed: int = 0
) -> Json | None:
    """A planner's ``reasons`` object; None where it gives none, or the data have no labels."""
    if not any(d.meta or d.signal or d.critical for d in decisions.values()):
        return None
    truths = (recording.truth(token) for token in decisions)
    return reason_figures(decisions, (truth for truth in truths if truth is not None), seed=seed)
