"""Asking and reading: a clip becomes a request, a reply becomes a decision."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from drivevlm.dialogue.answer import AnswerFormat
from drivevlm.dialogue.blocks import Block, BlockConfig, Switch
from drivevlm.dialogue.codecs import PlanCodec, TextCodec
from drivevlm.dialogue.control import ControlCodec
from drivevlm.dialogue.inputs import block_words
from drivevlm.dialogue.pictures import ImageConfig, Picture, image_part, pictures_of
from drivevlm.dialogue.sections import AnswerError, SectionName
from drivevlm.dialogue.words import PromptError, Template, Words
from drivevlm.vlm.seam import VLM, Finish, ImagePart, Message, Reply, Request, Role, TextPart
from drivevlm.world.clip import Clip
from drivevlm.world.decision import Decision, Failure, Usage
from drivevlm.world.sets import FailureKind

Example = tuple[Clip, Decision]
_PICTURES = "\x00pictures\x00"
_USER = "\n[[user]]\n"


class AnswerBudgetError(PromptError):
    """The longest admitted reply does not fit the token budget."""


@dataclass(frozen=True, slots=True)
class PromptConfig:
    """What is asked, and in which form the answer is wanted.

    Attributes:
        name: A prompt of prompts/, or the path of a ``.jinja`` file of your own.
        sections: Order and presence of DETECT, SCENE, SPATIAL, DECIDE, PLAN; empty takes the
            prompt's own.
        codec: ``text`` or ``control``.
        steps, dt_s: Waypoints of the plan.
        grammar: Constrain the reply to the answer format.
        max_tokens: Budget of a reply; 0 takes what the longest admitted reply needs.
        examples: Few-shot examples; -1 takes the prompt's own number.
        example_seed: Of their draw.
        images: Which pictures are sent.
    """

    name: str = "base"
    sections: tuple[SectionName, ...] = ()
    codec: str = "text"
    steps: int = 6
    dt_s: float = 0.5
    grammar: bool = True
    max_tokens: int = 0
    examples: int = -1
    example_seed: int = 0
    images: ImageConfig = field(default_factory=ImageConfig)

    def __post_init__(self) -> None:
        if self.codec not in CODECS:
            raise ValueError(f"codec {self.codec!r} is none of {', '.join(CODECS)}")
        if self.steps < 1 or not self.dt_s > 0 or self.max_tokens < 0:
            raise ValueError("steps, dt_s and max_tokens must be positive")


CODECS: dict[str, type[TextCodec] | type[ControlCodec]] = {
    "text": TextCodec,
    "control": ControlCodec,
}


@dataclass(frozen=True)
class Dialogue:
    """One prompt in one form: static words first, then pictures, then what changes.

    Attributes:
        config: What is asked.
        blocks: The switches.
        template: The prompt file.
        format: Of the answer.
        words: Of the prompts folder.
        max_tokens: Budget of a reply.
    """

    config: PromptConfig
    blocks: BlockConfig
    template: Template
    format: AnswerFormat
    words: Words
    max_tokens: int = 1024

    @classmethod
    def of(cls, config: PromptConfig, blocks: BlockConfig, folder: Path) -> Dialogue:
        """From settings and the prompts folder. Raises PromptError in one line."""
        words = Words(folder)
        template = words.template(config.name)
        names = config.sections or _own_sections(template)
        codec: PlanCodec = CODECS[config.codec](steps=config.steps, dt_s=config.dt_s)
        try:
            answer = AnswerFormat(names, codec, words)
        except ValueError as error:
            raise PromptError(f"prompt {config.name}: {error}") from None
        return cls(config, blocks, template, answer, words)

    @property
    def example_count(self) -> int:
        """Few-shot examples that a request carries."""
        if self.config.examples >= 0:
            return self.config.examples
        return int(self.template.front.get("examples", 0))

    @property
    def digest(self) -> str:
        """SHA-256 over the words of the prompt, their settings and switches."""
        parts = [self.template.body, self.format.describe(), repr(self.config), repr(self.blocks)]
        parts += [self.words.digest()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def fitted(self, vlm: VLM, proposals: int) -> Dialogue:
        """The dialogue with a budget that the longest admitted reply fits.

        Raises AnswerBudgetError where ``max_tokens`` was given and is too small.
        """
        names = [f"p{k + 1}" for k in range(proposals)]
        needed = vlm.longest_reply_tokens(self.format.longest_bytes(names))
        given = self.config.max_tokens
        if given and self.config.grammar and needed > given:
            raise AnswerBudgetError(
                f"prompt.max_tokens={given} is too small: with {proposals} proposals the longest "
                f"reply takes {needed} tokens of {vlm.name}; raise it, set it to 0, or take fewer "
                "sections or proposals"
            )
        return replace(self, max_tokens=given or needed)

    def ask(self, clip: Clip, examples: Sequence[Example] = ()) -> Request:
        """The request for a clip. Raises FrameError where an image is missing or broken."""
        system, before, after = self._texts(clip, examples)
        parts: list[TextPart | ImagePart] = [TextPart(before)] if before else []
        switch = self.blocks.cameras
        if switch is not Switch.OFF:
            for picture in pictures_of(clip, self.config.images):
                part = image_part(picture, self.config.images, switch, self._label)
                parts += [TextPart(part.label), part]
        parts.append(TextPart(after))
        return Request(
            messages=(
                Message(Role.SYSTEM, (TextPart(system),)),
                Message(Role.USER, tuple(parts)),
            ),
            max_tokens=self.max_tokens,
            grammar=self.format.grammar(clip) if self.config.grammar else None,
        )

    def read(self, reply: Reply, clip: Clip) -> Decision:
        """The decision that the first text states; what cannot be read is a failure."""
        text, finish = reply.texts[0], reply.finish[0]
        try:
            decision = self.format.parse(text, clip)
        except AnswerError as error:
            cut = finish is Finish.LENGTH
            kind = FailureKind.TRUNCATED if cut else FailureKind.UNREADABLE
            decision = Decision(plan=None, failure=Failure(kind, str(error)))
        return replace(decision, reply=text, usage=Usage(reply.prompt_tokens, reply.reply_tokens))

    def block_words(self, clip: Clip) -> dict[Block, str]:
        """The words of each block that is shown."""
        return block_words(clip, self.words, self.blocks, self.config.images)

    def _label(self, picture: Picture) -> str:
        return self.words.part(
            "picture", camera=picture.camera.name, ago_s=picture.ago_s, crop=picture.is_crop
        )

    def _texts(self, clip: Clip, examples: Sequence[Example]) -> tuple[str, str, str]:
        """The system words, and the user's words before and after the pictures."""
        blocks = self.block_words(clip)
        cameras = blocks.pop(Block.CAMERAS, "")
        values: dict[str, object] = {
            "answer_format": self.format.describe(),
            "cameras": cameras,
            "pictures": _PICTURES,
            "blocks": list(blocks.values()),
        }
        if self.example_count or examples:
            values["examples"] = [self._example(*example) for example in examples]
        where = f"prompt {self.template.name}"
        text = self.words.fill(self.template.body, values, where)
        system, user, rest = text.partition(_USER)
        before, mark, after = rest.partition(_PICTURES)
        if not (user and mark) or _PICTURES in after:
            raise PromptError(
                f"{where} needs a line [[user]] and after it {{{{ pictures }}}}, once"
            )
        return system.strip(), before.strip(), after.strip()

    def _example(self, clip: Clip, decision: Decision) -> dict[str, object]:
        blocks = self.block_words(clip)
        blocks.pop(Block.CAMERAS, None)
        return {"blocks": list(blocks.values()), "answer": self.format.render(decision, clip)}


def _own_sections(template: Template) -> tuple[SectionName, ...]:
    names = template.front.get("sections")
    try:
        return tuple(SectionName(name) for name in names or [None])
    except (TypeError, ValueError):
        raise PromptError(
            f"prompt {template.name}: its front matter must list sections out of "
            f"{[s.value for s in SectionName]}, got {names!r}"
        ) from None
