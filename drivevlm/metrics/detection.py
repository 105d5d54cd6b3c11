"""What an answer says is there, against the labels: proposals kept and dropped, objects added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from typing import Any

import numpy as np

from drivevlm.metrics.raster import Bools
from drivevlm.world.boxes import Box3, Detection
from drivevlm.world.labels import MATCH_M
from drivevlm.world.pose import Floats
from drivevlm.world.sets import Verdict


@dataclass(frozen=True, slots=True)
class DetectionCounts:
    """One answer, or many added up. ``..._true``: how many found a labelled object of their own.

    Found is an object of the box's class nearer than ``MATCH_M``, the nearest pairs first.

    Attributes:
        clips: Answers.
        failed: Those among them that could not be read, and say nothing.
        labelled: Objects in the labels.
        labelled_read: Those among them that stand before an answer that was read.
        kept, dropped, added: What was said of proposals, and what was added to them.
        kept_true, dropped_true, added_true: Matched among the boxes of that verdict alone, except
            that an addition cannot find what a kept proposal has found.
        proposals_true: All proposals together.
        kept_invented, added_invented: With no labelled object of their class nearby at all.
    """

    clips: int
    failed: int
    labelled: int
    labelled_read: int
    kept: int
    kept_true: int
    dropped: int
    dropped_true: int
    added: int
    added_true: int
    proposals_true: int
    kept_invented: int
    added_invented: int

    def __add__(self, other: DetectionCounts) -> DetectionCounts:
        both = zip(astuple(self), astuple(other), strict=True)
        return DetectionCounts(*(a + b for a, b in both))


NOTE = (
    f"true: an object of the class is labelled within {MATCH_M:g} m, each found once; "
    "hallucinated: said to be there (kept or added) and no object of the class is labelled so "
    "near; recall is of labelled, and a failed answer finds nothing (lenient: it is left out); "
    "precision and hallucinated rate are of seen; gains are over the proposals, of answers that "
    "were read"
)
NOTHING = DetectionCounts(*(0 for _ in fields(DetectionCounts)))


def failed_answer(labelled: Sequence[Box3]) -> DetectionCounts:
    """An answer that could not be read: there was something to see, and it says nothing."""
    return replace(NOTHING, clips=1, failed=1, labelled=len(labelled))


def detection_counts(
    detections: Sequence[Detection],
    labelled: Sequence[Box3],
    unmeasured: Sequence[Box3] = (),
) -> DetectionCounts:
    """Count one answer.

    Args:
        detections: What the answer says; its kept and dropped boxes are all its proposals.
        labelled: The objects of the ten classes with a measured point (``boxes_now``).
        unmeasured: Labelled objects without one: nobody must find them, but they are there.
    """
    kept, dropped, added = (
        [d.box for d in detections if d.verdict is verdict]
        for verdict in (Verdict.KEPT, Verdict.DROPPED, Verdict.ADDED)
    )
    apart_m = _apart_m([*kept, *added], labelled)
    kept_true, free = _matched(apart_m[: len(kept)], np.ones(len(labelled), dtype=np.bool_))
    added_true, _ = _matched(apart_m[len(kept) :], free)
    everything = np.ones(len(labelled), dtype=np.bool_)
    dropped_true, _ = _matched(_apart_m(dropped, labelled), everything)
    proposals_true, _ = _matched(_apart_m([*kept, *dropped], labelled), everything)
    apart_m = np.hstack([apart_m, _apart_m([*kept, *added], unmeasured)])
    invented = ~(apart_m < MATCH_M).any(axis=1)
    return DetectionCounts(
        clips=1,
        failed=0,
        labelled=len(labelled),
        labelled_read=len(labelled),
        kept=len(kept),
        kept_true=kept_true,
        dropped=len(dropped),
        dropped_true=dropped_true,
        added=len(added),
        added_true=added_true,
        proposals_true=proposals_true,
        kept_invented=int(invented[: len(kept)].sum()),
        added_invented=int(invented[len(kept) :].sum()),
    )


def detection_figures(counts: Sequence[DetectionCounts]) -> dict[str, Any] | None:
    """Figures over all answers together; None without answers, a figure None without its base.

    A failed answer finds nothing of what was there (strict), or is left out (``lenient``): that
    decides recall alone, since it states no box. What an answer gains over its proposals is told
    of the answers that were read: a failed one does not say what it was shown.
    """
    if not counts:
        return None
    c = sum(counts, NOTHING)
    proposals, seen, seen_true = c.kept + c.dropped, c.kept + c.added, c.kept_true + c.added_true
    precision, kept_precision = _share(seen_true, seen), _share(c.kept_true, c.kept)
    proposals_precision = _share(c.proposals_true, proposals)
    proposals_recall = _share(c.proposals_true, c.labelled_read) if proposals else None
    recall_read = _share(seen_true, c.labelled_read)
    return {
        "clips": c.clips,
        "failed": c.failed,
        "labelled": c.labelled,
        "seen": seen,
        "precision": precision,
        "recall": _share(seen_true, c.labelled),
        "hallucinated": c.kept_invented + c.added_invented,
        "hallucinated_rate": _share(c.kept_invented + c.added_invented, seen),
        "proposals": proposals,
        "proposals_precision": proposals_precision,
        "proposals_recall": proposals_recall,
        "precision_gained": _gained(precision, proposals_precision),
        "recall_gained": _gained(recall_read, proposals_recall),
        "kept": c.kept,
        "kept_precision": kept_precision,
        "kept_hallucinated_rate": _share(c.kept_invented, c.kept),
        "dropped": c.dropped,
        "dropped_true": c.dropped_true,
        "precision_gained_by_drops": _gained(kept_precision, proposals_precision),
        "recall_lost_by_drops": (
            _share(c.proposals_true - c.kept_true, c.labelled_read) if proposals else None
        ),
        "added": c.added,
        "added_precision": _share(c.added_true, c.added),
        "added_hallucinated_rate": _share(c.added_invented, c.added),
        "recall_gained_by_additions": _share(c.added_true, c.labelled_read),
        "lenient": {
            "clips": c.clips - c.failed,
            "labelled": c.labelled_read,
            "recall": recall_read,
        },
        "note": NOTE,
    }


def _gained(with_answer: float | None, before: float | None) -> float | None:
    return None if with_answer is None or before is None else with_answer - before


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _apart_m(boxes: Sequence[Box3], labelled: Sequence[Box3]) -> Floats:
    """(B, L) distances on the ground; inf between classes."""
    if not boxes or not labelled:
        return np.full((len(boxes), len(labelled)), np.inf)
    ours, theirs = (np.stack([b.center_ego_m[:2] for b in group]) for group in (boxes, labelled))
    apart = np.linalg.norm(ours[:, None] - theirs[None], axis=-1)
    same = np.array([[a.category == b.category for b in labelled] for a in boxes])
    return np.where(same, apart, np.inf)


def _matched(apart_m: Floats, free: Bools) -> tuple[int, Bools]:
    """Greedy, nearest pair first, each box and object once: how many, and what is still free."""
    apart = np.where(free, apart_m, np.inf)
    left = free.copy()
    count = 0
    while apart.size and apart.min() < MATCH_M:
        box, found = np.unravel_index(apart.argmin(), apart.shape)
        apart[box, :] = np.inf
        apart[:, found] = np.inf
        left[found] = False
        count += 1
    return count, left
