"""A batch of lessons as tensors; what it holds depends on its place in the course alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from drivevlm.data.recording import DataError
from drivevlm.dialogue.blocks import Switch
from drivevlm.dialogue.pictures import ImageConfig, image_part
from drivevlm.model.pooling import Grid
from drivevlm.train.config import SectionWeights, TrainError
from drivevlm.train.form import Forms
from drivevlm.train.lesson import Lesson, check_fits, lesson_of
from drivevlm.train.lessons import DataSet, Place
from drivevlm.train.percepts import Percepts
from drivevlm.vlm.chat import Chat
from drivevlm.world.camera import FrameError
from drivevlm.world.clip import Clip
from drivevlm.world.decision import Decision

LONGEST_TRIED = 32
See = Callable[[int, Lesson], list[tuple[Tensor, Tensor | None]]]
"""Of each picture of a lesson of a data set: features or pixels, and rays of the cells."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """``Percepts`` of a row, as tensors, and how many images the row has."""

    images: int
    signal: int
    lead_m: float
    ahead_m: Tensor
    speed_mps: float
    reach_m: Tensor
    shown: tuple[Tensor | None, ...]

    @classmethod
    def of(cls, percepts: Percepts) -> Seen:
        """For the heads."""
        shown = [None if each is None else torch.tensor(each) for each in percepts.shown]
        ahead_m = torch.tensor(percepts.ahead_m, dtype=torch.float32)
        return cls(
            len(shown),
            percepts.signal,
            percepts.lead_m,
            ahead_m,
            percepts.speed_mps,
            torch.tensor(percepts.reach_m, dtype=torch.float32),
            tuple(shown),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """B lessons. L: tokens of the longest. A: tokens of the longest answer.

    Prompts are padded on the left, as they are when the model is asked, so that all end together.

    Attributes:
        clips: Tokens of the clips, by row.
        input_ids, attention_mask, position_ids: (B, L).
        targets: (B, A) the answers, at the right end.
        weights: (B, A) 0 where there is none.
        sections: (B, A) as in ``Lesson``; -1 where there is none.
        images: Features (C, h, w) or pixels (3, H, W) of all rows' images in one list.
        rays: (6, h, w) of each, or None.
        ages_s: (N,).
        grids: Of each image.
        encoded: Whether images are features.
        faults: Clips that had to be left out, and why.
        draw: Seed of whatever the model itself draws, dropout of adapters say.
        seen: Of each row, what there is to see.
        twins: Rows of both sides of a pair.
    """

    clips: tuple[str, ...]
    input_ids: Tensor
    attention_mask: Tensor
    position_ids: Tensor
    targets: Tensor
    weights: Tensor
    sections: Tensor
    images: list[Tensor]
    rays: list[Tensor | None]
    ages_s: Tensor
    grids: list[Grid]
    encoded: bool
    faults: dict[str, str]
    draw: int
    seen: tuple[Seen, ...]
    twins: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    lesson: Lesson
    looked: list[tuple[Tensor, Tensor | None]]
    percepts: Percepts | None


@dataclass(frozen=True, slots=True, eq=False)
class Desk:
    """Where lessons are prepared.

    Attributes:
        sets: What there is to learn.
        forms: Ways of asking.
        chat: Writes prompts.
        weights: Of sections.
        context_tokens: Of the model.
        see: Looks at pictures.
        encoded: Whether it gives features.
        seed: Of all that is drawn.
        percepts: Whether heads are asked what is seen.
    """

    sets: Sequence[DataSet]
    forms: Forms
    chat: Chat
    weights: SectionWeights
    context_tokens: int
    see: See
    encoded: bool
    seed: int
    percepts: bool = False

    def batch(self, places: Sequence[Place], *, answers: bool = True) -> Batch:
        """The lessons of these places. A clip that cannot be read, or is too long, is left out, and
        told.

        Where nobody answers, answers are empty: to find a plan's tokens is most of the work.

        All are asked for the same answer: with long ones beside short ones, most of a batch would
        be padding, and the few tokens of a plan alone would weigh next to nothing.
        """
        wanted = self.forms.answer(np.random.default_rng([self.seed, 3, places[0].number]))
        rows: list[_Row] = []
        faults: dict[str, str] = {}
        twins: list[tuple[int, int]] = []
        for place in places:
            before = len(rows)
            try:
                lessons = self.lessons(place, wanted, answers)
            except (FrameError, DataError, TrainError) as error:
                faults |= dict.fromkeys(place.unit, str(error))
                continue
            for lesson in lessons:
                try:
                    looked = self.see(place.data, lesson)
                    seen = self.sets[place.data].percepts(lesson) if self.percepts else None
                    rows.append(_Row(lesson, looked, seen))
                except (FrameError, DataError) as error:
                    faults[lesson.token] = str(error)
            if len(rows) == before + 2:
                twins.append((before, before + 1))
        made = self._padded(rows, faults, draw=places[0].number)
        return replace(made, twins=tuple(twins))

    def check_longest(self) -> None:
        """Raises TrainError where long lessons pass the model's context, or none can be asked.

        Of each data set some clips are asked for everything, those with the most proposals and
        objects to name.
        """
        for data in self.sets:
            tried = sorted(data.tokens, key=lambda token: -_boxes(*data[token]))[:LONGEST_TRIED]
            faults = [fault for token in tried if (fault := self._fault(data, token))]
            if tried and len(faults) == len(tried):
                raise TrainError(f"{data.recording.name}: no clip can be asked: {faults[0]}")

    def _fault(self, data: DataSet, token: str) -> str:
        """Why a clip will be left out when its turn comes; "" where it will not.

        Raises TrainError where it is too long.
        """
        clip, dialogue = data[token][0], self.forms.whole
        try:
            answer = data.answer(token, dialogue)
            lesson = lesson_of(clip, answer, dialogue, self.chat, self.weights)
        except (FrameError, DataError) as error:
            return str(error)
        if lesson.length > self.context_tokens:
            count = partial(self.chat.tokenizer.encode, add_special_tokens=False)
            words = dialogue.block_words(clip)
            counts = {block.value: len(count(text)) for block, text in words.items() if text}
            check_fits(lesson, self.context_tokens, counts)
        return ""

    def lessons(self, place: Place, wanted: str, answers: bool) -> list[Lesson]:
        """Of one unit, for an answer of ``FORMS``; both sides of a pair are asked alike."""
        data = self.sets[place.data]
        rng = np.random.default_rng([self.seed, 2, place.number])
        cameras = tuple(s.camera.name for s in data[place.unit[0]][0].cameras)
        form = self.forms.draw(wanted, rng, cameras)
        found = []
        for token in place.unit:
            shown = self.forms.shown(form, data[token][0])
            answer = data.answer(token, form.dialogue) if answers else ""
            lesson = lesson_of(shown, answer, form.dialogue, self.chat, self.weights)
            check_fits(lesson, self.context_tokens)
            found.append(replace(lesson, look=form.look))
        return found

    def _padded(
        self,
        rows: Sequence[_Row],
        faults: dict[str, str],
        *,
        draw: int,
    ) -> Batch:
        lessons, seen = [row.lesson for row in rows], [each for row in rows for each in row.looked]
        length = max((lesson.length for lesson in lessons), default=1)
        answer = max((len(lesson.answer_ids) for lesson in lessons), default=1)
        pad = self.chat.tokenizer.pad_token_id
        ids = [_left((*each.prompt_ids, *each.answer_ids), length, pad) for each in lessons]
        mask = torch.tensor([_left([1] * each.length, length, 0) for each in lessons]).reshape(
            -1, length
        )
        return Batch(
            clips=tuple(each.token for each in lessons),
            input_ids=torch.tensor(ids, dtype=torch.int64).reshape(-1, length),
            attention_mask=mask,
            position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
            targets=_rows([each.answer_ids for each in lessons], answer, pad, torch.int64),
            weights=_rows([each.weights for each in lessons], answer, 0.0, torch.float32),
            sections=_rows([each.sections for each in lessons], answer, -1, torch.int64),
            images=[image for image, _ in seen],
            rays=[rays for _, rays in seen],
            ages_s=torch.tensor(
                [age for each in lessons for age in each.ages_s], dtype=torch.float32
            ),
            grids=[grid for each in lessons for grid in each.grids],
            encoded=self.encoded,
            faults=faults,
            draw=draw,
            seen=tuple(Seen.of(row.percepts) for row in rows if row.percepts is not None),
        )


def _boxes(clip: Clip, decision: Decision) -> int:
    """How many are told, and how many are to be named."""
    return len(clip.proposals.boxes if clip.proposals else ()) + len(decision.detections)


def _left(values: Sequence[float], length: int, pad: float) -> list[float]:
    return [pad] * (length - len(values)) + list(values)


def _rows(rows: Sequence[Sequence[float]], length: int, pad: float, dtype: torch.dtype) -> Tensor:
    padded = [_left(row, length, pad) for row in rows]
    return torch.tensor(padded, dtype=dtype).reshape(-1, length)


def pixels_of(
    images: ImageConfig, chat: Chat, lesson: Lesson
) -> list[tuple[Tensor, Tensor | None]]:
    """A lesson's pictures, changed as it says. Raises FrameError where one is missing or broken."""
    found = []
    for number, picture in enumerate(lesson.pictures):
        part = image_part(picture, images, Switch.ON, lambda _: "")
        image = part.image_rgb if lesson.look is None else lesson.look.apply(part.image_rgb, number)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        rays = None if part.rays is None else chat.processor.cell_rays(part.rays)
        found.append((pixels, rays))
    return found
