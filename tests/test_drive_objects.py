"""Laws of objects and routes: what a detector and a router tell, in the ego frame."""

import numpy as np
import pytest
from drive_bus import LocalBus, bad
from drive_cases import START_US, sample

from drivevlm.drive.config import OdometryConfig
from drivevlm.drive.frames import FrameTree, StaticTransform
from drivevlm.drive.messages.objects import detections, predicted_objects
from drivevlm.drive.messages.route import Goal, goal_of, route_command
from drivevlm.drive.node_config import RouteConfig
from drivevlm.drive.placing import Placer
from drivevlm.drive.routing import Router
from drivevlm.world.clip import RouteCommand
from drivevlm.world.pose import Pose2, Pose3
from drivevlm.world.sets import Command, Provenance

BUS = LocalBus()
QUARTER = np.pi / 2


def placer(*samples) -> Placer:
    found = Placer(OdometryConfig(), FrameTree(), base_frame="base_link")
    for one in samples:
        assert found.moved(one) is None
    return found


def test_a_predicted_object_is_a_box_with_its_velocity_in_the_ego_frame():
    """The ego looks along the map's y axis; a car 10 m ahead of it drives along x."""
    car = BUS.predicted(BUS.pose((3.0, 14.0, 1.0)), velocity_mps=(6.0, 0.0, 0.0), existence=0.25)
    told = predicted_objects(BUS.predicted_objects(START_US, "map", car))
    ego = sample(START_US, 3.0, 4.0, QUARTER, frame_id="map")
    (box,) = placer(ego).placed(told).proposals
    np.testing.assert_allclose(box.center_ego_m, [10.0, 0.0, 0.7], atol=1e-12)
    np.testing.assert_allclose(box.velocity_ego_mps, [0.0, -6.0], atol=1e-12)
    np.testing.assert_allclose(box.size_lwh_m, [4.0, 2.0, 1.5])
    assert box.yaw_ego_rad == pytest.approx(-QUARTER)
    assert (box.category, box.score) == ("car", 0.25)


def test_what_belongs_to_no_class_is_an_obstacle_and_no_proposal():
    car, thing = (
        BUS.predicted(BUS.pose((x, 0, 1)), labels=[(k, 1.0)]) for x, k in ((9, 1), (5, 0))
    )
    told = predicted_objects(BUS.predicted_objects(START_US, "base_link", car, thing))
    found = placer().placed(told)
    assert [box.category for box in found.proposals] == ["car"]
    assert [box.center_ego_m[0] for box in found.obstacles] == [9.0, 5.0]


def test_objects_in_the_ego_frame_or_of_a_sensor_need_no_odometry():
    car = BUS.predicted(BUS.pose((3.0, 4.0, 1.0)))
    tree = FrameTree()
    tree.add(StaticTransform("base_link", "lidar", Pose3.from_pose2(Pose2(1.0, 0.0, QUARTER), 2.0)))
    place = Placer(OdometryConfig(), tree, base_frame="base_link")
    for frame_id, expected in (("base_link", [3.0, 4.0, 1.0]), ("lidar", [-3.0, 3.0, 3.0])):
        found = place.placed(predicted_objects(BUS.predicted_objects(START_US, frame_id, car)))
        np.testing.assert_allclose(found.proposals[0].center_ego_m, expected, atol=1e-12)


def test_objects_wait_for_the_odometry_of_their_moment():
    car = BUS.predicted(BUS.pose((20.0, 0.0, 1.0)))
    place = placer(sample(START_US, 0.0, frame_id="map"))
    told = predicted_objects(BUS.predicted_objects(START_US + 50_000, "map", car))
    assert place.placed(told) is None
    found = place.moved(sample(START_US + 100_000, 0.8, frame_id="map"))
    assert found is not None
    assert found.stamp_us == START_US + 50_000
    np.testing.assert_allclose(found.proposals[0].center_ego_m[0], 20.0 - 0.4)


def test_objects_that_can_never_be_placed_are_refused():
    car = BUS.predicted(BUS.pose((20.0, 0.0, 1.0)))
    place = placer(sample(START_US, 0.0, frame_id="odom"))
    with bad("expected 'base_link', the odometry's 'odom' .* got 'map'"):
        place.placed(predicted_objects(BUS.predicted_objects(START_US, "map", car)))
    with bad("0.500 s before the newest odometry"):
        place.placed(predicted_objects(BUS.predicted_objects(START_US - 500_000, "odom", car)))


@pytest.mark.parametrize(
    ("labels", "categories"),
    [
        (((1, 0.2), (7, 0.7)), ["pedestrian"]),
        (((3, 1.0),), ["bus"]),
        (((6, 1.0),), ["bicycle"]),
        (((8, 1.0),), ["pedestrian"]),  # an animal
        ((), [None]),
        (((0, 1.0),), [None]),  # unknown
        (((9, 1.0),), [None]),  # a hazard
        (((10, 1.0),), []),
        (((11, 1.0),), []),
    ],
)
def test_what_is_in_the_way_has_a_class_or_none_and_what_one_drives_over_is_no_object(
    labels, categories
):
    told = BUS.predicted(BUS.pose((9.0, 0.0, 0.5)), labels=labels)
    found = predicted_objects(BUS.predicted_objects(START_US, "map", told))
    assert [box.category for box in found.boxes] == categories
    assert found.complaints == ()


def test_a_polygon_is_the_rectangle_around_it():
    corners = [(-1.0, 0.0), (3.0, 0.0), (3.0, 2.0)]
    told = BUS.predicted(BUS.pose((10.0, 0.0, 1.0), QUARTER), footprint=corners)
    (box,) = predicted_objects(BUS.predicted_objects(START_US, "base_link", told)).boxes
    np.testing.assert_allclose(box.size_lwh_m, [4.0, 2.0, 1.5])
    np.testing.assert_allclose(box.frame_from_box.translation_m, [9.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({"size_lwh_m": (4.0, 0.0, 1.0)}, "shape.dimensions: expected a positive size"),
        ({"footprint": [(0.0, 0.0)]}, "3 points or more, got 1"),
    ],
)
def test_a_broken_object_is_told_and_takes_no_other_with_it(broken, why):
    good, bent = BUS.predicted(BUS.pose((9, 0, 1))), BUS.predicted(BUS.pose((5, 0, 1)), **broken)
    found = predicted_objects(BUS.predicted_objects(START_US, "map", bent, good))
    assert len(found.boxes) == 1
    (complaint,) = found.complaints
    assert complaint.startswith("object 0 of 2 is left out")
    assert why in complaint


@pytest.mark.parametrize(("x", "complaints"), [(float("nan"), 0), (float("inf"), 1)])
def test_a_velocity_that_is_not_known_does_not_take_the_obstacle_away(x, complaints):
    odd = BUS.predicted(BUS.pose((9.0, 0.0, 1.0)), velocity_mps=(x, x, x))
    found = predicted_objects(BUS.predicted_objects(START_US, "map", odd))
    assert [box.velocity_box_mps for box in found.boxes] == [None]
    assert len(found.complaints) == complaints


def test_a_class_or_score_without_sense_is_told_and_the_object_stays_an_obstacle():
    odd = BUS.predicted(BUS.pose((9.0, 0.0, 1.0)), labels=[(77, 1.0)], existence=50.0)
    found = predicted_objects(BUS.predicted_objects(START_US, "map", odd))
    assert [(box.category, box.score) for box in found.boxes] == [(None, None)]
    assert len(found.complaints) == 2


def test_detections_bear_the_names_that_detectors_give():
    names = ("car", "Traffic-Cone", "person", "vehicle.bus.rigid", "17", "gnome", "Unknown")
    message = BUS.detections(START_US, "base_link", *((name, 0.5) for name in names))
    found = detections(message, {"17": "truck"})
    assert [box.category for box in found.boxes] == [
        "car",
        "traffic_cone",
        "pedestrian",
        "bus",
        "truck",
        None,
        None,
    ]
    (complaint,) = found.complaints
    assert "'gnome' is no class known here" in complaint
    assert {box.velocity_box_mps for box in found.boxes} == {None}
    np.testing.assert_allclose(found.boxes[1].frame_from_box.translation_m, [20.0, 0.0, 0.8])


def test_a_detection_in_a_frame_of_its_own_is_left_out():
    message = BUS.detections(START_US, "base_link", ("car", 0.5), ("bus", 0.5))
    message.detections[0].header = BUS.header(START_US, "lidar")
    message.detections[1].header = BUS.header(START_US, "base_link")
    found = detections(message, {})
    assert [box.category for box in found.boxes] == ["bus"]
    assert "expected 'base_link' as of all, got 'lidar'" in found.complaints[0]


@pytest.mark.parametrize("command", Command)
def test_every_word_of_the_closed_set_is_a_command(command):
    assert route_command(BUS.string(f" {command.value}\n")) == RouteCommand(
        command, Provenance.ROUTE
    )


def test_a_command_may_bring_words_and_a_distance_and_an_empty_one_takes_it_back():
    found = route_command(
        BUS.string('{"command": "left", "text": "into Mill Lane", "distance_m": 42}')
    )
    assert found == RouteCommand(Command.LEFT, Provenance.ROUTE, "into Mill Lane", 42.0)
    assert route_command(BUS.string("")) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("lefft", "expected one of follow, .*, got 'lefft', did you mean left"),
        ("{}", "got None"),
        ('{"command": "left", "speed": 3}', "expected command, text, distance_m, got speed"),
        ('{"command": "left", "distance_m": -1}', "distance_m, got -1"),
        ('{"command": "left", "distance_m": NaN}', "distance_m, got nan"),
        ('{"command": "left", "distance_m": true}', "distance_m, got True"),
        ('{"command": "left", "text": 5}', "words as text, got 5"),
        ('{"command": ["left"]}', r"got \['left'\]"),
        ('{"command"\n', "expected a word or JSON"),
    ],
)
def test_a_command_outside_the_set_is_refused_with_the_nearest_word(text, why):
    with bad(why):
        route_command(BUS.string(text))


def routed(x_m: float, y_m: float = 0.0, yaw_rad: float = 0.0, **fields) -> RouteCommand | None:
    """What is asked for at the origin, where the navigation command is LEFT."""
    router = Router(RouteConfig(use=True, near_m=30.0, aside_m=3.0))
    router.said(RouteCommand(Command.LEFT, Provenance.ROUTE))
    router.goes_to(goal_of(BUS.route(BUS.pose((x_m, y_m, 0.0), yaw_rad), **fields)))
    return router.command(sample(START_US, 0.0, frame_id="map"))


def test_near_its_goal_a_route_asks_to_stop_there():
    assert routed(12.5) == RouteCommand(Command.STOP_AT_GOAL, Provenance.ROUTE, "", 12.5)
    assert routed(-1.0).distance_m == 0.0  # just driven over


@pytest.mark.parametrize(
    "goal",
    [
        {"x_m": 31.0},
        {"x_m": -3.0},
        {"x_m": 10.0, "y_m": 4.0},
        {"x_m": 10.0, "yaw_rad": np.pi},
        {"x_m": 10.0, "frame_id": "odom"},
    ],
    ids=["far", "behind", "aside", "oncoming", "elsewhere"],
)
def test_a_goal_that_does_not_lie_just_ahead_changes_no_command(goal):
    assert routed(**goal).command is Command.LEFT


def test_a_route_in_another_frame_is_told():
    router = Router(RouteConfig(use=True))
    now = sample(START_US, 0.0, frame_id="odom")
    assert router.complaint(now) is None
    router.goes_to(Goal("map", Pose2(0.0, 0.0, 0.0)))
    assert "frame 'map' and the odometry in 'odom'" in router.complaint(now)
    assert router.command(None) is None
