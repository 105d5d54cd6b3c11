"""What of a clip the topics can tell: the rest is lost on a vehicle, and said so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from drivevlm.drive.messages.objects import CLASS_OF_LABEL
from drivevlm.drive.node_config import ObjectsType
from drivevlm.world.boxes import Box3
from drivevlm.world.clip import Clip, Proposals
from drivevlm.world.ego import status_from_history

UNKNOWN, TRUCK, HAZARD = 0, 2, 9
LABELS: dict[str, int] = {
    "barrier": UNKNOWN,
    "traffic_cone": HAZARD,
    "construction_vehicle": TRUCK,
    **{name: label for label, name in reversed([*enumerate(CLASS_OF_LABEL)]) if name is not None},
}
"""Autoware's label of each class; those of the first two are read back as obstacles of no class,
and that of the third as another class."""


def as_told(clip: Clip, objects: ObjectsType) -> Clip:
    """The clip that a node makes of the topics, but for its token and scene.

    It makes its ego status of the past poses, hears no scene summary, and of proposals only what
    the chosen message has a place for.
    """
    status = None if clip.history is None else status_from_history(clip.history)
    proposals = None if clip.proposals is None else _told(clip.proposals, objects)
    return replace(clip, status=status, summary=None, proposals=proposals)


def losses(clips: Sequence[Clip], objects: ObjectsType) -> Iterator[str]:
    """In words, what of these clips no topic tells; none where a node can decide on them as is."""
    told = [as_told(clip, objects) for clip in clips]
    if any(clip.summary is not None for clip in clips):
        yield "scene summaries are left out: no topic tells them"
    if any(one.status != other.status for one, other in zip(clips, told, strict=True)):
        yield "the ego status is left out: a node makes its own of past poses"
    boxes = [box for clip in clips for box in _boxes(clip)]
    if objects is ObjectsType.NONE and any(clip.proposals is not None for clip in clips):
        yield "proposals are left out: objects is none"
    if objects is ObjectsType.DETECTION and any(b.velocity_ego_mps is not None for b in boxes):
        yield "the proposals' speeds are left out: detection3d has no place for them"
    if objects is ObjectsType.PREDICTED:
        lost = sorted({box.category for box in boxes if _predicted(box) is not box})
        if lost:
            yield (
                f"proposals of {', '.join(lost)} are told as others, or as obstacles alone: "
                "predicted_objects lacks the class"
            )


def _told(proposals: Proposals, objects: ObjectsType) -> Proposals | None:
    if objects is ObjectsType.NONE:
        return None
    of = _predicted if objects is ObjectsType.PREDICTED else _detected
    told = tuple(box for box in map(of, proposals.boxes) if box is not None)
    if len(told) == len(proposals.boxes):
        return replace(proposals, boxes=told)
    return Proposals.best(told, proposals.provenance, top_k=len(told), min_score=0.0)


def _predicted(box: Box3) -> Box3 | None:
    """None where it is told as an obstacle of no class, which is no proposal."""
    category = CLASS_OF_LABEL[LABELS[box.category]]
    if category is None or category == box.category:
        return None if category is None else box
    return replace(box, category=category)


def _detected(box: Box3) -> Box3:
    return replace(box, velocity_ego_mps=None)


def _boxes(clip: Clip) -> tuple[Box3, ...]:
    return () if clip.proposals is None else clip.proposals.boxes
