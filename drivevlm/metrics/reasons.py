"""Are a planner's reasons true? Answers beside labels, and beside what one constant would score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from drivevlm.metrics.interval import mean_intervals
from drivevlm.world.boxes import Box3
from drivevlm.world.decision import Decision
from drivevlm.world.labels import MATCH_M, boxes_now
from drivevlm.world.pose import Floats
from drivevlm.world.scene_labels import RelationLabel, SceneLabels
from drivevlm.world.sets import LaneRelation, Signal
from drivevlm.world.truth import Truth

Json = dict[str, Any]

SIGNAL_DISTANCES_M = (0, 15, 30, 45, 60)
"""Lower ends of the groups by the distance to the light's stop line."""


def reason_figures(
    decisions: Mapping[str, Decision], truths: Iterable[Truth], *, seed: int = 0
) -> Json | None:
    """The object ``reasons`` of results.json; None where there is nothing to compare.

    A failed answer is wrong. What a planner never speaks of on any clip (a decision, a signal, an
    object) it was not asked for, and has no figure. Labels that no camera bears out (a hidden
    light, lead or object) are left out. Each ``constant`` is the one answer that fits most of the
    same labels.

    Args:
        decisions: One planner's, by token.
        truths: Those without labels are passed over.
        seed: Of the bootstrap, which resamples scenes.
    """
    rows = [
        _Row.of(decisions[truth.token], truth, truth.labels)
        for truth in truths
        if truth.labels is not None and truth.token in decisions
    ]
    told: Json = {
        **_decided(rows, seed),
        **_signals(rows, seed),
        **_objects(rows, seed),
    }
    return {"clips": len(rows), **told} if told else None


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """An answer and its labels.

    Attributes:
        decision, labels: Of the clip.
        scene: The clip's.
        related: The objects whose relation is labelled and which can be seen.
    """

    decision: Decision
    labels: SceneLabels
    scene: str
    related: tuple[tuple[Box3, RelationLabel], ...]

    @classmethod
    def of(cls, decision: Decision, truth: Truth, labels: SceneLabels) -> _Row:
        visible = {r.instance: r for r in labels.relations if r.visible}
        boxes = boxes_now(truth, unmeasured=True) if visible and decision.critical else ()
        related = tuple((box, visible[box.id]) for box in boxes if box.id in visible)
        return cls(decision, labels, truth.scene, related)


def _decided(rows: Sequence[_Row], seed: int) -> Json:
    if not any(row.decision.meta for row in rows):
        return {}
    scenes = [row.scene for row in rows]
    metas = [(row.decision.meta, row.labels.meta) for row in rows]
    along = [(mine and mine.longitudinal.value, true.longitudinal.value) for mine, true in metas]
    across = [(mine and mine.lateral.value, true.lateral.value) for mine, true in metas]
    return {
        "longitudinal": _accuracy(along, scenes, seed),
        "lateral": _accuracy(across, scenes, seed),
    }


def _signals(rows: Sequence[_Row], seed: int) -> Json:
    if not any(row.decision.signal for row in rows):
        return {}
    known = [row for row in rows if row.labels.signal.seen is not Signal.UNKNOWN]
    lit = [row for row in known if row.labels.signal.state is not Signal.NONE]

    def judged(some: Sequence[_Row]) -> Json:
        said = [row.decision.signal and row.decision.signal.value for row in some]
        true = [row.labels.signal.state.value for row in some]
        return _accuracy(list(zip(said, true, strict=True)), [row.scene for row in some], seed)

    by_distance: Json = {}
    for low, high in pairwise((*SIGNAL_DISTANCES_M, np.inf)):
        name = f"{low}+ m" if high == np.inf else f"{low}-{high} m"
        there = [row for row in lit if low <= _distance_m(row) < high]
        if there:
            by_distance[name] = judged(there)
    return {"signal": {**judged(known), "by_distance": by_distance}}


def _distance_m(row: _Row) -> float:
    """To the light's stop line; NaN, which is in no group, where it is not known."""
    distance_m = row.labels.signal.distance_m
    return np.nan if distance_m is None else distance_m


def _objects(rows: Sequence[_Row], seed: int) -> Json:
    if not any(row.decision.critical for row in rows):
        return {}
    return {"lead_gap": _lead_gap(rows), "relations": _relations(rows, seed)}


def _lead_gap(rows: Sequence[_Row]) -> Json:
    """How well a lead's gap is told: the nearest critical object of the ego's lane is the lead.

    ``named`` of ``n`` leads were told of; the errors are over those. ``invented`` of
    ``without_lead`` clips without a lead have one told.
    """
    gaps_m, errors_m, invented, without = [], [], 0, 0
    for row in rows:
        told = [c.gap_m for c in row.decision.critical if c.lane is LaneRelation.EGO_LANE]
        lead = row.labels.lead
        if lead is None:
            without += 1
            invented += bool(told)
        elif lead.visible:
            gaps_m.append(lead.gap_m)
            if told:
                errors_m.append(abs(min(told) - lead.gap_m))
    middle_m = float(np.median(gaps_m)) if gaps_m else None
    off_m = [] if middle_m is None else [abs(gap_m - middle_m) for gap_m in gaps_m]
    return {
        "n": len(gaps_m),
        "named": len(errors_m),
        **_errors(errors_m),
        "constant": {"answer_m": middle_m, **_errors(off_m)},
        "invented": invented,
        "without_lead": without,
    }


def _errors(errors_m: Sequence[float]) -> Json:
    return {
        "mean_error_m": float(np.mean(errors_m)) if errors_m else None,
        "median_error_m": float(np.median(errors_m)) if errors_m else None,
    }


def _relations(rows: Sequence[_Row], seed: int) -> Json:
    """In which lane relation objects are, of those named that the labels speak of.

    ``named`` of ``labelled`` visible objects near the ego were named, ``unknown`` more objects
    were named that are none of them.
    """
    pairs: list[tuple[str, str]] = []
    scenes, labelled, unknown = [], 0, 0
    for row in rows:
        labelled += sum(relation.visible for relation in row.labels.relations)
        free = list(row.related)
        seen = {box.id: box for box in row.decision.seen}
        for item in row.decision.critical:
            found = _matched(seen.get(item.id), free)
            if found is None:
                unknown += 1
                continue
            free.remove(found)
            pairs.append((item.lane.value, found[1].lane.value))
            scenes.append(row.scene)
    told = _accuracy(pairs, scenes, seed)
    return {**told, "named": len(pairs), "labelled": labelled, "unknown": unknown}


def _matched(
    box: Box3 | None, free: Sequence[tuple[Box3, RelationLabel]]
) -> tuple[Box3, RelationLabel] | None:
    """The nearest object of a box's class, within ``MATCH_M``."""
    if box is None:
        return None
    alike = [pair for pair in free if pair[0].category == box.category]
    nearest = min(alike, key=lambda pair: _apart_m(box, pair[0]), default=None)
    return nearest if nearest is not None and _apart_m(box, nearest[0]) < MATCH_M else None


def _apart_m(a: Box3, b: Box3) -> float:
    off_m: Floats = a.center_ego_m[:2] - b.center_ego_m[:2]
    return float(np.hypot(*off_m))


def _accuracy(pairs: Sequence[tuple[Hashable, str]], scenes: Sequence[str], seed: int) -> Json:
    """Share of answers that are the label's, its interval, and the best constant's share."""
    right = np.array([[float(said == true)] for said, true in pairs]).reshape(-1, 1)
    interval = mean_intervals(right, scenes, seed=seed)[0]
    commonest = Counter(true for _, true in pairs).most_common(1)
    return {
        "accuracy": float(right.mean()) if len(right) else None,
        "n": len(right),
        "ci95": None if interval is None else [interval.low, interval.high],
        "constant": {
            "answer": commonest[0][0] if commonest else None,
            "accuracy": commonest[0][1] / len(right) if commonest else None,
        },
    }
