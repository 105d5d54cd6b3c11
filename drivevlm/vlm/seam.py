"""The seam to chat models: one request, one reply, many in flight, each cancellable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Role(str, Enum):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class TextPart:
    """Words."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class ImagePart:
    """Pixels with a label, a stamp and, where known, the ray of every pixel.

    Attributes:
        image_rgb: (H, W, 3) uint8.
        label: What the prompt calls it; the label's words stand in the text before it too.
        stamp_us: When it was taken.
        rays: (H, W, 6) direction and origin of each pixel in a frame of the sender's choice, or
            None. This is all that a model ever learns of where a camera sits.
    """

    image_rgb: NDArray[np.uint8]
    label: str
    stamp_us: int
    rays: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        shape = self.image_rgb.shape
        if len(shape) != 3 or shape[2] != 3 or self.image_rgb.dtype != np.uint8:
            raise ValueError(
                f"image {self.label!r} must be (H, W, 3) uint8, got {shape} {self.image_rgb.dtype}"
            )
        if 0 in shape:
            raise ValueError(f"image {self.label!r} has no pixels: {shape}")
        if self.rays is not None and self.rays.shape != (*shape[:2], 6):
            raise ValueError(
                f"rays of image {self.label!r} must be {(*shape[:2], 6)}, got {self.rays.shape}"
            )


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the conversation."""

    role: Role
    parts: tuple[TextPart | ImagePart, ...]


@dataclass(frozen=True)
class Request:
    """What a model is asked.

    Attributes:
        messages: The conversation; a last ASSISTANT message is a prefix to continue.
        max_tokens: Budget of the reply.
        grammar: Lark grammar (llguidance's dialect) that the reply must follow; None for free.
        samples: Number of replies.
        temperature: 0 is greedy.
        seed: For sampling.
        deadline_s: Seconds from submission after which the reply is worthless.
        session: Requests of one session follow each other: an engine may keep what it encoded.
        draft: A guess of the reply that an engine may verify instead of writing it anew.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    grammar: str | None = None
    samples: int = 1
    temperature: float = 0.0
    seed: int = 0
    deadline_s: float | None = None
    session: str | None = None
    draft: str | None = None

    def __post_init__(self) -> None:
        if not self.messages or self.max_tokens < 1 or self.samples < 1:
            raise ValueError("a request needs messages, a positive token budget and samples >= 1")
        if self.temperature < 0 or self.seed < 0:
            raise ValueError(
                f"temperature and seed must not be negative: {self.temperature}, {self.seed}"
            )
        if self.temperature == 0 and self.samples > 1:
            raise ValueError("greedy decoding gives one reply: samples > 1 needs a temperature")

    @property
    def images(self) -> tuple[ImagePart, ...]:
        """All images in order."""
        return tuple(p for m in self.messages for p in m.parts if isinstance(p, ImagePart))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over text, image bytes, labels, stamps, rays, grammar and decoding options.

        Deadline, session and draft change when a reply comes, never what it says: they stay out.
        """
        sha = hashlib.sha256()
        options = [self.max_tokens, self.grammar, self.samples, float(self.temperature), self.seed]
        sha.update(json.dumps(options).encode())
        for message in self.messages:
            sha.update(json.dumps(["message", message.role.value]).encode())
            for part in message.parts:
                if isinstance(part, TextPart):
                    sha.update(json.dumps(["text", part.text]).encode())
                else:
                    head = ["image", part.label, part.stamp_us, part.image_rgb.shape]
                    sha.update(json.dumps(head).encode())
                    sha.update(np.ascontiguousarray(part.image_rgb).tobytes())
                    if part.rays is not None:
                        sha.update(json.dumps(["rays", part.rays.shape]).encode())
                        sha.update(np.ascontiguousarray(part.rays).tobytes())
        return sha.hexdigest()


class Finish(str, Enum):
    """Why a reply ended."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered.

    Attributes:
        texts: One per sample.
        finish: Why each ended.
        prompt_tokens, reply_tokens: Counts (the reply's over all samples).
        timings_ms: Milliseconds by stage, e.g. ``encode``, ``prefill``, ``decode``, ``queue``.
    """

    texts: tuple[str, ...]
    finish: tuple[Finish, ...]
    prompt_tokens: int
    reply_tokens: int
    timings_ms: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.texts or len(self.texts) != len(self.finish):
            raise ValueError(f"{len(self.texts)} texts and {len(self.finish)} finish reasons")


class VLMError(Exception):
    """A model or its server could not answer; the message is one clear line."""


class DeadlineError(VLMError):
    """The reply would have come too late."""


class CancelError(VLMError):
    """The sender cancelled the request before its reply was there."""


class Pending(Protocol):
    """A reply on its way."""

    def result(self, timeout: float | None = None) -> Reply:
        """Wait for the reply.

        Raises VLMError (DeadlineError once it is too late, CancelError after a cancel), or
        TimeoutError when ``timeout`` seconds passed first; the request then goes on.
        """

    def cancel(self) -> bool:
        """Stop working on it, also while it is being written. False when it was done already."""


class VLM(Protocol):
    """A chat model that reads images."""

    @property
    def name(self) -> str:
        """As tables and records call it."""

    @property
    def revision(self) -> str:
        """What exactly answered: a digest of the weights, or a hub revision."""

    def submit(self, request: Request) -> Pending:
        """Queue a request; returns at once."""

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, without special tokens."""

    def longest_reply_tokens(self, longest_bytes: int) -> int:
        """Upper bound of the tokens that a reply of so many bytes may take."""

    def close(self) -> None:
        """Cancel what is in flight and free the model."""


class Done:
    """A reply that is there already (recorded and scripted models), or the error in its place."""

    def __init__(self, outcome: Reply | VLMError) -> None:
        self._future: Future[Reply] = Future()
        if isinstance(outcome, Reply):
            self._future.set_result(outcome)
        else:
            self._future.set_exception(outcome)

    def result(self, timeout: float | None = None) -> Reply:
        """The reply, or its error raised."""
        return self._future.result(timeout)

    def cancel(self) -> bool:
        """Too late: it is done."""
        return False
