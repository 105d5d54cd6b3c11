import numpy as np
import pytest
from conftest import reference
from report_cases import NAMES, SIZE_PX, T0_US, camera, clip, image_of, truth

from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.report.birds_eye import birds_eye
from drivevlm.report.pictures import pictures, rig_places
from drivevlm.report.shapes import (
    MARGIN_PX,
    Ink,
    Layer,
    clip_polygon,
    clip_polyline,
    frustum,
    on_ground,
    ribbon,
)
from drivevlm.report.view import ClipView
from drivevlm.world.camera import CameraSequence, Frame
from drivevlm.world.clip import Clip
from drivevlm.world.decision import Decision
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Pose3

AHEAD = Plan(np.column_stack([np.arange(1, 7) * 5.0, np.zeros(6)]))
BACK = Plan(np.column_stack([np.arange(1, 7) * -5.0, np.zeros(6)]))


def numbers(path: str) -> np.ndarray:
    pairs = path.replace("h0", "").replace("Z", "").replace("M", " ").replace("L", " ").split()
    return np.array([[float(n) for n in pair.split(",")] for pair in pairs])


def drawn(view: ClipView, name: str, layer: Layer, ink: Ink) -> list[np.ndarray]:
    picture = next(p for p in pictures(view) if p.name == name)
    return [numbers(s.path) for s in picture.shapes if (s.layer, s.ink) == (layer, ink)]


def test_a_waypoint_lands_on_its_pixel():
    (dots,) = drawn(
        ClipView(clip(), None, {"mine": Decision(AHEAD)}), "FRONT", Layer.PLAN, Ink.DOTS
    )
    # 80 px focal length, 1.5 m above the ground: 5 m ahead is 24 px below the middle.
    np.testing.assert_allclose(dots[0], [80.0, 45.0 + 80 * 1.5 / 5], atol=0.06)
    np.testing.assert_allclose(dots[-1], [80.0, 45.0 + 80 * 1.5 / 30], atol=0.06)


def test_an_image_taken_elsewhere_is_drawn_from_where_it_was_taken():
    two_metres_back = Pose3(np.eye(3), np.array([-2.0, 0.0, 0.0]))
    late = Frame(T0_US, SIZE_PX, image_of((9, 9, 9)), now_from_then=two_metres_back)
    moved = Clip("clip-1", "s", T0_US, (CameraSequence(camera("FRONT"), (late,)),))
    (dots,) = drawn(ClipView(moved, None, {"mine": Decision(AHEAD)}), "FRONT", Layer.PLAN, Ink.DOTS)
    np.testing.assert_allclose(dots[0], [80.0, 45.0 + 80 * 1.5 / 7], atol=0.06)


@pytest.mark.parametrize("plan", [AHEAD, BACK])
@pytest.mark.parametrize("name", NAMES)
def test_no_line_shoots_across_a_picture(plan, name):
    view = ClipView(clip(), truth(), {"mine": Decision(plan)})
    picture = next(p for p in pictures(view) if p.name == name)
    for shape in picture.shapes:
        points = numbers(shape.path)
        assert (points >= -MARGIN_PX - 0.1).all()
        assert (points <= np.array(SIZE_PX) + MARGIN_PX + 0.1).all()


def test_what_lies_behind_is_drawn_in_the_back_camera_only():
    view = ClipView(clip(), None, {"mine": Decision(BACK)})
    assert drawn(view, "FRONT", Layer.PLAN, Ink.DOTS) == []
    assert len(drawn(view, "BACK", Layer.PLAN, Ink.DOTS)[0]) == 6


def test_clipping_keeps_the_inside_and_cuts_on_the_border():
    planes = frustum(camera("FRONT"))
    through = np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 4.0]])
    (run,) = clip_polyline(through, planes)
    np.testing.assert_allclose(run[:, 2], [0.3, 1.0, 4.0])
    out_and_in = np.array([[0.0, 0.0, 5.0], [99.0, 0.0, 5.0], [0.0, 0.0, 6.0]])
    assert len(clip_polyline(out_and_in, planes)) == 2
    square = np.array([[-1.0, 1.0, -2.0], [1.0, 1.0, -2.0], [1.0, 1.0, 2.0], [-1.0, 1.0, 2.0]])
    assert clip_polygon(square, planes)[:, 2].min() == pytest.approx(80 / (130 - 45))
    assert clip_polygon(square, planes)[:, 2].max() == pytest.approx(2.0)
    assert clip_polygon(square - [0, 0, 9], planes).shape == (0, 3)


def test_the_ribbon_is_as_wide_as_the_car_and_a_standing_car_has_none():
    quads = ribbon(AHEAD)
    assert len(quads) == 6
    np.testing.assert_allclose(quads[0][[0, 3], 1], [0.925, -0.925])
    assert ribbon(Plan(np.zeros((6, 2)))) == []
    assert on_ground(quads[0]).shape == (4, 3)


def test_cameras_stand_around_the_car_where_their_names_say_so():
    places = {"CAM_FRONT_LEFT": (0, 0), "CAM_FRONT": (0, 1), "CAM_FRONT_RIGHT": (0, 2)}
    places |= {"CAM_BACK_LEFT": (1, 0), "CAM_BACK": (1, 1), "CAM_BACK_RIGHT": (1, 2)}
    assert rig_places(list(places)) == list(places.values())
    assert rig_places(["rear", "front"]) == [(1, 0), (0, 0)]
    assert rig_places(["front_wide", "front_tele", "left", "x"]) == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert rig_places([]) == []


def test_from_above_ahead_is_up_and_left_is_left():
    eye = birds_eye(ClipView(clip(), truth(), {"mine": Decision(AHEAD)}))
    (label,) = [numbers(s.path) for s in eye.shapes if s.layer is Layer.LABELS]
    np.testing.assert_allclose(label[:4].mean(axis=0), [-5.0, -20.0])
    (plan,) = [s for s in eye.shapes if (s.layer, s.ink) == (Layer.PLAN, Ink.LINE)]
    np.testing.assert_allclose(numbers(plan.path)[-1], [0.0, -30.0])
    assert eye.top <= -30.0
    assert eye.left == -eye.width / 2


def test_a_real_keyframe_has_its_path_on_the_road_and_boxes_on_objects(tmp_path):
    root = str(reference("nuscenes_mini_real"))
    config = NuScenesConfig(root=root, scenes=("scene-0061",), cache=str(tmp_path))
    recording = NuScenesRecording(config)
    token = recording.scenes()[0].tokens[0]
    view = ClipView(recording.clip(token), recording.truth(token), {})
    (dots,) = drawn(view, "CAM_FRONT", Layer.TRUTH, Ink.DOTS)
    assert len(dots) >= 5
    # Looked at once: the lane ahead lies between these columns, below the horizon.
    assert (abs(dots[:, 0] - 815) < 40).all()
    assert (dots[:, 1] > 540).all()
    # The truck on the left, its whole box in the picture.
    boxes = drawn(view, "CAM_FRONT", Layer.LABELS, Ink.LINE)
    assert any(abs(box.min(axis=0) - [67, 202]).max() < 25 for box in boxes)
