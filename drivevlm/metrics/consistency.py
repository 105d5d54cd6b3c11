"""Whether plans do what their decisions say, beside what decisions that do not look would score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import product
from typing import Any

from drivevlm.world.decision import Decision
from drivevlm.world.kinematics import KinematicClass, admits, kinematic_class
from drivevlm.world.sets import Lateral, Longitudinal, MetaDecision


def consistent(decision: Decision) -> bool | None:
    """Whether the decision admits its own plan; None where it lacks either."""
    if decision.plan is None or decision.meta is None:
        return None
    return admits(decision.meta, kinematic_class(decision.plan))


def consistency(decisions: Sequence[Decision]) -> dict[str, Any] | None:
    """The rate at which decisions admit their own plans; None where not one can be judged.

    Returns:
        ``rate`` over the ``judged`` of ``total`` decisions. Some decisions admit almost any plan,
        so on the same plans: ``constant``, the one decision that admits the most of them and its
        rate; ``own_constant``, the same among the decisions that were made; ``chance``, the rate
        when the decisions that were made are dealt to the plans at random.
    """
    pairs = Counter(
        (d.meta, kinematic_class(d.plan))
        for d in decisions
        if d.plan is not None and d.meta is not None
    )
    judged = pairs.total()
    if not judged:
        return None
    made: Counter[MetaDecision] = Counter()
    plans: Counter[KinematicClass] = Counter()
    for (meta, kinematic), count in pairs.items():
        made[meta] += count
        plans[kinematic] += count
    fits = sum(count for (meta, kinematic), count in pairs.items() if admits(meta, kinematic))
    dealt = sum(count * _admitted(meta, plans) for meta, count in made.items())
    anything = [MetaDecision(*pair) for pair in product(Longitudinal, Lateral)]
    return {
        "rate": fits / judged,
        "judged": judged,
        "total": len(decisions),
        "constant": _best(anything, plans),
        "own_constant": _best(list(made), plans),
        "chance": dealt / judged**2,
    }


def _best(metas: Sequence[MetaDecision], plans: Counter[KinematicClass]) -> dict[str, Any]:
    best = max(metas, key=lambda meta: _admitted(meta, plans))
    words = f"{best.longitudinal.value} / {best.lateral.value}"
    return {"decision": words, "rate": _admitted(best, plans) / plans.total()}


def _admitted(meta: MetaDecision, plans: Counter[KinematicClass]) -> int:
    return sum(count for kinematic, count in plans.items() if admits(meta, kinematic))
