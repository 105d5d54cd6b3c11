"""Rectangles of labelled objects in images, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from small_world import LIDAR, no_boxes

from drivevlm.world.camera import Camera, CameraSequence, Frame
from drivevlm.world.clip import Clip
from drivevlm.world.image_boxes import ImageBox, image_boxes
from drivevlm.world.pose import Pose2, Pose3
from drivevlm.world.truth import LabelledBoxes, Truth, TruthStep

AHEAD = Pose3(np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]), np.array([0.0, 0.0, 1.0]))
"""A camera 1 m above the rear axle that looks ahead."""
LENS = np.array([[100.0, 0, 80], [0, 100, 45], [0, 0, 1]])
STREET = Pose2(100.0, 50.0, np.pi / 2)
"""The ego looks north."""


def boxes_of(center_ego_m: list[float], size_lwh_m: list[float]) -> LabelledBoxes:
    """One box that heads like the ego."""
    one = np.ones(1, dtype=np.int64)
    return LabelledBoxes(
        Pose3.from_pose2(STREET).apply(np.array([center_ego_m])),
        np.array([size_lwh_m]),
        np.array([[np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)]]),
        ("vehicle.car",),
        ("car-1",),
        ("a",),
        ("",),
        one,
        one,
        one * 3,
    )


def seen(boxes: LabelledBoxes, now_from_then: Pose3 | None = None) -> tuple[ImageBox, ...]:
    camera = Camera("front", (160, 90), LENS, AHEAD)
    blind = Camera("blind", (160, 90))
    frames = (Frame(0, (160, 90), b"", now_from_then),)
    clip = Clip("t", "s", 0, (CameraSequence(camera, frames), CameraSequence(blind, frames)))
    step = TruthStep(0, Pose3.from_pose2(STREET), LIDAR, boxes)
    return image_boxes(clip, Truth("t", "s", {0: step}))


def test_a_car_ahead_is_where_its_near_face_is() -> None:
    # Its near face is 10 m ahead, 2 m wide and from the ground to 2 m: 10 px a metre.
    (box,) = seen(boxes_of([12.0, 0.0, 1.0], [4.0, 2.0, 2.0]))
    assert box.box_px == pytest.approx((70.0, 35.0, 90.0, 55.0))
    assert (box.camera, box.instance, box.category, box.visibility) == (
        "front",
        "car-1",
        "vehicle.car",
        3,
    )
    assert (box.inside, box.depth_m) == (pytest.approx(1.0), pytest.approx(12.0))


def test_what_lies_beyond_the_border_is_cut_and_counted() -> None:
    # Its near face, 10 m ahead, spans 8 m to 10 m to the left: from -20 px on. Its far face,
    # 20 m ahead, ends at 8 m left: 40 px.
    (box,) = seen(boxes_of([15.0, 9.0, 1.0], [10.0, 2.0, 2.0]))
    assert box.box_px == pytest.approx((0.0, 35.0, 40.0, 55.0))
    assert box.inside == pytest.approx(40 / 60)


def test_what_lies_behind_or_beside_is_not_there() -> None:
    assert seen(boxes_of([-12.0, 0.0, 1.0], [4.0, 2.0, 2.0])) == ()
    assert seen(boxes_of([12.0, 40.0, 1.0], [4.0, 2.0, 2.0])) == ()
    assert seen(no_boxes()) == ()


def test_what_reaches_behind_the_lens_fills_its_side_of_the_image() -> None:
    # From 2 m behind to 10 m ahead, 2 m to 4 m left: it runs out of the image on the left.
    (box,) = seen(boxes_of([4.0, 3.0, 1.0], [12.0, 2.0, 2.0]))
    left, top, right, bottom = box.box_px
    assert (left, top, bottom) == (0.0, 0.0, 90.0)
    assert right == pytest.approx(60.0)  # 2 m left at 10 m


def test_the_camera_is_where_it_was_when_it_looked() -> None:
    # The image was taken 2 m further back: the near face is 12 m from there.
    then = Pose3.from_pose2(Pose2(-2.0, 0.0, 0.0))
    (box,) = seen(boxes_of([12.0, 0.0, 1.0], [4.0, 2.0, 2.0]), then)
    assert box.box_px == pytest.approx((80 - 100 / 12, 45 - 100 / 12, 80 + 100 / 12, 45 + 100 / 12))
    assert box.depth_m == pytest.approx(14.0)
