"""A recording seen in a mirror: as many clips again, of roads where all drive on the other side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from drivevlm.data.dense import DenseView, Pixels, SignalHead
from drivevlm.data.derived import ChangedImage, Derived, Rgb
from drivevlm.data.recording import Recording
from drivevlm.world.camera import CameraSequence, Frame
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


class MirroredImage(ChangedImage):
    """A stored image, turned about its vertical axis; no pixel's value changes."""

    def changed(self, rgb: Rgb) -> Rgb:
        """Its last column first."""
        return np.ascontiguousarray(rgb[:, ::-1])


class Mirrored(Derived):
    """Another recording in a mirror.

    Args:
        recording: Of cameras whose names say ``left`` and ``right`` where they are paired.
    """

    def __init__(self, recording: Recording) -> None:
        super().__init__(recording, "mirrored")

    @property
    def twins(self) -> tuple[TwinPair, ...]:
        """The pairs, where the clips are twins."""
        return tuple(
            replace(pair, cause=replace(pair.cause, camera=mirrored_words(pair.cause.camera)))
            for pair in super().twins
        )

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

    def dense(self, token: str) -> Mapping[str, DenseView]:
        """Truth per pixel by camera, where the recording has it."""
        widths = {s.camera.name: s.camera.size_px[0] for s in self._recording.clip(token).cameras}
        return {
            mirrored_words(name): _view(view, widths[name])
            for name, view in super().dense(token).items()
            if name in widths  # not of a camera that dropped out
        }


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
