"""Rules of ``drivevlm_labels.jsonl``: it speaks of what is there, and says what was seen."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from drivevlm.world.body import FRONT_M
from drivevlm.world.pose import Floats
from drivevlm.world.scene_labels import SceneLabels
from drivevlm.world.sets import Signal
from drivevlm.world.truth import LabelledBoxes
from drivevlm_sim.check.disk import Disk, Scene
from drivevlm_sim.check.findings import Finding, Rule

Labels = Mapping[str, SceneLabels]
RECALLED = 4
"""Keyframes: what was seen so long ago, 2 s, may still be told of."""
PLAIN_PX = 150.0
PLAIN_M = 40.0
WELL_SEEN = 4
"""Of a box in plain sight (area of its rectangle, distance, visibility) nobody says: not seen."""
TOLD_WITHIN_M = 0.51
"""Sentences tell whole metres."""
GAP_SHORT_M = 1.0
"""Along the road it is never nearer than in a straight line, but for bodies of other lengths."""

_METRES = re.compile(r"(\d+) (?:m|metres?)\b")
_PLACES = re.compile(r"\b(junction|stop line|stop sign|stop at the line|route|turn)\b|this road")
"""Sentences of places that labels do not list the way to."""
_LIGHTS = {
    Signal.RED: re.compile(r"\b(red)\b", re.IGNORECASE),
    Signal.AMBER: re.compile(r"\b(amber|yellow)\b", re.IGNORECASE),
    Signal.GREEN: re.compile(r"\bgreen (light|signal)|(light|signal)\w* (is|shows|turns) green"),
}
_SPOKEN = {
    re.compile(r"\b(pedestrian|person|walker|on foot)\b", re.IGNORECASE): "human.",
    re.compile(r"\b(car|van|suv)\b", re.IGNORECASE): "vehicle.car",
    re.compile(r"\btruck\b", re.IGNORECASE): "vehicle.truck",
    re.compile(r"\bbus\b", re.IGNORECASE): "vehicle.bus",
    re.compile(r"\b(bicycle|cyclist)\b", re.IGNORECASE): "vehicle.bicycle",
    re.compile(r"\bmotorcycl\w+\b", re.IGNORECASE): "vehicle.motorcycle",
}
"""Words of sentences, and the category of what must then be listed and seen."""


def label_findings(disk: Disk, labels: Labels) -> list[Finding]:
    """All rules of one version's labels."""
    kinds = _kinds(disk)
    seen = _Seen(disk)
    rules: tuple[tuple[Rule, Callable[[Scene, int, SceneLabels], float | None]], ...] = (
        (
            Rule("label_instances", "instances that the scene does not have", most=0),
            partial(_strangers, disk, kinds),
        ),
        (Rule("label_seen", "said to be seen, in no camera for 2 s", most=0), seen.falsely_seen),
        (Rule("label_unseen", "said to be unseen, in plain sight", most=0), seen.falsely_unseen),
        (Rule("label_signal", "a light without a distance, or seen though none", most=0), _light),
        (
            Rule("label_lead_gap", "a lead nearer than in a straight line", "m", most=GAP_SHORT_M),
            partial(_short_gap_m, disk),
        ),
        (
            Rule("label_words", "things spoken of that are not listed and seen", most=0),
            partial(_unlisted, kinds),
        ),
        (Rule("label_metres", "distances spoken of that are not listed", most=0), _untold),
    )
    lines: dict[str, float | None] = {}
    figures: list[dict[str, float | None]] = [{} for _ in rules]
    for where, scene, sample in disk.keyframes():
        told = labels.get(disk.index.sample_token[sample])
        lines[where] = float(told is None)
        if told is not None:
            for (_, measure), found in zip(rules, figures, strict=True):
                found[where] = measure(scene, sample, told)
    findings = [Finding.of(Rule("label_lines", "keyframes without a line", most=0), lines)]
    findings += [Finding.of(rule, f) for (rule, _), f in zip(rules, figures, strict=True)]
    return findings


def _kinds(disk: Disk) -> Mapping[str, Mapping[str, str]]:
    """By scene and instance, its category."""
    found: dict[str, dict[str, str]] = {}
    for _, scene, sample in disk.keyframes():
        boxes = disk.boxes(sample)
        names = zip(boxes.instance, boxes.category, strict=True)
        found.setdefault(scene.name, {}).update(names)
    return found


def _named(labels: SceneLabels) -> Iterator[tuple[str, bool]]:
    """Instances that are spoken of, and whether they were seen."""
    if labels.lead is not None:
        yield labels.lead.instance, labels.lead.visible
    yield from ((cause.name, cause.visible) for cause in labels.tested if not cause.is_signal)
    yield from ((relation.instance, relation.visible) for relation in labels.relations)


def _strangers(
    disk: Disk, kinds: Mapping[str, Mapping[str, str]], scene: Scene, _: int, labels: SceneLabels
) -> float:
    """Who is not in the tables; who is in them has a box in this scene."""
    return float(sum(name not in kinds[scene.name] for name in {n for n, _ in _named(labels)}))


class _Seen:
    """What cameras show, by keyframe."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def falsely_seen(self, scene: Scene, sample: int, labels: SceneLabels) -> float:
        first = max(scene.samples[0], sample - RECALLED)
        recent = range(first, sample + 1)
        shown = set().union(*(self._areas_px(row) for row in recent))
        # Boxes reach 80 m: where there is none, nothing tells.
        boxed = set().union(*(self._disk.boxes(row).instance for row in recent))
        return float(len({name for name, seen in _named(labels) if seen and name in boxed - shown}))

    def falsely_unseen(self, _: Scene, sample: int, labels: SceneLabels) -> float:
        hidden = {name for name, seen in _named(labels) if not seen}
        if not hidden:
            return 0.0
        boxes, areas_px = self._disk.boxes(sample), self._areas_px(sample)
        away_m = boxes.center_global_m - self._disk.ego(sample).translation_m
        rows = [row for row, name in enumerate(boxes.instance) if name in hidden]
        return float(
            sum(
                bool(boxes.visibility[row] == WELL_SEEN)
                and bool(np.hypot(*away_m[row][:2]) < PLAIN_M)
                and areas_px.get(boxes.instance[row], 0.0) >= PLAIN_PX
                for row in rows
            )
        )

    def _areas_px(self, sample: int) -> dict[str, float]:
        """By instance, the greatest area of its box in any picture."""
        found: dict[str, float] = {}
        for camera in self._disk.cameras:
            for name, (left, top, right, bottom) in self._disk.rectangles(camera, sample).items():
                found[name] = max(found.get(name, 0.0), (right - left) * (bottom - top))
        return found


def _light(_: Scene, __: int, labels: SceneLabels) -> float:
    signal = labels.signal
    none = signal.state is Signal.NONE
    return float(none != (signal.distance_m is None) or (none and signal.visible))


def _short_gap_m(disk: Disk, _: Scene, sample: int, labels: SceneLabels) -> float | None:
    """By how much the lead's gap is shorter than the way to its box; None where it has no box."""
    boxes = disk.boxes(sample)
    if labels.lead is None or labels.lead.instance not in boxes.instance:
        return None
    row = boxes.instance.index(labels.lead.instance)
    front_m = disk.ego(sample).apply(np.array([FRONT_M, 0.0, 0.0]))
    return max(_to_box_m(front_m, boxes, row) - labels.lead.gap_m, 0.0)


def _to_box_m(xyz_m: Floats, boxes: LabelledBoxes, row: int) -> float:
    """From a point to the nearest point of a box, seen from above."""
    w, _, _, z = boxes.wxyz_global[row]
    yaw_rad = 2 * np.arctan2(z, w)
    x, y = (xyz_m - boxes.center_global_m[row])[:2]
    along = np.abs(x * np.cos(yaw_rad) + y * np.sin(yaw_rad)) - boxes.size_lwh_m[row][0] / 2
    across = np.abs(y * np.cos(yaw_rad) - x * np.sin(yaw_rad)) - boxes.size_lwh_m[row][1] / 2
    return float(np.hypot(max(along, 0.0), max(across, 0.0)))


def _unlisted(
    kinds: Mapping[str, Mapping[str, str]], scene: Scene, _: int, labels: SceneLabels
) -> float:
    text = " ".join(labels.sentences)
    listed = [kinds[scene.name].get(name, "") for name, seen in _named(labels) if seen]
    wrong = sum(
        word.search(text) is not None and not any(kind.startswith(wanted) for kind in listed)
        for word, wanted in _SPOKEN.items()
    )
    wrong += sum(
        word.search(text) is not None and labels.signal.seen is not state
        for state, word in _LIGHTS.items()
    )
    return float(wrong)


def _untold(_: Scene, __: int, labels: SceneLabels) -> float | None:
    """Distances in sentences that are none of the listed ones; None where there are none."""
    spoken = [sentence for sentence in labels.sentences if not _PLACES.search(sentence)]
    said = [float(number) for number in _METRES.findall(" ".join(spoken))]
    if not said:
        return None
    listed = [labels.signal.distance_m, *(relation.gap_m for relation in labels.relations)]
    listed += [labels.lead.gap_m] if labels.lead else []
    listed += [labels.route.distance_m] if labels.route else []
    known = [value for value in listed if value is not None]
    return float(sum(not any(abs(v - n) <= TOLD_WITHIN_M for v in known) for n in said))
