"""One clip as a lesson: the very prompt that will be asked, and the answer that should follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drivevlm.dialogue.blocks import Switch
from drivevlm.dialogue.dialogue import Dialogue
from drivevlm.dialogue.pictures import ImageConfig, Label, Picture
from drivevlm.dialogue.sections import SectionName
from drivevlm.model.pooling import Grid
from drivevlm.model.processor import DriveVLMProcessor
from drivevlm.train.augment import Look
from drivevlm.train.config import SectionWeights, TrainError
from drivevlm.vlm.chat import Chat
from drivevlm.vlm.native.conversation import adds_beginning, written
from drivevlm.vlm.seam import ImagePart
from drivevlm.world.clip import Clip

ENDS = len(SectionName)
"""Stands for the token that ends an answer where a token's section is told."""
UNSEEN = np.zeros((1, 1, 3), dtype=np.uint8)
"""Stands for the pixels of a picture that nobody looks at."""


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What is read and what is to be written.

    Attributes:
        token: Of the clip.
        prompt_ids: With a place for every visual token.
        answer_ids: With the end.
        weights: Of the answer's tokens in the loss.
        sections: Of the answer's tokens: a place in ``SectionName``, or ``ENDS``.
        ages_s, grids: Of the images, in the order of their places.
        pictures: The images themselves, in that order.
        look: How they are changed; None leaves them.
    """

    token: str
    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    weights: tuple[float, ...]
    sections: tuple[int, ...]
    ages_s: tuple[float, ...]
    grids: tuple[Grid, ...]
    pictures: tuple[Picture, ...]
    look: Look | None = None

    @property
    def length(self) -> int:
        """Tokens in all."""
        return len(self.prompt_ids) + len(self.answer_ids)


def lesson_of(
    clip: Clip, answer: str, dialogue: Dialogue, chat: Chat, weights: SectionWeights
) -> Lesson:
    """What a model should answer, asked by this dialogue. Pictures are named, not read."""
    pictures: list[Picture] = []

    def look(picture: Picture, config: ImageConfig, switch: Switch, label: Label) -> ImagePart:
        pictures.append(picture)
        return ImagePart(UNSEEN, label(picture), picture.frame.stamp_us)

    asked = written(chat, dialogue.ask(clip, look=look))
    processor: DriveVLMProcessor = chat.processor
    prompt, grids = processor.with_places(asked.text, asked.ages_s, asked.labels)
    ids, sections = answer_tokens(chat.tokenizer, answer, dialogue.format.sections)
    return Lesson(
        token=clip.token,
        prompt_ids=tuple(
            chat.tokenizer.encode(prompt, add_special_tokens=adds_beginning(chat, prompt))
        ),
        answer_ids=(*ids, chat.tokenizer.eos_token_id),
        weights=(*_weights(sections, weights), weights.of(dialogue.format.sections[-1])),
        sections=(*sections, ENDS),
        ages_s=asked.ages_s,
        grids=grids,
        pictures=tuple(pictures),
    )


def answer_tokens(
    tokenizer: Any, answer: str, order: Sequence[SectionName]
) -> tuple[list[int], list[int]]:
    """Ids of an answer's tokens, and the place in ``SectionName`` of the section of each."""
    encoded = tokenizer(answer, add_special_tokens=False, return_offsets_mapping=True)
    place: Mapping[SectionName, int] = {name: k for k, name in enumerate(SectionName)}
    line_ends = np.cumsum([len(line) + 1 for line in answer.split("\n")])
    lines = np.searchsorted(line_ends, [begin for begin, _ in encoded["offset_mapping"]], "right")
    return list(encoded["input_ids"]), [place[order[line]] for line in lines]


def _weights(sections: Sequence[int], weights: SectionWeights) -> list[float]:
    by_place = [weights.of(name) for name in SectionName]
    return [by_place[section] for section in sections]


def check_fits(
    lesson: Lesson, context_tokens: int, counts: Mapping[str, int] | None = None
) -> None:
    """Raises TrainError, with the count of each kind, where a lesson passes the context.

    Args:
        lesson: What is read and written.
        context_tokens: Positions of the model.
        counts: Tokens of the prompt's blocks, where they are known.
    """
    if lesson.length > context_tokens:
        visual = sum(rows * columns for rows, columns in lesson.grids)
        blocks = ", ".join(f"{name} {count}" for name, count in (counts or {}).items())
        raise TrainError(
            f"clip {lesson.token} takes {lesson.length} tokens ({visual} of its "
            f"{len(lesson.grids)} images, {len(lesson.prompt_ids) - visual} of the prompt's words"
            f"{f' with its blocks {blocks}' if blocks else ''}, {len(lesson.answer_ids)} of the "
            f"answer), the model has {context_tokens} positions: raise "
            "model.decoder.context_tokens, or send fewer images or proposals"
        )
