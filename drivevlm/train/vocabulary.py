"""The texts that a new tokenizer is learned from: our own prompts and answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from drivevlm.dialogue.blocks import Switch
from drivevlm.dialogue.control import CODEC_TOKENS
from drivevlm.dialogue.pictures import ImageConfig, Label, Picture
from drivevlm.train.form import Forms
from drivevlm.train.lesson import UNSEEN
from drivevlm.train.lessons import DataSet
from drivevlm.vlm.seam import ImagePart, TextPart
from drivevlm.world.camera import FrameError

MOST_CLIPS = 4000
_CODEC = re.compile("|".join(map(re.escape, CODEC_TOKENS)))


def texts_of(
    sets: Sequence[DataSet], forms: Forms, *, seed: int, most: int = MOST_CLIPS
) -> Iterator[str]:
    """Every text of prompt and answer of so many clips, drawn by seed.

    Codec tokens are left out: they get a place in the vocabulary of their own.
    """
    rng = np.random.default_rng([seed, 3])
    clips = [(data, unit) for data in sets for unit in data.units]
    for k in rng.permutation(len(clips))[:most]:
        data, unit = clips[k]
        clip, decision = data[unit[0]]
        cameras = tuple(s.camera.name for s in clip.cameras)
        form = forms.draw(forms.answer(rng), rng, cameras)
        shown = forms.shown(form, clip)
        try:
            request = form.dialogue.ask(shown, look=_unseen)
        except FrameError:  # none of the cameras that are asked for: left out, and told then
            continue
        for message in request.messages:
            texts = (part.text for part in message.parts if isinstance(part, TextPart))
            yield from map(without_codec, texts)
        yield without_codec(form.dialogue.answer(shown, decision))


def without_codec(text: str) -> str:
    """A text but for its codec tokens."""
    return _CODEC.sub("\n", text)


def _unseen(picture: Picture, config: ImageConfig, switch: Switch, label: Label) -> ImagePart:
    return ImagePart(UNSEEN, label(picture), picture.frame.stamp_us)
