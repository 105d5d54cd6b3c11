"""Laws of what the node publishes, after the way over the wire."""

import json
from dataclasses import replace

import numpy as np
import pytest
from drive_bus import LocalBus
from drive_cases import SPEED_MPS, START_US, sample, straight

from drivevlm.drive.gate import Check, CheckName, GateVerdict
from drivevlm.drive.health import Diagnostic, Level
from drivevlm.drive.messages.markers import decision_markers, fallback_markers
from drivevlm.drive.messages.outgoing import (
    candidates_message,
    detections_message,
    diagnostics_message,
    path_message,
    stamped_string_message,
    string_message,
    trajectory_message,
)
from drivevlm.drive.plan_message import Source, trajectory_of
from drivevlm.drive.publish import Reasoning
from drivevlm.drive.topics import OUT
from drivevlm.world.boxes import Box3, Detection
from drivevlm.world.decision import Decision
from drivevlm.world.sets import (
    FailureKind,
    Lateral,
    Longitudinal,
    MetaDecision,
    Verdict,
)

BUS = LocalBus()
STAMP_NS = START_US * 1000 + 7
EGO = sample(START_US, 3.0, 4.0, np.pi / 2, frame_id="map")
AHEAD = trajectory_of(straight(), EGO, wheelbase_m=2.5)
PASSED = GateVerdict((Check(CheckName.AGE, True, 0.1, 1.0),))
BEHIND = GateVerdict((Check(CheckName.BEHIND, False, 3.0, 0.5),))


def wired(message):
    """As a peer reads it."""
    topic = f"/{len(BUS.sent)}"
    BUS.publisher(topic, message.__msgtype__, OUT)(message)
    return BUS.sent[topic][0]


def stamp_ns(stamp) -> int:
    return stamp.sec * 10**9 + stamp.nanosec


def box(category: str, x_m: float, score: float | None = None, id: str = "") -> Box3:
    return replace(Box3.typical(category, x_ego_m=x_m, y_ego_m=1.0, id=id), score=score)


SEEN = (
    Detection(box("car", 10.0, 0.75, "p1"), Verdict.KEPT),
    Detection(box("bus", 20.0, 0.5, "p2"), Verdict.DROPPED),
    Detection(box("pedestrian", 5.0, None, "n1"), Verdict.ADDED),
)
DECISION = Decision(
    plan=straight(),
    detections=SEEN,
    summary="A car waits.",
    meta=MetaDecision(Longitudinal.FOLLOW_LEAD, Lateral.KEEP_LANE),
)


def reasoning(decision: Decision = DECISION, verdict: GateVerdict | None = PASSED) -> Reasoning:
    return Reasoning(START_US, "clip", decision, verdict)


def test_a_trajectory_is_stamped_with_decision_time_and_lies_in_the_odometrys_frame():
    """From (3, 4), along the map's y axis, at 8 m/s: 0.8 m a point, and the first is at 0.1 s."""
    found = wired(trajectory_message(BUS, AHEAD, STAMP_NS))
    assert (stamp_ns(found.header.stamp), found.header.frame_id) == (STAMP_NS, "map")
    assert len(found.points) == 30
    first, last = found.points[0], found.points[-1]
    assert stamp_ns(first.time_from_start) == 100_000_000
    assert stamp_ns(last.time_from_start) == 3_000_000_000
    place = first.pose.position
    np.testing.assert_allclose([place.x, place.y, place.z], [3.0, 4.8, 0.3], atol=1e-9)
    np.testing.assert_allclose(last.pose.position.y, 4.0 + 3 * SPEED_MPS, atol=1e-9)
    turn = first.pose.orientation
    np.testing.assert_allclose([turn.x, turn.y, turn.z, turn.w], [0, 0, 0.5**0.5, 0.5**0.5])
    assert first.longitudinal_velocity_mps == pytest.approx(SPEED_MPS)
    assert first.lateral_velocity_mps == first.rear_wheel_angle_rad == 0.0


def test_the_bend_of_a_trajectory_is_its_heading_rate_and_its_wheel_angle():
    count = len(AHEAD)
    bent = replace(
        AHEAD,
        heading_rate_radps=np.full(count, 0.8),
        acceleration_mps2=np.full(count, -1.5),
        front_wheel_angle_rad=np.full(count, np.arctan(0.25)),
    )
    point = wired(trajectory_message(BUS, bent, STAMP_NS)).points[3]
    assert point.heading_rate_rps == pytest.approx(0.8)
    assert point.acceleration_mps2 == pytest.approx(-1.5)
    assert point.front_wheel_angle_rad == pytest.approx(0.244979, abs=1e-6)


def test_the_times_of_a_trajectory_increase_strictly():
    points = wired(trajectory_message(BUS, AHEAD, STAMP_NS)).points
    times = [stamp_ns(point.time_from_start) for point in points]
    assert times == [k * 100_000_000 for k in range(1, 31)]


def test_a_candidate_bears_the_name_of_its_generator_and_the_trajectorys_points():
    found = wired(
        candidates_message(
            BUS, AHEAD, STAMP_NS, generator="drivevlm", generator_id=bytes(range(16))
        )
    )
    (candidate,), (info,) = found.candidate_trajectories, found.generator_info
    assert candidate.generator_id.uuid.tolist() == list(range(16))
    assert info.generator_id.uuid.tolist() == list(range(16))
    assert info.generator_name.data == "drivevlm"
    trajectory = wired(trajectory_message(BUS, AHEAD, STAMP_NS))
    assert candidate.header == trajectory.header
    assert candidate.points == trajectory.points


def test_the_poses_of_a_path_are_those_of_the_trajectory_each_with_its_own_time():
    found = wired(path_message(BUS, AHEAD, STAMP_NS))
    trajectory = wired(trajectory_message(BUS, AHEAD, STAMP_NS))
    assert found.header == trajectory.header
    assert [pose.pose for pose in found.poses] == [point.pose for point in trajectory.points]
    stamps = [stamp_ns(pose.header.stamp) - STAMP_NS for pose in found.poses]
    assert stamps == [k * 100_000_000 for k in range(1, 31)]
    assert {pose.header.frame_id for pose in found.poses} == {"map"}


def test_words_go_out_with_their_stamp_where_there_is_a_type_for_it():
    text = reasoning().text
    stamped = wired(stamped_string_message(BUS, text, STAMP_NS))
    assert (stamp_ns(stamped.stamp), stamped.data) == (STAMP_NS, text)
    assert json.loads(wired(string_message(BUS, text)).data)["stamp_us"] == START_US


def test_detections_are_what_the_planner_says_is_there_in_the_ego_frame_of_then():
    found = wired(detections_message(BUS, DECISION.seen, STAMP_NS, base_frame="base_link"))
    assert (found.header.frame_id, stamp_ns(found.header.stamp)) == ("base_link", STAMP_NS)
    car, walker = found.detections
    assert (car.id, car.results[0].hypothesis.class_id) == ("p1", "car")
    assert car.results[0].hypothesis.score == 0.75
    place, size = car.bbox.center.position, car.bbox.size
    assert (place.x, place.y, place.z) == (10.0, 1.0, 0.865)
    assert (size.x, size.y, size.z) == (4.62, 1.95, 1.73)
    assert walker.id == "n1"
    assert np.isnan(walker.results[0].hypothesis.score)  # it gave none


def test_a_diagnostic_is_one_status_whose_level_is_a_number():
    told = Diagnostic("drivevlm: inference_status", Level.ERROR, "no plan yet", {"age": "1.0"})
    found = wired(diagnostics_message(BUS, told, START_US, node="drivevlm"))
    (status,) = found.status
    assert stamp_ns(found.header.stamp) == START_US * 1000
    assert (status.level, status.name) == (2, "drivevlm: inference_status")
    assert (status.message, status.hardware_id) == ("no plan yet", "drivevlm")
    assert [(value.key, value.value) for value in status.values] == [("age", "1.0")]


def colours(message) -> dict[str, list[tuple[float, ...]]]:
    found: dict[str, list[tuple[float, ...]]] = {}
    for marker in message.markers:
        tone = marker.color
        found.setdefault(marker.ns, []).append((tone.r, tone.g, tone.b))
    return found


def test_markers_draw_the_plan_the_objects_and_the_words_and_nothing_of_before():
    found = wired(decision_markers(BUS, reasoning(), STAMP_NS, base_frame="base_link"))
    assert [(marker.ns, marker.type, marker.action) for marker in found.markers] == [
        ("", 0, 3),
        ("plan", 4, 0),
        ("objects", 1, 0),
        ("objects", 1, 0),
        ("objects", 1, 0),
        ("words", 9, 0),
    ]
    line, words = found.markers[1], found.markers[-1]
    assert [(point.x, point.y) for point in line.points] == [(4.0 * k, 0.0) for k in range(1, 7)]
    assert (line.header.frame_id, stamp_ns(line.lifetime)) == ("base_link", 1_000_000_000)
    assert words.text == "follow_lead, keep_lane\nA car waits."
    assert len(set(colours(found)["objects"])) == 3  # kept, dropped, added


def test_a_plan_that_was_held_back_is_drawn_in_another_colour_with_the_reason():
    held = wired(decision_markers(BUS, reasoning(verdict=BEHIND), STAMP_NS, base_frame="base_link"))
    shown = wired(decision_markers(BUS, reasoning(), STAMP_NS, base_frame="base_link"))
    assert colours(held)["plan"] != colours(shown)["plan"]
    assert "held back: behind 3, limit 0.5" in held.markers[-1].text


def test_a_failure_is_drawn_in_words():
    failed = reasoning(Decision.failed(FailureKind.DEADLINE, "no reply"), None)
    found = wired(decision_markers(BUS, failed, STAMP_NS, base_frame="base_link"))
    assert [marker.ns for marker in found.markers] == ["", "words"]
    assert found.markers[1].text == "deadline: no reply"


def test_a_fallback_is_drawn_where_it_leads_in_the_odometrys_frame():
    stop = replace(AHEAD, source=Source.STOP)
    (line,) = wired(fallback_markers(BUS, stop, STAMP_NS)).markers
    assert line.header.frame_id == "map"
    first = line.points[0]
    np.testing.assert_allclose([first.x, first.y, first.z], [3.0, 4.8, 0.3], atol=1e-9)
