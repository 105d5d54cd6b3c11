"""One planner's cells out of one ``results.json``. What is not there is None, never 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivevlm.report.results import STEPS, at, branch, number

Json = dict[str, Any]


def figures(results: Mapping[str, Any], planner: str) -> Json | None:
    """All that the table tells of a planner: m, ms, shares from 0 to 1; None where it is not there.

    ``signal`` is told where the labels have a light, ``recall`` is of all labelled objects, and a
    ``constant`` is what the best answer that never changes would earn.
    """
    told = branch(results, "planners", planner)
    if not told:
        return None
    exact = branch(told, "protocols", "exact")
    reasons, total = branch(told, "reasons"), number(told, "failures", "total")
    failed = number(told, "failures", "failed")
    answered = None if total is None or failed is None else total - failed
    return {
        "label": at(told, "label"),
        "revision": at(told, "model", "revision"),
        "twins": _twins(branch(told, "twins")),
        "all": _l2(exact),
        "onset": _l2(branch(exact, "splits", "onset")),
        "decision": {
            name: _accuracy(branch(reasons, name)) for name in ("longitudinal", "lateral")
        },
        "signal": _lit(branch(reasons, "signal", "by_distance")),
        "lead_gap": _picked(
            branch(reasons, "lead_gap"), ("n", "named", "mean_error_m", "median_error_m")
        ),
        "detection": _picked(
            branch(told, "detection"), ("labelled", "seen", "precision", "recall")
        ),
        "consistency": {
            **_picked(branch(told, "consistency"), ("rate", "judged")),
            "constant": at(told, "consistency", "own_constant", "rate"),
        },
        "parsed": {
            "rate": answered / total if answered is not None and total else None,
            "n": total,
        },
        "reply_tokens": at(told, "tokens", "reply_mean"),
        "ms": at(told, "ms", "mean"),
    }


def _twins(twins: Mapping[str, object]) -> Json:
    def told(node: object) -> Json:
        keys = {"n": at(node, "n"), "pair": at(node, "pair"), "single": at(node, "single")}
        return {**keys, "ci95": at(node, "ci95", "pair")}

    groups = {f"by_{name}": branch(twins, "by", name) for name in ("family", "town")}
    return {
        **told(twins),
        **{by: {name: told(node) for name, node in group.items()} for by, group in groups.items()},
    }


def _l2(node: Mapping[str, object]) -> Json:
    """Of the exact protocol: means up to k s, and the share that hits something up to 3 s."""
    return {
        "n": at(node, "n"),
        "l2_m": {step: number(node, "l2_m", step) for step in STEPS},
        "ci95": {step: at(node, "ci95", "l2_m", step) for step in STEPS},
        "collision": number(node, "collision", "3s"),
        "collision_ci95": at(node, "ci95", "collision", "3s"),
    }


def _accuracy(node: Mapping[str, object]) -> Json:
    told = _picked(node, ("accuracy", "n", "ci95"))
    return {**told, "constant": at(node, "constant", "accuracy")}


def _lit(groups: Mapping[str, object]) -> Json:
    """Over all clips with a light whose distance is known."""
    told = [(number(node, "n"), number(node, "accuracy")) for node in groups.values()]
    counts = [(n, share) for n, share in told if n is not None and share is not None]
    total = sum(n for n, _ in counts)
    right = sum(n * share for n, share in counts)
    return {"accuracy": right / total if total else None, "n": total or None}


def _picked(node: Mapping[str, object], keys: tuple[str, ...]) -> Json:
    return {key: at(node, key) for key in keys}
