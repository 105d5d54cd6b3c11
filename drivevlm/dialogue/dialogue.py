"""Asking and reading: a clip becomes a request, a reply becomes a decision."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from drivevlm.dialogue.answer import AnswerFormat
from drivevlm.dialogue.blocks import Block, BlockConfig, Switch
from drivevlm.dialogue.config import CODECS, PromptConfig
from drivevlm.dialogue.inputs import block_words
from drivevlm.dialogue.pictures import Look, Picture, image_part, pictures_of
from drivevlm.dialogue.prompt_file import PromptFile
from drivevlm.dialogue.sections import MOST_ADDED, MOST_CRITICAL
from drivevlm.dialogue.spelling import AnswerError
from drivevlm.dialogue.words import PromptError, Words, read_text
from drivevlm.vlm.seam import VLM, Finish, ImagePart, Message, Reply, Request, Role, TextPart
from drivevlm.world.boxes import Detection
from drivevlm.world.clip import Clip
from drivevlm.world.decision import Decision, Failure, Usage
from drivevlm.world.sets import FailureKind, Verdict

__all__ = ["AnswerBudgetError", "Dialogue", "Example", "PromptConfig", "PromptError"]

Example = tuple[Clip, Decision]
"""A clip of another scene and the answer it should have had."""
UNFITTED_TOKENS = 1024
"""Budget of a reply before ``Dialogue.fitted`` has asked the model."""


class AnswerBudgetError(PromptError):
    """The longest admitted reply does not fit the token budget."""


@dataclass(frozen=True)
class Dialogue:
    """One prompt in one form: static words first, then pictures, then what changes.

    Attributes:
        config: What is asked.
        blocks: The switches.
        prompt: The prompt file.
        format: Of the answer.
        words: The partials.
        max_tokens: Budget of a reply.
        most_proposals: The budget holds up to so many proposals; None where it is not fitted.
    """

    config: PromptConfig
    blocks: BlockConfig
    prompt: PromptFile
    format: AnswerFormat
    words: Words
    max_tokens: int = UNFITTED_TOKENS
    most_proposals: int | None = None

    @classmethod
    def of(cls, config: PromptConfig, blocks: BlockConfig, folder: Path) -> Dialogue:
        """From settings and the prompts folder. Raises PromptError in one line."""
        prompt = PromptFile.read(folder, config.name)
        words = Words.of(folder, prompt.folder)
        codec = config.codec or prompt.codec
        if codec not in CODECS:
            raise PromptError(f"prompt {config.name}: codec {codec!r} is none of {list(CODECS)}")
        try:
            form = CODECS[codec](steps=config.steps, dt_s=config.dt_s)
            answer = AnswerFormat(config.sections or prompt.sections, form, words)
        except ValueError as error:
            raise PromptError(f"prompt {config.name}: {error}") from None
        return cls(config, blocks, prompt, answer, words)

    def fitted(self, vlm: VLM, proposals: int) -> Dialogue:
        """The dialogue with a budget that the longest admitted reply to so many proposals fits.

        Raises AnswerBudgetError where ``max_tokens`` was given and is too small.
        """
        needed = vlm.longest_reply_tokens(self.longest_bytes(proposals))
        given = self.config.max_tokens
        if given and self.config.grammar and needed > given:
            raise AnswerBudgetError(
                f"prompt.max_tokens={given} is too small: with {proposals} proposals the longest "
                f"reply takes {needed} tokens of {vlm.name}; raise it, set it to 0, or take fewer "
                "sections or proposals"
            )
        return replace(self, max_tokens=given or needed, most_proposals=proposals)

    def longest_bytes(self, proposals: int) -> int:
        """No reply that the grammar admits is longer, with proposals p1, p2, ..."""
        shown = proposals if self.blocks.proposals is Switch.ON else 0
        return self.format.longest_bytes([f"p{k + 1}" for k in range(shown)])

    @property
    def example_count(self) -> int:
        """Few-shot examples that a request should carry."""
        return self.prompt.examples if self.config.examples < 0 else self.config.examples

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the words of the prompt, their settings and switches.

        Where the files lie and what they are called does not matter.
        """
        settings = replace(
            self.config,
            name="",
            sections=self.format.sections,
            codec=self.format.codec.name,
            examples=self.example_count,
        )
        told = self._told
        parts = [*self.prompt.templates, *told.values(), self.words.digest]
        return hashlib.sha256(repr([*parts, settings, self.blocks]).encode()).hexdigest()

    @property
    def words_digest(self) -> str:
        """SHA-256 over the words alone, whatever sections and blocks they are asked with."""
        words = [*self.prompt.templates, self.words.digest]
        return hashlib.sha256(repr(words).encode()).hexdigest()

    def ask(self, clip: Clip, examples: Sequence[Example] = (), look: Look = image_part) -> Request:
        """The request for a clip, with the words of the examples but not their pictures.

        ``look`` makes a picture's part of the message: a job that knows the pictures already need
        not read them again. Raises FrameError where an image is missing or broken.
        """
        self._check_budget(clip)
        system, before, after = self._texts(clip, examples)
        parts: list[TextPart | ImagePart] = [TextPart(before)] if before else []
        switch = self.blocks.cameras
        if switch is not Switch.OFF:
            for picture in pictures_of(clip, self.config.images):
                part = look(picture, self.config.images, switch, self._label)
                parts += [TextPart(part.label), part]
        parts.append(TextPart(after))
        return Request(
            messages=(
                Message(Role.SYSTEM, (TextPart(system),)),
                Message(Role.USER, tuple(parts)),
            ),
            max_tokens=self.max_tokens,
            grammar=self.format.grammar(self._shown(clip)) if self.config.grammar else None,
        )

    def read(self, reply: Reply, clip: Clip) -> Decision:
        """The decision that the first text states; what cannot be read is a failure."""
        text, finish = reply.texts[0], reply.finish[0]
        try:
            decision = self.format.parse(text, self._shown(clip))
        except AnswerError as error:
            cut = finish is Finish.LENGTH
            kind = FailureKind.TRUNCATED if cut else FailureKind.UNREADABLE
            decision = Decision(plan=None, failure=Failure(kind, str(error)))
        return replace(decision, reply=text, usage=Usage(reply.prompt_tokens, reply.reply_tokens))

    def answer(self, clip: Clip, decision: Decision) -> str:
        """A decision as the answer to this dialogue: an example, or a target of training.

        Where the proposals are not shown, those that were kept become additions. ValueError where
        the format cannot say it.
        """
        if self.blocks.proposals is not Switch.ON and clip.proposals is not None:
            decision = _without_proposals(decision)
        return self.format.render(decision, self._shown(clip))

    def block_words(self, clip: Clip) -> dict[Block, str]:
        """The words of each block that is shown."""
        return block_words(clip, self.words, self.blocks, self.config.images)

    def save(self, folder: Path) -> None:
        """Write the prompt file and its partials, so that a run can be read with its own words."""
        (folder / "parts").mkdir(parents=True, exist_ok=True)
        name = f"{self.prompt.name}.jinja"
        (folder / name).write_text(read_text(self.prompt.folder / name), encoding="utf-8")
        for part, text in self.words.parts.items():
            (folder / part).write_text(text, encoding="utf-8")

    def _shown(self, clip: Clip) -> Clip:
        """The clip as far as an answer can speak of it: nobody judges proposals unseen."""
        return clip if self.blocks.proposals is Switch.ON else replace(clip, proposals=None)

    @cached_property
    def _told(self) -> dict[str, object]:
        """What the prompt says of the answer's form: who was taught it is told the sections."""
        if self.prompt.taught:
            return {"sections": [section.value for section in self.format.sections]}
        return {"answer_format": self.format.describe()}

    def _check_budget(self, clip: Clip) -> None:
        shown = self._shown(clip).proposals
        count = len(shown.boxes) if shown else 0
        if self.most_proposals is not None and count > self.most_proposals:
            raise ValueError(
                f"clip {clip.token} has {count} proposals, the token budget was fitted to "
                f"{self.most_proposals}: fit the dialogue to the most that the data can hold"
            )

    def _label(self, picture: Picture) -> str:
        return self.words.part(
            "picture", camera=picture.camera.name, ago_s=picture.ago_s, crop=picture.is_crop
        )

    def _texts(self, clip: Clip, examples: Sequence[Example]) -> tuple[str, str, str]:
        """The system words, and the user's words before and after the pictures."""
        blocks = self.block_words(clip)
        values: dict[str, object] = {
            **self._told,
            "cameras": blocks.pop(Block.CAMERAS, ""),
            "blocks": list(blocks.values()),
        }
        if self.prompt.examples or examples:
            values["examples"] = [self._example(*example) for example in examples]
        filled = self.words.fill(self.prompt.templates, values, f"prompt {self.prompt.name}")
        system, before, after = filled
        return system, before, after

    def _example(self, clip: Clip, decision: Decision) -> dict[str, object]:
        told = replace(self.blocks, cameras=Switch.OFF)
        blocks = block_words(clip, self.words, told, self.config.images)
        try:
            return {"blocks": list(blocks.values()), "answer": self.answer(clip, decision)}
        except ValueError as error:
            raise PromptError(f"clip {clip.token} cannot be an example: {error}") from None


def _without_proposals(decision: Decision) -> Decision:
    seen = decision.seen[:MOST_ADDED]
    names = {box.id for box in seen}
    return replace(
        decision,
        detections=tuple(Detection(box, Verdict.ADDED) for box in seen),
        critical=tuple(c for c in decision.critical if c.id in names)[:MOST_CRITICAL],
    )
