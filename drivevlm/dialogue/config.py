"""What is asked, and in which form the answer is wanted."""

from __future__ import annotations

from dataclasses import dataclass, field

from drivevlm.dialogue.codecs import TextCodec
from drivevlm.dialogue.control import ControlCodec
from drivevlm.dialogue.pictures import ImageConfig
from drivevlm.dialogue.sections import SectionName

CODECS: dict[str, type[TextCodec] | type[ControlCodec]] = {
    "text": TextCodec,
    "control": ControlCodec,
}


@dataclass(frozen=True, slots=True)
class PromptConfig:
    """What is asked, and in which form the answer is wanted.

    Attributes:
        name: A prompt of prompts/, or the path of a ``.jinja`` file of your own.
        sections: Order and presence of DETECT, SCENE, SPATIAL, DECIDE, PLAN; empty takes the
            prompt's own.
        codec: ``text`` or ``control``; empty takes the prompt's own.
        steps, dt_s: Waypoints of the plan.
        grammar: Constrain the reply to the answer format.
        max_tokens: Budget of a reply; 0 takes what the longest admitted reply needs.
        examples: Few-shot examples; -1 takes the prompt's own number.
        example_seed: Of their draw.
        images: Which pictures are sent.
    """

    name: str = "base"
    sections: tuple[SectionName, ...] = ()
    codec: str = ""
    steps: int = 6
    dt_s: float = 0.5
    grammar: bool = True
    max_tokens: int = 0
    examples: int = -1
    example_seed: int = 0
    images: ImageConfig = field(default_factory=ImageConfig)

    def __post_init__(self) -> None:
        if self.codec not in ("", *CODECS):
            raise ValueError(f"codec {self.codec!r} is none of {', '.join(CODECS)}")
        if self.steps < 1 or not self.dt_s > 0 or self.max_tokens < 0 or self.examples < -1:
            raise ValueError(
                "steps and dt_s must be positive, max_tokens and examples not negative, got "
                f"{self.steps}, {self.dt_s:g}, {self.max_tokens} and {self.examples}"
            )
