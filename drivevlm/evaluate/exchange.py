"""Does the planner use its inputs? Blocks filled with the mean, or with another clip's content."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np
from PIL import Image

from drivevlm.data.recording import DataError, Recording
from drivevlm.dialogue.blocks import Block
from drivevlm.evaluate.plan_run import Exchange
from drivevlm.world.camera import CameraSequence, Frame, FrameError
from drivevlm.world.clip import Clip
from drivevlm.world.ego import EgoHistory, EgoStatus

MEAN_OVER = 32
"""A mean is taken over this many clips, evenly spaced over the recording."""


class Swap(str, Enum):
    """Whose content a block gets."""

    MEAN = "mean"  # the mean over the recording
    SHUFFLE = "shuffle"  # any other clip's of the recording
    SWAP = "swap"  # a clip's of another scene; for the command, one that was commanded otherwise


def exchange_for(
    recording: Recording, swaps: Mapping[Block, Swap], *, seed: int
) -> Exchange | None:
    """The exchange that some switches ask for; None where they ask for nothing.

    Raises DataError where it cannot be done: a prior plan is the planner's own memory, only
    cameras and ego status have a mean, and a swap needs a second scene.
    """
    if not swaps:
        return None
    for block, swap in swaps.items():
        if block is Block.PRIOR:
            raise DataError(
                "block.prior: a prior plan is the planner's memory, use on, off or blank"
            )
        if swap is Swap.MEAN and block not in (Block.CAMERAS, Block.EGO_STATUS):
            raise DataError(f"block.{block.value}=mean: only cameras and ego_status have a mean")
    return _Exchange(recording, dict(swaps), seed)


@dataclass
class _Exchange:
    recording: Recording
    swaps: dict[Block, Swap]
    seed: int
    _means: dict[Block, Clip] = field(default_factory=dict)

    def __post_init__(self) -> None:
        scenes = self.recording.scenes()
        self._clips = [(scene.name, token) for scene in scenes for token in scene.tokens]
        if len(scenes) < 2 and Swap.SWAP in self.swaps.values():
            raise DataError("a swap takes another scene's content: choose more than one scene")
        for block, swap in self.swaps.items():
            if swap is Swap.MEAN:
                self._means[block] = _MEANS[block](self._sampled())

    def __call__(self, clip: Clip) -> Clip:
        for block, swap in self.swaps.items():
            if swap is not Swap.MEAN:
                clip = _GIVE[block](clip, self._giver(clip, block, swap))
            elif block is Block.CAMERAS:
                clip = _give_mean_cameras(clip, self._means[block])
            else:
                clip = _GIVE[block](clip, self._means[block])
        return clip

    def _sampled(self) -> list[Clip]:
        picks = np.unique(np.linspace(0, len(self._clips) - 1, MEAN_OVER).astype(int))
        return [self.recording.clip(self._clips[k][1]) for k in picks]

    def _giver(self, clip: Clip, block: Block, swap: Swap) -> Clip:
        rng = np.random.default_rng([self.seed, *block.value.encode(), *clip.token.encode()])
        for k in rng.permutation(len(self._clips)):
            scene, token = self._clips[k]
            if token == clip.token or (swap is Swap.SWAP and scene == clip.scene):
                continue
            giver = self.recording.clip(token)
            if swap is Swap.SWAP and block is Block.COMMAND and _same_command(giver, clip):
                continue
            if _HELD[block](giver) is not None:
                return giver
        raise DataError(
            f"block.{block.value}={swap.value}: no other clip of the recording has anything to "
            f"give to {clip.token}"
        )


def _same_command(a: Clip, b: Clip) -> bool:
    return (a.command and a.command.command) == (b.command and b.command.command)


def _give_cameras(clip: Clip, giver: Clip) -> Clip:
    """The giver's pictures under this clip's cameras, stamps relative to decision time."""
    theirs = {sequence.camera.name: sequence for sequence in giver.cameras}
    shift_us = clip.t0_us - giver.t0_us
    cameras = []
    for sequence in clip.cameras:
        other = theirs.get(sequence.camera.name)
        if other is None:
            raise DataError(f"clip {giver.token} lacks camera {sequence.camera.name} to exchange")
        frames = tuple(
            Frame(f.stamp_us + shift_us, f.size_px, f.source, f.now_from_then) for f in other.frames
        )
        cameras.append(CameraSequence(replace(sequence.camera, size_px=frames[0].size_px), frames))
    return replace(clip, cameras=tuple(cameras))


def _give_mean_cameras(clip: Clip, mean: Clip) -> Clip:
    """Every picture of a camera replaced by that camera's mean picture."""
    pictures = {sequence.camera.name: sequence.frames[0].source for sequence in mean.cameras}
    cameras = []
    for sequence in clip.cameras:
        picture = pictures.get(sequence.camera.name)
        if picture is None:
            raise DataError(
                f"block.cameras=mean: {sequence.camera.name} of clip {clip.token} is in none of "
                f"the {MEAN_OVER} clips that the mean is taken over"
            )
        frames = tuple(replace(frame, source=picture) for frame in sequence.frames)
        cameras.append(CameraSequence(sequence.camera, frames))
    return replace(clip, cameras=tuple(cameras))


def _give_ego(clip: Clip, giver: Clip) -> Clip:
    history = giver.history
    if history is not None:
        shift_us = clip.t0_us - giver.t0_us
        history = replace(history, stamp_us=history.stamp_us + shift_us)
    return replace(clip, status=giver.status, history=history)


_GIVE: dict[Block, Callable[[Clip, Clip], Clip]] = {
    Block.CAMERAS: _give_cameras,
    Block.EGO_STATUS: _give_ego,
    Block.SCENE_SUMMARY: lambda clip, giver: replace(clip, summary=giver.summary),
    Block.PROPOSALS: lambda clip, giver: replace(clip, proposals=giver.proposals),
    Block.COMMAND: lambda clip, giver: replace(clip, command=giver.command),
}


_HELD: dict[Block, Callable[[Clip], object]] = {
    Block.CAMERAS: lambda clip: clip.cameras,
    Block.EGO_STATUS: lambda clip: clip.status,
    Block.SCENE_SUMMARY: lambda clip: clip.summary,
    Block.PROPOSALS: lambda clip: clip.proposals,
    Block.COMMAND: lambda clip: clip.command,
}
"""What a giver has of a block in the recording: None exchanges nothing and is no exchange."""


def _mean_cameras(clips: list[Clip]) -> Clip:
    """A clip whose every camera shows the mean of its newest pictures, once.

    Missing and broken pictures are left out of the mean.
    """
    newest: dict[str, list[CameraSequence]] = {}
    for clip in clips:
        for sequence in clip.cameras:
            newest.setdefault(sequence.camera.name, []).append(sequence)
    cameras = tuple(_mean_picture(sequences) for sequences in newest.values())
    return replace(clips[0], cameras=cameras, t0_us=max(clip.t0_us for clip in clips))


def _mean_picture(sequences: list[CameraSequence]) -> CameraSequence:
    first = sequences[0]
    total, seen = np.zeros((*first.camera.size_px[::-1], 3)), 0
    for sequence in sequences:
        try:
            if sequence.camera.size_px == first.camera.size_px:
                total += sequence.frames[-1].decode()
                seen += 1
        except FrameError:
            continue
    if not seen:
        raise DataError(f"block.cameras=mean: no picture of {first.camera.name} can be read")
    buffer = io.BytesIO()
    Image.fromarray(np.round(total / seen).astype(np.uint8)).save(buffer, format="PNG")
    frame = replace(first.frames[-1], source=buffer.getvalue())
    return CameraSequence(first.camera, (frame,))


def _mean_ego(clips: list[Clip]) -> Clip:
    """A clip with the mean status and the mean of the longest histories."""
    statuses = [clip.status for clip in clips if clip.status is not None]
    whole = [
        s for s in statuses if s.acceleration_mps2 is not None and s.yaw_rate_radps is not None
    ]
    histories = [clip.history for clip in clips if clip.history is not None]
    if not whole or not histories:
        raise DataError("block.ego_status=mean: no clip at hand has a whole ego status")
    status = EgoStatus(
        float(np.mean([s.speed_mps for s in whole])),
        float(np.mean([s.acceleration_mps2 or 0.0 for s in whole])),
        float(np.mean([s.yaw_rate_radps or 0.0 for s in whole])),
        whole[0].provenance,
    )
    poses = max(len(h.stamp_us) for h in histories)
    longest = [h for h in histories if len(h.stamp_us) == poses]
    giver = next(c for c in clips if c.history is not None and len(c.history.stamp_us) == poses)
    history = EgoHistory(
        longest[0].stamp_us if giver.history is None else giver.history.stamp_us,
        np.mean([h.xy_ego_m for h in longest], axis=0),
        np.mean([h.yaw_ego_rad for h in longest], axis=0),
    )
    return replace(giver, status=status, history=history)


_MEANS: dict[Block, Callable[[list[Clip]], Clip]] = {
    Block.CAMERAS: _mean_cameras,
    Block.EGO_STATUS: _mean_ego,
}
