"""True reasons, on logs made by hand: one cause at a time; and gaps, on roads made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drivevlm.world.sets import LaneRelation, Lateral, Longitudinal, Signal
from drivevlm_sim.bodies import SIZES
from drivevlm_sim.labels.decide import Cause, decided
from drivevlm_sim.labels.label import labels_of
from drivevlm_sim.labels.say import SETS, sentences
from drivevlm_sim.scene_log import Body, SceneLog, Track, Weather
from drivevlm_sim.traffic.facts import Witness
from drivevlm_sim.traffic.record import Mover, Recording
from drivevlm_sim.traffic.roads import Lane, Roads

STEPS = 41
NONE = {
    **dict.fromkeys(("leader", "signal_state", "junction_duty", "junction_turn", "foes"), ""),
    **dict.fromkeys(("walker", "walkers", "blocker", "lane_change", "signal"), ""),
    **dict.fromkeys(("leader_gap_m", "leader_speed_mps", "signal_m", "junction_m"), np.nan),
    **dict.fromkeys(("walker_m", "crossing_m", "stop_line_m", "blocked_m"), np.nan),
    "signal_link": 0,
    "speed_limit_mps": 13.9,
}


def track(name: str, body: Body, speed_mps: np.ndarray, *, ahead_m: float = 0.0) -> Track:
    none = np.zeros(STEPS)
    x_m = ahead_m + np.cumsum(speed_mps) * 0.1
    lamps = np.zeros(STEPS, dtype=np.uint8)
    xy_m = np.stack([x_m, none], axis=1)
    return Track(name, body, 0, xy_m, none, speed_mps, none, lamps, ("lane",) * STEPS)


def log(*, end_mps: float = 8.0, end_rad: float = 0.0, **facts: object) -> SceneLog:
    """An ego that goes from 8 m/s to another speed and heading within 4 s, behind a truck."""
    ego = track("ego", Body.SEDAN, np.linspace(8.0, end_mps, STEPS))
    ego = replace(ego, yaw_rad=np.linspace(0.0, end_rad, STEPS))
    truck = track("truck", Body.TRUCK, np.full(STEPS, 3.0), ahead_m=20.0)
    anna = track("anna", Body.PEDESTRIAN, np.zeros(STEPS), ahead_m=12.0)
    columns = {name: np.full(STEPS, value) for name, value in {**NONE, **facts}.items()}
    return SceneLog(
        *("scene", "town", STEPS, ego, ego.xy_m, {"truck": truck, "anna": anna}, {}, ()),
        command=("left",) * STEPS,
        command_m=np.full(STEPS, 40.0),
        weather=Weather.RAIN,
        sun=(0.0, 1.0),
        family="",
        seed=0,
        facts=columns,
    )


FOLLOWED = {"leader": "truck", "leader_gap_m": 12.0, "leader_speed_mps": 3.0}


@pytest.mark.parametrize(
    ("end_mps", "facts", "cause", "longitudinal"),
    [
        (8.0, {}, Cause.FREE, Longitudinal.TRACK_SPEED),
        (4.0, FOLLOWED, Cause.LEADER, Longitudinal.FOLLOW_LEAD),
        (0.0, {"signal_state": "r", "signal_m": 15.0}, Cause.RED_LIGHT, Longitudinal.STOP),
        (0.0, {"signal_state": "y", "signal_m": 15.0}, Cause.AMBER_LIGHT, Longitudinal.STOP),
        (0.0, {"walkers": "anna", "crossing_m": 12.0}, Cause.WALKER, Longitudinal.YIELD),
        (0.0, {"foes": "truck", "junction_m": 9.0}, Cause.FOE, Longitudinal.YIELD),
        (0.0, {"blocker": "truck", "blocked_m": 14.0}, Cause.BLOCKED, Longitudinal.STOP),
        (
            *(0.0, {"junction_duty": "all_way_stop", "stop_line_m": 6.0}),
            *(Cause.STOP_LINE, Longitudinal.STOP),
        ),
        (
            *(5.0, {"junction_turn": "left", "junction_m": 9.0}),
            *(Cause.TURN, Longitudinal.ADAPT_TO_ROAD),
        ),
    ],
)
def test_one_cause_gives_one_decision(end_mps, facts, cause, longitudinal):
    reason = decided(log(end_mps=end_mps, **facts), 0)
    assert (reason.cause, reason.meta.longitudinal) == (cause, longitudinal)


def test_behind_a_leader_that_waits_at_a_red_light_the_leader_is_the_cause():
    waiting = {**FOLLOWED, "leader_speed_mps": 0.0, "signal_state": "r", "signal_m": 20.0}
    assert decided(log(end_mps=0.0, **waiting), 0).cause is Cause.LEADER_STANDS
    first = {**waiting, "leader_gap_m": 25.0}
    assert decided(log(end_mps=0.0, **first), 0).cause is Cause.RED_LIGHT


def test_who_brakes_for_a_slow_leader_far_ahead_does_not_stop_for_the_line_behind_it():
    far = {**FOLLOWED, "leader_gap_m": 30.0, "junction_duty": "stop", "stop_line_m": 36.0}
    assert decided(log(end_mps=6.0, **far), 0).cause is Cause.LEADER
    assert decided(log(end_mps=8.0, **far), 0).cause is Cause.FREE


def test_who_changes_lanes_behind_a_leader_does_not_say_that_it_waits():
    made = log(end_mps=4.0, **FOLLOWED, lane_change="left")
    told = sentences(made, decided(made, 0), paraphrases=0)
    assert told == ("A truck drives 12 m ahead of me.", "I move over to the left lane.")


def test_who_stands_and_soon_drives_off_waits_for_nobody():
    goes = log(foes="truck", junction_m=2.0)
    for speeds_mps, cause in ((np.zeros(STEPS), Cause.FOE), (np.linspace(0, 6, STEPS), Cause.FREE)):
        made = replace(goes, ego=replace(goes.ego, speed_mps=speeds_mps))
        assert decided(made, 0).cause is cause


def test_a_walker_on_the_far_crossing_is_waited_for_at_the_line():
    far = {"walkers": "anna", "crossing_m": 24.0, "junction_m": 2.0, "junction_turn": "left"}
    waiting = log(end_mps=0.0, **far)
    waiting = replace(waiting, ego=replace(waiting.ego, speed_mps=np.zeros(STEPS)))
    assert decided(waiting, 0).cause is not Cause.WALKER  # only a test can tell
    reason = decided(waiting, 0, {"anna": 2.0})
    assert (reason.cause, reason.names, reason.away_m) == (Cause.WALKER, ("anna",), 24.0)


def test_what_the_ego_does_not_act_on_is_no_cause():
    """It drives on through amber, too near to stop; and past a red light far away."""
    assert decided(log(signal_state="y", signal_m=3.0), 0).cause is Cause.FREE
    assert decided(log(end_mps=5.0, signal_state="r", signal_m=90.0), 0).cause is Cause.FREE


def test_a_turn_and_a_lane_change_are_decided_across_the_path():
    bend = {"junction_turn": "right", "junction_m": 4.0}
    assert decided(log(end_mps=5.0, end_rad=-1.2, **bend), 0).meta.lateral is Lateral.TURN_RIGHT
    assert decided(log(end_mps=5.0, end_rad=-0.1, **bend), 0).meta.lateral is Lateral.KEEP_LANE
    assert decided(log(end_mps=5.0, end_rad=1.2, **bend), 0).meta.lateral is Lateral.KEEP_LANE
    assert decided(log(lane_change="left"), 0).meta.lateral is Lateral.CHANGE_LEFT


def test_labels_hold_what_the_log_knows():
    made = log(end_mps=4.0, **FOLLOWED, signal_state="G", signal_m=30.0)
    labels = labels_of(made, 0, seen={"truck"}, signal_seen=True)
    # A sedan's front is 4.62 - 0.95 m ahead of its rear axle, that of the cameras' car 3.528 m.
    assert (labels.signal.state, labels.signal.distance_m) == (Signal.GREEN, pytest.approx(30.142))
    assert labels.lead is not None
    assert (labels.lead.instance, labels.lead.visible) == ("truck", True)
    assert labels.lead.gap_m == pytest.approx(12.142)
    (relation,) = labels.relations
    assert (relation.lane, relation.gap_m) == (LaneRelation.EGO_LANE, pytest.approx(12.142))
    assert relation.ttc_s == pytest.approx(12.142 / (8.0 - 3.0))
    assert labels.route is not None
    assert (labels.route.command.value, labels.route.distance_m) == ("left", 40.0)
    assert labels.summary == "I drive at 29 km/h in a town with a limit of 50 km/h in rain."
    assert labels.sentences[0] == "A truck drives 12 m ahead of me."


def test_what_a_long_car_is_told_is_measured_from_the_cameras_own():
    made = log(end_mps=4.0, **FOLLOWED)
    labels = labels_of(
        replace(made, ego=replace(made.ego, body=Body.VAN)), 0, seen={"truck"}, signal_seen=True
    )
    assert labels.lead is not None
    assert labels.lead.gap_m == pytest.approx(12.0 + 5.32 - 1.05 - 3.528)
    assert labels.sentences[0] == "A truck drives 13 m ahead of me."


def test_nothing_is_said_of_what_no_camera_showed():
    hidden = labels_of(log(end_mps=4.0, **FOLLOWED), 0, seen=(), signal_seen=True)
    assert hidden.sentences == ()
    red = log(end_mps=0.0, signal_state="r", signal_m=15.0)
    assert labels_of(red, 0, seen=(), signal_seen=False).sentences == ()
    assert labels_of(red, 0, seen=(), signal_seen=True).sentences


def test_every_set_of_paraphrases_says_it_otherwise():
    made = log(end_mps=4.0, **FOLLOWED)
    told = {sentences(made, decided(made, 0), paraphrases=k) for k in range(SETS)}
    assert len(told) == SETS
    for cause in Cause:
        reason = replace(decided(made, 0), cause=cause, away_m=7.0)
        assert len({sentences(made, reason, paraphrases=k) for k in range(SETS)}) == SETS
    with pytest.raises(ValueError, match="20 sets"):
        sentences(made, decided(made, 0), paraphrases=SETS)


def told_gap_m(
    way_m: np.ndarray, pose: tuple[float, float, float], *, at_m: float, stretch: float = 1.0
) -> float:
    """Of a sedan whose front is at 10 m of a lane, behind one whose middle is at x, y and yaw.

    Args:
        way_m: The middle of the lane.
        pose: Of the one ahead.
        at_m: Where that is along the lane.
        stretch: By how much SUMO takes the lane to be longer than it lies.
    """
    length_m = float(np.hypot(*np.diff(way_m, axis=0).T).sum())
    lane = Lane("e_0", "e", 0, length_m * stretch, 3.4, 13.9, way_m, "")
    roads = Roads({"e_0": lane}, {}, {}, {"e": ("e_0",)}, (), {}, {}, {}, frozenset())

    def mover(name: str, xy_m: np.ndarray, yaw_rad: float, front_m: float) -> Mover:
        still = np.zeros(1)
        track = Track(
            *(name, Body.SEDAN, 0, xy_m[None], np.array([yaw_rad]), still, still),
            lamps=np.zeros(1, dtype=np.uint8),
            lane=("e_0",),
        )
        lane_m = np.array([front_m * stretch])
        return Mover(track, xy_m[None], lane_m, ("e",), np.zeros(1, dtype=np.int64))

    half_m = SIZES[Body.SEDAN].length_m / 2
    ego = mover("ego", way_m[0] + (10.0 - half_m, 0.0), 0.0, 10.0)
    lead = mover("lead", np.array(pose[:2]), pose[2], at_m + half_m)
    vehicles = {"ego": ego, "lead": lead}
    facts = Witness(Recording("t", False, roads, 0, 1, vehicles, {}, (), {})).facts("ego")
    assert facts["leader"] == ["lead"]
    return float(facts["leader_gap_m"][0])


# A sedan is 4.62 m long and 1.9 m wide: its corners are 2.31 m ahead and 0.95 m aside of its
# middle, and as the ego it sweeps 0.95 m to each side of the middle of its way.
@pytest.mark.parametrize(
    ("turned_deg", "left_m", "sooner_m"),
    [
        (0, 0.0, 2.31),
        (90, 0.0, 0.95),  # its side
        (45, 1.0, (2.31 + 0.95) / 2**0.5),  # its rear left corner, 0.04 m aside of the middle
        # That corner is 2.04 m aside: the rear face comes within 0.95 m on x + y = const.
        (45, 3.0, (2.31 + 0.95) / 2**0.5 + 0.95 - 3.0 + (2.31 - 0.95) / 2**0.5),
        (30, 0.0, 2.31 * 3**0.5 / 2 + 0.95 / 2),  # its rear left corner, 0.33 m aside
    ],
)
def test_a_gap_ends_where_the_ego_would_touch_who_stands_across(turned_deg, left_m, sooner_m):
    straight = np.array([[0.0, 0.0], [60.0, 0.0]])
    gap_m = told_gap_m(straight, (30.0, left_m, np.radians(turned_deg)), at_m=30.0)
    assert gap_m == pytest.approx(30.0 - sooner_m - 10.0, abs=1e-3)


@pytest.mark.parametrize(
    ("turned_deg", "left_m", "sooner_rad"),
    [
        (0, 0.0, np.arctan(2.31 / 19.05)),  # its inner rear corner
        (90, 0.0, np.arcsin(0.95 / 19.05)),  # its side, where the ego's inner edge goes
        (45, 1.0, np.arctan(2.305 / 19.962)),  # its rear left corner
        (30, 0.0, np.arctan(2.4755 / 20.332)),  # its rear left corner
    ],
)
@pytest.mark.parametrize("stretch", [0.92, 1.0, 1.08])
def test_round_a_bend_the_gap_is_in_metres_as_the_lane_lies(
    turned_deg, left_m, sooner_rad, stretch
):
    """12 m straight on, then to the left with a radius of 20 m; the other is 45 degrees on."""
    at_rad = np.radians(np.arange(0, 91, 0.5))
    arc_m = np.stack([12.0 + 20.0 * np.sin(at_rad), 20.0 - 20.0 * np.cos(at_rad)], axis=1)
    bend = np.concatenate([[[0.0, 0.0]], arc_m])
    inwards_m = (20.0 - left_m) / 2**0.5
    pose = (12.0 + inwards_m, 20.0 - inwards_m, np.radians(45 + turned_deg))
    gap_m = told_gap_m(bend, pose, at_m=12.0 + 20.0 * np.pi / 4, stretch=stretch)
    assert gap_m == pytest.approx(2.0 + 20.0 * (np.pi / 4 - sooner_rad), abs=0.01)
