"""All there is to learn from: clips and their answers, drawn in an order that the seed decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivevlm.data.recording import DataError, Recording, twins_of
from drivevlm.dialogue.blocks import Switch
from drivevlm.dialogue.dialogue import Dialogue
from drivevlm.train.config import TrainError
from drivevlm.train.lesson import Lesson
from drivevlm.train.percepts import Percepts, percepts_of
from drivevlm.world.clip import Clip
from drivevlm.world.decision import Decision
from drivevlm.world.labels import decision_from_truth

Progress = Callable[[str, int, int], None]
Unit = tuple[str, ...]
"""Tokens of clips that are learned from together: one, or both sides of a pair of twins."""


@dataclass(slots=True, eq=False)
class DataSet:
    """The clips of one recording that can be learned from.

    Attributes:
        recording: Where they come from.
        units: All of them, in the recording's order.
        skipped: Clips that cannot be, and why.
    """

    recording: Recording
    units: tuple[Unit, ...]
    skipped: dict[str, str]
    _known: dict[str, tuple[Clip, Decision]] = field(default_factory=dict)
    _answers: dict[Any, str] = field(default_factory=dict)
    _percepts: dict[Any, Percepts] = field(default_factory=dict)

    @classmethod
    def of(cls, recording: Recording, progress: Progress) -> DataSet:
        """Every clip whose future is whole, and of twins those of which both are."""
        twins = {token: pair.tokens for pair in twins_of(recording) for token in pair.tokens}
        tokens = [token for scene in recording.scenes() for token in scene.tokens]
        known, skipped = dict[str, tuple[Clip, Decision]](), dict[str, str]()
        for done, token in enumerate(tokens, 1):
            found = _lesson(recording, token)
            if isinstance(found, str):
                skipped[token] = found
            else:
                known[token] = found
            progress(f"clips of {recording.name}", done, len(tokens))
        return cls(recording, _units(tokens, twins, known), skipped, known)

    def without(self, faults: dict[str, str]) -> DataSet:
        """Fewer clips: some cannot be looked at."""
        units = tuple(unit for unit in self.units if not any(token in faults for token in unit))
        return DataSet(self.recording, units, self.skipped | faults, self._known)

    @property
    def tokens(self) -> tuple[str, ...]:
        """Of all clips."""
        return tuple(token for unit in self.units for token in unit)

    def __getitem__(self, token: str) -> tuple[Clip, Decision]:
        """A clip and its answer."""
        return self._known[token]

    def answer(self, token: str, dialogue: Dialogue) -> str:
        """What should be answered to a clip. Kept: to find a plan's codec tokens is a search.

        Raises DataError where the format cannot say it.
        """
        judged = dialogue.blocks.proposals is Switch.ON
        key = (token, dialogue.format.sections, judged)
        if key not in self._answers:
            clip, decision = self._known[token]
            try:
                self._answers[key] = dialogue.answer(clip, decision)
            except ValueError as error:
                raise DataError(f"clip {token} cannot be answered: {error}") from error
        return self._answers[key]

    def percepts(self, lesson: Lesson) -> Percepts:
        """What there is to see in a lesson. Kept: truth per pixel is slow to read."""
        names = tuple((p.camera.name, p.frame.stamp_us, p.crop) for p in lesson.pictures)
        key = (lesson.token, names, lesson.grids)
        if key not in self._percepts:
            truth = self.recording.truth(lesson.token)
            if truth is None:
                raise DataError(f"clip {lesson.token} has no truth")
            look = getattr(self.recording, "dense", None)
            dense = {} if look is None else look(lesson.token)
            self._percepts[key] = percepts_of(truth, dense, lesson.pictures, lesson.grids)
        return self._percepts[key]

    def told(self) -> str:
        """How much there is, in words; what was skipped is counted by its reason and named."""
        clips = len(self.tokens)
        pairs = sum(len(unit) == 2 for unit in self.units)
        words = f"{self.recording.name}: {clips} clips" + (f", {pairs} twin pairs" if pairs else "")
        for reason, count in Counter(self.skipped.values()).most_common():
            token = next(t for t, why in self.skipped.items() if why == reason)
            words += f"; skipped {count} ({reason}), e.g. {token}"
        return words


def _lesson(recording: Recording, token: str) -> tuple[Clip, Decision] | str:
    """A clip and its answer, or why there is none."""
    try:
        clip, truth = recording.clip(token), recording.truth(token)
        if truth is None:
            return "no poses"
        decision = decision_from_truth(truth, clip.proposals)
    except (DataError, ValueError) as error:  # a label that is no number, say
        return " ".join(str(error).split())[:120]
    if decision.plan is None:
        return "the recorded future is incomplete"
    return clip, decision


def _units(
    tokens: Sequence[str], twins: dict[str, tuple[str, str]], known: dict[str, Any]
) -> tuple[Unit, ...]:
    units = dict.fromkeys(twins.get(token, (token,)) for token in tokens)
    return tuple(unit for unit in units if all(token in known for token in unit))


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """One unit in the course.

    Attributes:
        number: Counted from the beginning; it decides all that is random in the lesson.
        data: Which data set.
        unit: Its clips.
    """

    number: int
    data: int
    unit: Unit


class Course:
    """The order of learning: each data set is gone through again and again, shuffled anew.

    It depends on the units, shares and seed alone, not on where a training was resumed.

    Args:
        sets: What there is.
        shares: How often each is drawn; empty by their sizes.
        clips: How long the course is; an even number.
        seed: Of the order.
    """

    def __init__(
        self, sets: Sequence[DataSet], shares: Sequence[float], *, clips: int, seed: int
    ) -> None:
        sizes = np.array([len(each.tokens) for each in sets])
        if not sizes.sum():
            raise TrainError("there is no clip to learn from")
        if shares and len(shares) != len(sets):
            raise TrainError(
                f"train.mixture has {len(shares)} shares for {len(sets)} data sets: give one each"
            )
        self._sets, self._seed = sets, seed
        weights = np.array(shares if shares else sizes, dtype=np.float64) * (sizes > 0)
        if not weights.sum():
            raise TrainError("train.mixture leaves only data sets without a clip")
        rng = np.random.default_rng([seed, 0])
        # Two clips a draw, a pair or two that stand alone, so that batches fill up evenly.
        self._which = rng.choice(len(sets), size=clips // 2, p=weights / weights.sum())
        self._orders: dict[tuple[int, int], NDArray[np.int64]] = {}

    def batches(self, size: int) -> Iterator[tuple[Place, ...]]:
        """Batches of so many clips; twins are never parted."""
        taken, number = [0] * len(self._sets), 0
        batch: list[Place] = []
        for data in self._which:
            drawn = 0
            while drawn < 2:
                unit = self._unit(int(data), taken[data])
                taken[data] += 1
                batch.append(Place(number, int(data), unit))
                number, drawn = number + 1, drawn + len(unit)
            if sum(len(place.unit) for place in batch) >= size:
                yield tuple(batch)
                batch = []

    def _unit(self, data: int, count: int) -> Unit:
        units = self._sets[data].units
        turn, place = divmod(count, len(units))
        if (data, turn) not in self._orders:
            self._orders = {key: v for key, v in self._orders.items() if key[0] != data}
            rng = np.random.default_rng([self._seed, 1, data, turn])
            self._orders[data, turn] = rng.permutation(len(units))
        return units[self._orders[data, turn][place]]
