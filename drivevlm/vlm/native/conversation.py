"""A request in our model's words: what it reads, and what it is told of each image."""

from __future__ import annotations

from dataclasses import dataclass

from drivevlm.vlm.chat import Chat
from drivevlm.vlm.seam import ImagePart, Request


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """A conversation as one text, and its images.

    Attributes:
        text: With one ``IMAGE_TOKEN`` per image.
        images: In the order of the text.
        ages_s: Of each image, before the newest of the request.
        labels: Of each image.
    """

    text: str
    images: tuple[ImagePart, ...]
    ages_s: tuple[float, ...]
    labels: tuple[str, ...]


def written(chat: Chat, request: Request) -> Written:
    """A request as the model reads it, in training as in driving; no pixel is looked at.

    Raises VLMError where the chat template cannot write it.
    """
    images = request.images
    newest_us = max((image.stamp_us for image in images), default=0)
    return Written(
        text=chat.prompt(request),
        images=images,
        ages_s=tuple((newest_us - image.stamp_us) / 1e6 for image in images),
        labels=tuple(image.label for image in images),
    )


def adds_beginning(chat: Chat, text: str) -> bool:
    """Whether the tokenizer should add what begins a text: not where the template wrote it."""
    begin: str | None = chat.tokenizer.bos_token
    return begin is None or not text.startswith(begin)
