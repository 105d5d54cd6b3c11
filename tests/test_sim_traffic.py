"""Traffic: the same seed the same log, nothing of the future in it, and facts that are true."""

import hashlib
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import traffic_cases
from traffic_cases import (
    SEED,
    cars,
    needs_sumo,
)

from drivevlm.world.sets import Signal
from drivevlm_sim.bodies import CARS, SIZES, Body
from drivevlm_sim.scene_log import Track
from drivevlm_sim.scene_log_file import (
    scene_log_bytes,
)
from drivevlm_sim.town.town import Town, Turn
from drivevlm_sim.traffic.demand import Demand
from drivevlm_sim.traffic.drivers import body_of
from drivevlm_sim.traffic.facts import Witness
from drivevlm_sim.traffic.families import Family, moments
from drivevlm_sim.traffic.faults import faults
from drivevlm_sim.traffic.record import Recorder, Recording, recording, run, simulate
from drivevlm_sim.traffic.roads import edge_of, read_roads
from drivevlm_sim.traffic.scene import Scenes, Sky
from drivevlm_sim.traffic.signals import SignalPlan, colour, same_movement, shown
from drivevlm_sim.traffic.tractrix import follow
from drivevlm_sim.traffic.windows import at_random, for_training, standing_keyframes


@pytest.fixture(name="town")
def _town() -> Town:
    return traffic_cases.town()


@pytest.fixture(name="recorded")
def _recorded() -> Recording:
    return traffic_cases.recorded()


@pytest.fixture(name="scenes")
def _scenes() -> Scenes:
    return traffic_cases.scenes()


def front_m(track: Track, row: int, side: float = 1.0) -> np.ndarray:
    """The middle of a track's front bumper, or of its rear bumper for the side -1."""
    along = np.array([np.cos(track.yaw_rad[row]), np.sin(track.yaw_rad[row])])
    return track.xy_m[row] + side * along * SIZES[track.body].length_m / 2


DIGEST = """
import hashlib, sys
from drivevlm_sim.scene_log_file import scene_log_bytes
from drivevlm_sim.town.make_town import make_town
from drivevlm_sim.traffic.facts import Witness
from drivevlm_sim.traffic.record import run
from drivevlm_sim.traffic.scene import Scenes, Sky
from traffic_cases import RECIPE, SEED, cars
recorded = run(make_town(RECIPE), seed=SEED, seconds=30.0)
ego = cars(recorded)[0]
first = recorded.vehicles[ego].track.first
scene = Scenes(Witness(recorded)).scene(ego, first=first, steps=100, sky=Sky())
print(hashlib.sha256(scene_log_bytes(scene)).hexdigest())
"""


@needs_sumo
def test_the_same_seed_gives_the_same_log_in_another_process(scenes: Scenes) -> None:
    ego = cars(scenes.recording)[0]
    first = scenes.recording.vehicles[ego].track.first
    scene = scenes.scene(ego, first=first, steps=100, sky=Sky())
    other = subprocess.run(
        [sys.executable, "-c", DIGEST],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == hashlib.sha256(scene_log_bytes(scene)).hexdigest()


@needs_sumo
def test_another_seed_gives_another_run(town: Town, recorded: Recording) -> None:
    other = run(town, seed=SEED + 1, seconds=10.0)
    one = {name: mover.route for name, mover in recorded.vehicles.items()}
    assert {name: mover.route for name, mover in other.vehicles.items()} != {
        name: one.get(name) for name in other.vehicles
    }


@needs_sumo
def test_a_shorter_run_is_the_beginning_of_a_longer_one(town: Town, scenes: Scenes) -> None:
    short = run(town, seed=SEED, seconds=60.0, demand=Demand())
    before = Scenes(Witness(short))
    assert len(cars(short)) > 5
    for name, mover in short.vehicles.items():
        longer, steps = scenes.recording.vehicles[name], len(mover.track)
        for column in ("xy_m", "yaw_rad", "speed_mps", "acceleration_mps2", "lamps"):
            values = getattr(longer.track, column)[:steps]
            assert np.array_equal(getattr(mover.track, column), values)
        assert np.array_equal(mover.rear_axle_m, longer.rear_axle_m[:steps])
    for name in cars(short):
        life, longer_life = before.life(name), scenes.life(name)
        assert life.command == longer_life.command[: life.steps]
        for fact, values in life.facts.items():
            same = longer_life.facts[fact][: life.steps]
            assert np.array_equal(values, same, equal_nan=values.dtype.kind == "f"), fact


@needs_sumo
def test_rear_axles_do_not_slip(recorded: Recording) -> None:
    checked = 0
    for mover in recorded.vehicles.values():
        moved = np.diff(mover.rear_axle_m, axis=0)
        far = np.hypot(*moved.T) > 0.02
        slip = np.arctan2(moved[:, 1], moved[:, 0]) - mover.track.yaw_rad[1:]
        slip = np.abs((slip + np.pi) % (2 * np.pi) - np.pi)
        assert slip[far].max(initial=0.0) < np.radians(1)
        checked += int(far.sum())
    assert checked > 5000


def test_an_axle_led_around_a_circle_settles_on_the_smaller_circle() -> None:
    # A wheelbase of 3 m led along a circle of 5 m: the axle runs on one of sqrt(25 - 9) = 4 m.
    angle = np.linspace(0, 8 * np.pi, 4000)
    front = 5 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    rear, yaw = follow(front, yaw_rad=np.pi / 2, length_m=3.0)
    assert np.hypot(*rear[-1]) == pytest.approx(4.0, abs=0.01)
    assert np.hypot(*(front[-1] - rear[-1])) == pytest.approx(3.0)
    # It knows nothing of what comes: half of the way gives half of the result.
    half, half_yaw = follow(front[:2000], yaw_rad=np.pi / 2, length_m=3.0)
    assert np.array_equal(half, rear[:2000])
    assert np.array_equal(half_yaw, yaw[:2000])


@needs_sumo
def test_signals_are_shown_before_drivers_obey_them(town: Town) -> None:
    roads = read_roads(town.net_xml, town.offset_m)
    with simulate(town, roads, seed=SEED, seconds=60.0, demand=Demand()) as simulation:
        recorder = Recorder(simulation)
        for _ in range(600):
            recorder.step()
    made = recording(town, roads, recorder.snapshots, recorder.routes, seed=SEED)
    name = min(made.signals)
    obeyed = [snapshot.signals[name] for snapshot in recorder.snapshots]
    changes = [step for step in range(1, 593) if obeyed[step] != obeyed[step - 1]]
    assert changes
    for step in changes:
        assert made.signals[name][step - 7] == obeyed[step]
        assert made.signals[name][step - 8] == obeyed[step - 1]
    assert shown("aaaaaaaab") == ("a", "b")


@needs_sumo
def test_a_signal_plan_foretells_what_the_signal_does(town: Town) -> None:
    roads = read_roads(town.net_xml, town.offset_m)
    own = next(
        link
        for links in roads.links.values()
        for link in links
        if link.signal and link.turn == Turn.LEFT
    )
    with simulate(town, roads, seed=SEED, seconds=10.0, demand=Demand()) as simulation:
        for _ in range(123):
            simulation.advance()
        plan = SignalPlan.read(simulation, own.signal)
        for ahead in range(1, 900):
            simulation.advance()
            state = simulation.api.trafficlight.getRedYellowGreenState(own.signal)
            assert state == plan.after(ahead)
    links = same_movement(roads, own)
    forced = plan.forced(50, links, "r")
    assert own.signal_link in links
    assert all(forced[link] == "r" for link in links)
    assert [letter for place, letter in enumerate(forced) if place not in links] == [
        letter for place, letter in enumerate(plan.after(50)) if place not in links
    ]


def test_a_missing_signal_has_no_colour() -> None:
    assert [colour(letter) for letter in ("", "r", "u", "y", "g", "G", "O")] == [
        *(Signal.NONE, Signal.RED, Signal.RED, Signal.AMBER, Signal.GREEN, Signal.GREEN),
        Signal.UNKNOWN,
    ]


@needs_sumo
def test_commands_are_the_turns_of_the_route(scenes: Scenes) -> None:
    words = {"left": 0, "right": 0, "straight": 0}
    roads = scenes.recording.roads
    for ego in cars(scenes.recording):
        life, mover = scenes.life(ego), scenes.recording.vehicles[ego]
        for row in range(0, life.steps, 7):
            if life.command[row] not in words:
                continue
            # The route's first turn from here where it could have gone elsewhere.
            edges = mover.route[mover.route_index[row] :]
            turn = next(
                link.turn
                for here, there in itertools.pairwise(edges)
                if roads.nodes[roads.ends_at[here]].choices[here] > 1
                for lane in roads.edges[here]
                for link in roads.links[lane]
                if edge_of(link.to_lane) == there
            )
            assert turn.value == life.command[row]
            words[life.command[row]] += 1
    assert min(words.values()) > 50


@needs_sumo
def test_the_leaders_gap_is_the_distance_between_bumpers(scenes: Scenes) -> None:
    checked = 0
    for ego in cars(scenes.recording):
        life, begin = scenes.life(ego), scenes.recording.vehicles[ego].track.first
        for row in range(0, life.steps, 3):
            name = str(life.facts["leader"][row])
            if not name or life.facts["leader_gap_m"][row] < 0:
                continue
            leader = scenes.recording.vehicles[name].track
            at = begin + row - leader.first
            straight = abs(leader.yaw_rad[at] - life.ego.yaw_rad[row]) < 0.01
            if straight and leader.lane[at] == life.ego.lane[row]:
                gap_m = np.hypot(*(front_m(leader, at, -1) - front_m(life.ego, row)))
                # A car in the middle of a lane change is a little aside of its lane.
                aside_m = 0.2 if leader.body in CARS else 0.3
                assert life.facts["leader_gap_m"][row] == pytest.approx(gap_m, abs=aside_m)
                assert life.facts["leader_speed_mps"][row] == leader.speed_mps[at]
                checked += 1
    assert checked > 100


@needs_sumo
def test_a_signals_distance_ends_at_the_end_of_the_lane(scenes: Scenes) -> None:
    checked = 0
    lanes, signals = scenes.recording.roads.lanes, scenes.recording.signals
    for ego in cars(scenes.recording):
        life, begin = scenes.life(ego), scenes.recording.vehicles[ego].track.first
        for row in range(0, life.steps, 5):
            plan, link = str(life.facts["signal"][row]), int(life.facts["signal_link"][row])
            if plan and life.facts["signal_m"][row] < 20 and not life.ego.lane[row].startswith(":"):
                assert life.facts["signal_state"][row] == signals[plan][begin + row][link]
                line = lanes[life.ego.lane[row]].centre_m[-1]
                away_m = np.hypot(*(line - front_m(life.ego, row)))
                if life.facts["lane_change"][row] == "":
                    assert life.facts["signal_m"][row] == pytest.approx(away_m, abs=0.6)
                    assert life.facts["stop_line_m"][row] == life.facts["signal_m"][row]
                    checked += 1
    assert checked > 50


@needs_sumo
def test_who_is_in_the_way_is_in_front(scenes: Scenes) -> None:
    checked = 0
    for ego in cars(scenes.recording):
        life, begin = scenes.life(ego), scenes.recording.vehicles[ego].track.first
        for row in np.flatnonzero(life.facts["walker"] != ""):
            track = scenes.recording.walkers[str(life.facts["walker"][row])]
            at_m = track.xy_m[begin + row - track.first]
            straight_m = np.hypot(*(at_m - front_m(life.ego, row)))
            # The way may bend, so it is no shorter than the straight line (but for being aside).
            assert straight_m - 2.5 < life.facts["walker_m"][row] < 46 * np.pi / 2
            checked += 1
    assert checked > 50


@needs_sumo
def test_who_stops_at_a_red_light_was_found_before_it_braked(scenes: Scenes) -> None:
    found = 0
    for ego in cars(scenes.recording):
        life = scenes.life(ego)
        for moment in moments(life):
            if moment.family == Family.RED_LIGHT:
                ahead = slice(moment.step + 1, moment.step + 60)
                assert life.facts["signal_state"][moment.step] in ("r", "u")
                assert life.ego.acceleration_mps2[moment.step] >= -0.7
                assert life.ego.acceleration_mps2[ahead].min() < -0.7
                found += 1
    assert found > 3


@needs_sumo
def test_a_small_town_shows_these_families(scenes: Scenes) -> None:
    counts: dict[Family, int] = dict.fromkeys(Family, 0)
    for ego in cars(scenes.recording):
        for moment in moments(scenes.life(ego)):
            counts[moment.family] += 1
    named = {family.value: count for family, count in counts.items()}
    least = {
        Family.SIGNAL_STRAIGHT: 10,
        Family.SIGNAL_LEFT: 2,
        Family.SIGNAL_RIGHT: 2,
        Family.RED_LIGHT: 4,
        Family.GREEN_LIGHT: 4,
        Family.CAR_FOLLOWING: 5,
        Family.HARD_BRAKING_LEAD: 2,
        Family.CROSSWALK: 2,
        Family.YIELD: 2,
    }
    assert {family: counts[family] for family in least if counts[family] < least[family]} == {}, (
        named
    )


@needs_sumo
def test_training_windows_seldom_stand_and_never_overlap(scenes: Scenes) -> None:
    choice = for_training(scenes, count=14, steps=80, seed=1)
    assert len(choice.windows) == 14
    assert choice == for_training(scenes, count=14, steps=80, seed=1)
    stood, keyframes = 0, 0
    for window in choice.windows:
        scene = scenes.scene(window.ego, first=window.first, steps=window.steps, sky=Sky())
        assert faults(scene, scenes.life(window.ego)) == ()
        assert window.moment % 5 == 0
        stands, frames = standing_keyframes(scene)
        stood, keyframes = stood + stands, keyframes + frames
    assert stood <= 0.2 * keyframes
    for one in choice.windows:
        for other in choice.windows:
            if one != other and one.ego == other.ego:
                assert abs(one.first - other.first) >= 80
    assert len({window.family for window in choice.windows}) >= 6


@needs_sumo
def test_windows_at_random_are_as_many_of_each_family(scenes: Scenes) -> None:
    families = (Family.SIGNAL_STRAIGHT, Family.GREEN_LIGHT)
    choice = at_random(scenes, per_family=2, steps=80, seed=1, families=families)
    assert sorted(window.family.value for window in choice.windows) == [
        *("green_light", "green_light", "signal_straight", "signal_straight")
    ]
    assert set(choice.found) == {"green_light", "signal_straight"}


def test_a_vehicle_whose_driver_was_changed_keeps_its_body() -> None:
    types = ("van_2", "van_2@veh7", "van_2@blocker_3")  # SUMO's names, before and after
    assert {body_of(name) for name in types} == {Body.VAN}
