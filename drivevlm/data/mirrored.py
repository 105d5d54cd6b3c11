"""A recording seen in a mirror: as many clips again, of roads where all drive on the other side."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from drivevlm.data.dense import DenseView, Pixels, SignalHead
from drivevlm.data.recording import DataError, Recording, SceneClips, twins_of
from drivevlm.world.camera import CameraSequence, Frame, Stored
from drivevlm.world.clip import Clip
from drivevlm.world.mirror import (
    mirrored_camera,
    mirrored_command,
    mirrored_history,
    mirrored_labels,
    mirrored_plan,
    mirrored_pose,
    mirrored_proposals,
    mirrored_status,
    mirrored_step,
    mirrored_summary,
    mirrored_words,
)
from drivevlm.world.truth import Truth
from drivevlm.world.twins import TwinPair


@dataclass(frozen=True, slots=True)
class MirroredImage:
    """A stored image, turned about its vertical axis; no pixel's value changes."""

    source: Path | Stored | bytes

    def read_bytes(self) -> bytes:
        """As PNG; of what is no image the original bytes, for their reader to refuse.

        Raises OSError where the original cannot be read.
        """
        whole = self.source if isinstance(self.source, bytes) else self.source.read_bytes()
        turned = io.BytesIO()
        try:
            with Image.open(io.BytesIO(whole)) as image:
                ImageOps.mirror(image.convert("RGB")).save(turned, "png", compress_level=1)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            return whole
        return turned.getvalue()

    def __str__(self) -> str:
        told = "bytes" if isinstance(self.source, bytes) else self.source
        return f"{told} mirrored"


class Mirrored:
    """Another recording's clips and truths, with its tokens. It has no map.

    Args:
        recording: Of cameras whose names say ``left`` and ``right`` where they are paired.
    """

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self.synthetic = recording.synthetic
        self.provenance = recording.provenance
        self.cameras = recording.cameras
        self.most_proposals = recording.most_proposals

    @property
    def name(self) -> str:
        """The recording's, and that it is mirrored."""
        return f"{self._recording.name} mirrored"

    @cached_property
    def digest(self) -> str:
        """Another one than the recording's."""
        return hashlib.sha256(f"mirrored {self._recording.digest}".encode()).hexdigest()

    @property
    def twins(self) -> tuple[TwinPair, ...]:
        """The pairs, where the clips are twins."""
        return tuple(
            replace(pair, cause=replace(pair.cause, camera=mirrored_words(pair.cause.camera)))
            for pair in twins_of(self._recording)
        )

    def scenes(self) -> tuple[SceneClips, ...]:
        """The recording's."""
        return self._recording.scenes()

    def clip(self, token: str) -> Clip:
        """What a planner may know; cameras in the order in which the recording names them."""
        clip = self._recording.clip(token)
        place = {sequence.camera.name: k for k, sequence in enumerate(clip.cameras)}
        cameras = [_sequence(sequence) for sequence in clip.cameras]
        cameras.sort(key=lambda sequence: place.get(sequence.camera.name, len(place)))
        prior = clip.prior
        return replace(
            clip,
            cameras=tuple(cameras),
            status=clip.status and mirrored_status(clip.status),
            history=clip.history and mirrored_history(clip.history),
            summary=clip.summary and mirrored_summary(clip.summary),
            proposals=clip.proposals and mirrored_proposals(clip.proposals),
            prior=prior and replace(prior, plan=mirrored_plan(prior.plan)),
            command=clip.command and mirrored_command(clip.command),
        )

    def truth(self, token: str) -> Truth | None:
        """What happened around a clip."""
        truth = self._recording.truth(token)
        if truth is None:
            return None
        return Truth(
            token=truth.token,
            scene=truth.scene,
            steps={offset: mirrored_step(step) for offset, step in truth.steps.items()},
            description=mirrored_words(truth.description),
            labels=truth.labels and mirrored_labels(truth.labels),
        )

    def with_map(self, truth: Truth) -> Truth:
        """The truth as it is: nothing is learned from a map."""
        return truth

    def dense(self, token: str) -> Mapping[str, DenseView]:
        """Truth per pixel by camera, where the recording has it."""
        look = getattr(self._recording, "dense", None)
        if look is None:
            return {}
        widths = {s.camera.name: s.camera.size_px[0] for s in self._recording.clip(token).cameras}
        try:
            return {
                mirrored_words(name): _view(view, widths[name])
                for name, view in look(token).items()
            }
        except KeyError as error:
            raise DataError(f"clip {token} has truth of {error}, a camera it lacks") from None


def _sequence(sequence: CameraSequence) -> CameraSequence:
    frames = tuple(
        Frame(
            frame.stamp_us,
            frame.size_px,
            MirroredImage(frame.source),
            frame.now_from_then and mirrored_pose(frame.now_from_then),
        )
        for frame in sequence.frames
    )
    return CameraSequence(mirrored_camera(sequence.camera), frames)


def _view(view: DenseView, width_px: int) -> DenseView:
    heads = tuple(_head(head, width_px) for head in view.heads)
    return DenseView(_turned(view.mask), view.instances, _turned(view.depth_cm), heads)


def _turned(pixels: Pixels | None) -> Pixels | None:
    return None if pixels is None else np.ascontiguousarray(pixels[:, ::-1])


def _head(head: SignalHead, width_px: int) -> SignalHead:
    left, top, right, bottom = head.box_px
    return replace(head, box_px=(width_px - right, top, width_px - left, bottom))
