"""A recording made of another one: its clips, changed in a way that keeps all of it true."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drivevlm.data.dense import DenseView
from drivevlm.data.recording import Recording, SceneClips, twins_of
from drivevlm.world.camera import Stored
from drivevlm.world.clip import Clip
from drivevlm.world.truth import Truth
from drivevlm.world.twins import TwinPair

Rgb = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ChangedImage:
    """A stored image that is changed when it is read."""

    source: Path | Stored | bytes

    def changed(self, rgb: Rgb) -> Rgb:
        """(H, W, 3) what is made of it, of the same size."""
        raise NotImplementedError

    def read_bytes(self) -> bytes:
        """As PNG; of what is no image the original bytes, for their reader to refuse.

        Raises OSError where the original cannot be read.
        """
        whole = self.source if isinstance(self.source, bytes) else self.source.read_bytes()
        try:
            with Image.open(io.BytesIO(whole)) as image:
                rgb = np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            return whole
        kept = io.BytesIO()
        Image.fromarray(self.changed(rgb)).save(kept, "png", compress_level=1)
        return kept.getvalue()

    def __str__(self) -> str:
        told = "bytes" if isinstance(self.source, bytes) else self.source
        return f"{told}, changed"


class Derived:
    """The clips and truths of another recording, with its tokens, scenes and twins. It has no map.

    A subclass changes ``clip``, and whatever of the others its change concerns.

    Args:
        recording: What was recorded.
        word: What is done to it, for names.
        about: All else that decides what becomes of it, as plain values.
    """

    def __init__(self, recording: Recording, word: str, *about: Any) -> None:
        self._recording, self._word, self._about = recording, word, about
        self.synthetic = recording.synthetic
        self.provenance = recording.provenance
        self.cameras = recording.cameras
        self.most_proposals = recording.most_proposals

    @property
    def name(self) -> str:
        """The recording's, and what is done to it."""
        return f"{self._recording.name} {self._word}"

    @cached_property
    def digest(self) -> str:
        """Another one for another recording and for other settings."""
        about = json.dumps([self._word, self._recording.digest, *self._about])
        return hashlib.sha256(about.encode()).hexdigest()

    @property
    def twins(self) -> tuple[TwinPair, ...]:
        """The pairs, where the clips are twins."""
        return twins_of(self._recording)

    def scenes(self) -> tuple[SceneClips, ...]:
        """The recording's."""
        return self._recording.scenes()

    def clip(self, token: str) -> Clip:
        """What a planner may know."""
        return self._recording.clip(token)

    def truth(self, token: str) -> Truth | None:
        """What happened around a clip."""
        return self._recording.truth(token)

    def with_map(self, truth: Truth) -> Truth:
        """The truth as it is: nothing is learned from a map."""
        return truth

    def dense(self, token: str) -> Mapping[str, DenseView]:
        """Truth per pixel by camera, where the recording has it."""
        look = getattr(self._recording, "dense", None)
        return {} if look is None else look(token)
