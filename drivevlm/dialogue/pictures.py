"""Which pictures are sent: cameras, crops and sizes are part of the prompt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from drivevlm.dialogue.blocks import Switch
from drivevlm.vlm.seam import ImagePart
from drivevlm.world.camera import Camera, CameraSequence, Frame, FrameError
from drivevlm.world.clip import Clip
from drivevlm.world.pose import Pose3

GREY = 128
WHOLE = (0.0, 0.0, 1.0, 1.0)
MIDDLE = (1 / 3, 1 / 3, 2 / 3, 2 / 3)


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """How a clip's images are sent.

    Attributes:
        width_px: Width of every picture; its height keeps the proportions.
        frames: Newest images per camera at most; 0 sends all that the clip holds.
        cameras: Cameras to send, in this order; empty sends all, front ones first where the rig is
            calibrated.
        past_cameras: Older images are sent of the first so many cameras alone; 0 sends all's.
        fovea: Cameras of which the middle ninth is sent too, at the same size.
        rays: Send the ray of every pixel, in the ego frame of decision time.
    """

    width_px: int = 448
    frames: int = 0
    cameras: tuple[str, ...] = ()
    past_cameras: int = 0
    fovea: tuple[str, ...] = ()
    rays: bool = False

    def __post_init__(self) -> None:
        if self.width_px < 16 or min(self.frames, self.past_cameras) < 0:
            raise ValueError("width_px is at least 16, frames and past_cameras not negative")


@dataclass(frozen=True, slots=True)
class Picture:
    """One view of one image: what is cut out of it, before any pixel is read.

    Attributes:
        camera: Its camera.
        frame: The image.
        crop: Left, top, right, bottom, as fractions of the image.
        ago_s: Age at decision time.
    """

    camera: Camera
    frame: Frame
    crop: tuple[float, float, float, float]
    ago_s: float

    @property
    def is_crop(self) -> bool:
        """Whether it shows a part only."""
        return self.crop != WHOLE


Label = Callable[[Picture], str]
Look = Callable[[Picture, ImageConfig, Switch, Label], ImagePart]
"""Makes a picture's part of a message."""


def pictures_of(clip: Clip, config: ImageConfig) -> list[Picture]:
    """The pictures of a clip, oldest first, and front cameras first within one time.

    Raises FrameError where the clip has none of the cameras that were asked for.

    Images taken within the same half second of history count as one time: the k-th newest of
    every camera stand together.
    """
    sequences = _chosen(clip, config)
    kept = {
        s.camera.name: s.frames[-_most_frames(place, config) :] for place, s in enumerate(sequences)
    }
    longest = max((len(frames) for frames in kept.values()), default=0)
    pictures = []
    for back in range(longest, 0, -1):
        for sequence in sequences:
            frames = kept[sequence.camera.name]
            if back > len(frames):
                continue
            frame = frames[-back]
            ago_s = (clip.t0_us - frame.stamp_us) / 1e6
            pictures.append(Picture(sequence.camera, frame, WHOLE, ago_s))
            if sequence.camera.name in config.fovea:
                pictures.append(Picture(sequence.camera, frame, MIDDLE, ago_s))
    return pictures


def _most_frames(place: int, config: ImageConfig) -> int:
    """Of the camera at a place in the order of sending; 0 for all that there are."""
    return 1 if config.past_cameras and place >= config.past_cameras else config.frames


def _chosen(clip: Clip, config: ImageConfig) -> list[CameraSequence]:
    by_name = {sequence.camera.name: sequence for sequence in clip.cameras}
    if config.cameras:
        # A camera that dropped out is not there; the prompt names those that are.
        chosen = [by_name[name] for name in config.cameras if name in by_name]
        if not chosen:
            raise FrameError(
                f"prompt.images.cameras={list(config.cameras)}: clip {clip.token} has none of "
                f"them, it has {', '.join(by_name) or 'no camera'}"
            )
        return chosen
    return sorted(clip.cameras, key=lambda sequence: _off_front_rad(sequence.camera))


def _off_front_rad(camera: Camera) -> float:
    """Angle between a camera's view and straight ahead; 0 where it is not known."""
    yaw = heading_rad(camera)
    return 0.0 if yaw is None else abs(round(yaw, 3))


def heading_rad(camera: Camera) -> float | None:
    """Direction of a camera's view in the ego frame, left positive; None where uncalibrated."""
    if camera.ego_from_camera is None:
        return None
    ahead = camera.ego_from_camera.rotation[:, 2]
    return float(np.arctan2(ahead[1], ahead[0]))


def image_part(picture: Picture, config: ImageConfig, switch: Switch, label: Label) -> ImagePart:
    """The pixels of a picture. Raises FrameError where the image is missing or broken."""
    width_px, height_px = sent_size_px(picture, config)
    if switch is Switch.BLANK:
        pixels = np.full((height_px, width_px, 3), GREY, dtype=np.uint8)
    else:
        left, top, right, bottom = _cut_px(picture)
        cut = picture.frame.decode()[top:bottom, left:right]
        resized = cv2.resize(cut, (width_px, height_px), interpolation=cv2.INTER_AREA)
        pixels = np.asarray(resized, dtype=np.uint8)
    rays = rays_of(picture, config) if config.rays else None
    return ImagePart(pixels, label(picture), picture.frame.stamp_us, rays)


def _cut_px(picture: Picture) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is shown, in pixels of the image."""
    width_px, height_px = picture.camera.size_px
    left, top, right, bottom = picture.crop
    return (
        round(left * width_px),
        round(top * height_px),
        round(right * width_px),
        round(bottom * height_px),
    )


def sent_size_px(picture: Picture, config: ImageConfig) -> tuple[int, int]:
    """Width and height of a picture as it is sent."""
    left, top, right, bottom = _cut_px(picture)
    return config.width_px, max(1, round(config.width_px * (bottom - top) / (right - left)))


def rays_of(picture: Picture, config: ImageConfig) -> NDArray[np.float32] | None:
    """(H, W, 6) unit direction and origin of each pixel centre, in the ego frame of now.

    None where the camera is not calibrated.
    """
    camera = picture.camera
    if camera.intrinsics is None or camera.ego_from_camera is None:
        return None
    left, top, right, bottom = _cut_px(picture)
    width_px, height_px = sent_size_px(picture, config)
    now_from_camera = now_from_picture(picture)
    u = left + (np.arange(width_px) + 0.5) * (right - left) / width_px - 0.5
    v = top + (np.arange(height_px) + 0.5) * (bottom - top) / height_px - 0.5
    right_way, down_way, corner = (now_from_camera.rotation @ np.linalg.inv(camera.intrinsics)).T
    ahead = (v[:, None] * down_way + corner)[:, None] + u[:, None] * right_way
    ahead /= np.sqrt(np.einsum("hwx,hwx->hw", ahead, ahead))[..., None]
    rays = np.empty((height_px, width_px, 6), dtype=np.float32)
    rays[..., :3], rays[..., 3:] = ahead, now_from_camera.translation_m
    return rays


def now_from_picture(picture: Picture) -> Pose3:
    """Where a calibrated camera was and looked when it took a picture, in the ego frame of now."""
    if picture.camera.ego_from_camera is None:
        raise ValueError(f"camera {picture.camera.name} is not calibrated")
    return (picture.frame.now_from_then or Pose3.identity()) @ picture.camera.ego_from_camera
