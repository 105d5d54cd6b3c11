"""Pictures: which are sent, at which size, with which rays."""

from __future__ import annotations

import numpy as np
import pytest
from dialogue_cases import T0_US, dialogue, full_clip, sequence

from drivevlm.dialogue.blocks import BlockConfig, Switch
from drivevlm.dialogue.config import PromptConfig
from drivevlm.dialogue.pictures import ImageConfig
from drivevlm.vlm.seam import ImagePart
from drivevlm.world.camera import CameraSequence, Frame, FrameError
from drivevlm.world.clip import Clip
from drivevlm.world.pose import Pose3


def pictures(clip: Clip, *, switch: Switch = Switch.ON, **options) -> tuple[ImagePart, ...]:
    config = PromptConfig(images=ImageConfig(**{"width_px": 32, **options}))
    return dialogue(config, BlockConfig(cameras=switch)).ask(clip).images


def test_pictures_go_from_oldest_to_newest_and_the_front_comes_first():
    labels = [part.label for part in pictures(full_clip())]
    assert labels == ["CAM_FRONT, 0.5 s ago:", "CAM_FRONT, now:", "CAM_BACK, now:"]
    assert [part.image_rgb.shape for part in pictures(full_clip())] == [(18, 32, 3)] * 3


def test_cameras_frames_and_a_fovea_are_chosen_by_config():
    clip = full_clip()
    assert [p.label for p in pictures(clip, frames=1)] == ["CAM_FRONT, now:", "CAM_BACK, now:"]
    assert [p.label for p in pictures(clip, cameras=("CAM_BACK", "CAM_GONE"))] == ["CAM_BACK, now:"]
    labels = [p.label for p in pictures(clip, frames=1, fovea=("CAM_FRONT",))]
    assert labels[:2] == ["CAM_FRONT, now:", "CAM_FRONT, middle enlarged, now:"]


def test_older_images_come_of_the_first_cameras_alone():
    pair = tuple(sequence(name, 0, frames=2) for name in ("CAM_BACK", "CAM_FRONT"))
    clip = Clip("t", "s", T0_US, pair)
    asked = {"cameras": ("CAM_FRONT", "CAM_BACK")}
    labels = [p.label for p in pictures(clip, **asked, past_cameras=1)]
    assert labels == ["CAM_FRONT, 0.5 s ago:", "CAM_FRONT, now:", "CAM_BACK, now:"]
    assert len(pictures(clip, **asked, past_cameras=0)) == 4


def test_cameras_that_are_not_there_are_a_missing_image_and_not_a_blind_prompt():
    with pytest.raises(FrameError, match=r"'CAM_FRNT'.* none of them, it has CAM_BACK, CAM_FRONT"):
        pictures(full_clip(), cameras=("CAM_FRNT",))
    assert pictures(full_clip(), switch=Switch.OFF, cameras=("CAM_FRNT",)) == ()


def test_blank_cameras_are_grey_and_read_no_file(tmp_path):
    broken = CameraSequence(
        full_clip().cameras[0].camera, (Frame(T0_US, (64, 36), tmp_path / "gone.jpg"),)
    )
    clip = Clip("t", "s", T0_US, (broken,))
    (part,) = pictures(clip, switch=Switch.BLANK)
    assert part.label == "CAM_BACK, now:"
    assert (part.image_rgb == 128).all()
    assert pictures(clip, switch=Switch.OFF) == ()
    with pytest.raises(FrameError, match=r"gone\.jpg"):
        pictures(clip)


def test_an_average_of_all_covered_pixels_makes_a_smaller_one():
    clip = Clip("t", "s", T0_US, (sequence("CAM_FRONT", 0, frames=1),))
    (part,) = pictures(clip, width_px=16)  # 4 x 4 pixels each: the left half of channel 0 is 255
    assert part.image_rgb.shape == (9, 16, 3)
    assert (part.image_rgb[:, :8, 0] == 255).all()
    assert (part.image_rgb[:, 8:] == 0).all()


def test_rays_leave_the_camera_through_the_scene_points_that_the_pixels_show():
    clip = full_clip()
    for fovea in ((), ("CAM_FRONT", "CAM_BACK")):
        parts = pictures(clip, rays=True, frames=1, fovea=fovea, width_px=64)
        for part in parts:
            camera = next(c.camera for c in clip.cameras if part.label.startswith(c.camera.name))
            rays = part.rays
            assert rays.dtype == np.float32
            height = len(part.image_rgb)
            assert rays.shape == (height, 64, 6)
            np.testing.assert_allclose(np.linalg.norm(rays[..., :3], axis=-1), 1, atol=1e-6)
            points = rays[..., 3:] + 7.0 * rays[..., :3]
            pixels, _ = camera.project(
                camera.ego_from_camera.inverse().apply(points.reshape(-1, 3).astype(np.float64))
            )
            # The centre of picture pixel (u, v) in the image that was cut and resized.
            left, top, right, bottom = (
                (21, 12, 43, 24) if "middle" in part.label else (0, 0, 64, 36)
            )
            u = left + (np.arange(64) + 0.5) * (right - left) / 64 - 0.5
            v = top + (np.arange(height) + 0.5) * (bottom - top) / height - 0.5
            grid = pixels.reshape(height, 64, 2)
            np.testing.assert_allclose(grid[..., 0], np.broadcast_to(u, (height, 64)), atol=1e-3)
            np.testing.assert_allclose(grid[..., 1].T, np.broadcast_to(v, (64, height)), atol=1e-3)


def test_rays_of_an_earlier_image_start_where_the_camera_was_then():
    now_from_then = Pose3(np.eye(3), np.array([-4.0, 0.0, 0.0]))
    front = sequence("CAM_FRONT", 0, frames=1)
    frame = front.frames[0]
    moved = Frame(frame.stamp_us, frame.size_px, frame.source, now_from_then)
    clip = Clip("t", "s", T0_US, (CameraSequence(front.camera, (moved,)),))
    (part,) = pictures(clip, rays=True)
    np.testing.assert_allclose(part.rays[0, 0, 3:], [-3.0, 0.0, 1.5], atol=1e-6)
    assert pictures(clip)[0].rays is None
