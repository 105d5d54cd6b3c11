"""Scene logs: their files, their faults, and what is said where SUMO or a town is missing."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import traffic_cases
from traffic_cases import middle_scene, needs_sumo, standing_scene, still

from drivevlm_sim import scene_log_file
from drivevlm_sim.made_once import WorldError
from drivevlm_sim.scene_log import Body, SceneLog
from drivevlm_sim.scene_log_file import (
    read_scene_log,
    scene_log_bytes,
    write_scene_log,
)
from drivevlm_sim.town.town import Town
from drivevlm_sim.traffic.faults import faults
from drivevlm_sim.traffic.record import Recording
from drivevlm_sim.traffic.scene import Scenes
from drivevlm_sim.traffic.sumo import Simulation


@pytest.fixture(name="town")
def _town() -> Town:
    return traffic_cases.town()


@pytest.fixture(name="recorded")
def _recorded() -> Recording:
    return traffic_cases.recorded()


@pytest.fixture(name="scenes")
def _scenes() -> Scenes:
    return traffic_cases.scenes()


def test_faults_are_told_by_name() -> None:
    # A sedan is 1.9 m wide: one whose middle is 2.1 m to the left is 0.2 m away, 2.2 m is 0.3 m.
    near, far = (still("n", Body.SEDAN, (50.0, 50.0 + off), 100) for off in (2.1, 2.2))
    assert faults(standing_scene(near), standing_scene()) == ("ego closer than 0.25 m to somebody",)
    assert faults(standing_scene(far), standing_scene()) == ()
    late = replace(
        far,
        name="late",
        first=1,
        **{
            column: getattr(far, column)[1:]
            for column in ("xy_m", "yaw_rad", "speed_mps", "acceleration_mps2", "lamps", "lane")
        },
    )
    assert faults(standing_scene(late), standing_scene()) == (
        "somebody appears or vanishes near the ego",
    )
    pair = (still("a", Body.BUS, (70.0, 50.0), 100), still("b", Body.BUS, (75.0, 50.0), 100))
    assert faults(standing_scene(*pair), standing_scene()) == ("others overlap",)
    # 10 s of standing are no fault, 13 s are, and a red light excuses them.
    long = standing_scene(steps=130)
    assert faults(long, long) == ("stuck for over 12 s",)
    red = replace(long, facts={"signal_state": np.array(["r"] * 130)})
    assert faults(red, red) == ()


def assert_equal_logs(one: SceneLog, other: SceneLog) -> None:
    for name in ("name", "town", "steps", "route", "command", "weather", "sun", "family", "seed"):
        assert getattr(one, name) == getattr(other, name)
    assert dict(one.signals) == dict(other.signals)
    assert list(one.others) == list(other.others)
    assert list(one.facts) == list(other.facts)
    pairs = [(one.rear_axle_m, other.rear_axle_m), (one.command_m, other.command_m)]
    pairs += [(one.facts[name], other.facts[name]) for name in one.facts]
    tracks = [(one.ego, other.ego), *((one.others[n], other.others[n]) for n in one.others)]
    for mine, theirs in tracks:
        for name in ("name", "body", "first", "lane", "colour"):
            assert getattr(mine, name) == getattr(theirs, name)
        for name in ("xy_m", "yaw_rad", "speed_mps", "acceleration_mps2", "lamps"):
            pairs.append((getattr(mine, name), getattr(theirs, name)))
    for mine, theirs in pairs:
        assert mine.dtype == theirs.dtype
        assert mine.tobytes() == theirs.tobytes()


@needs_sumo
def test_a_scene_comes_back_from_its_file_to_the_bit(scenes: Scenes, tmp_path: Path) -> None:
    scene = middle_scene(scenes)
    write_scene_log(tmp_path / "one.scene.zip", scene)
    assert (tmp_path / "one.scene.zip").stat().st_size < 120_000
    assert_equal_logs(scene, read_scene_log(tmp_path / "one.scene.zip"))


def test_numbers_off_the_grid_come_back_to_the_bit_too(tmp_path: Path) -> None:
    odd = still("odd", Body.TRUCK, (np.pi, -0.0), 100)
    odd = replace(odd, yaw_rad=np.array([np.nan, -0.0, np.inf, 1e300, 1 / 3] * 20), first=0)
    empty = replace(
        odd,
        name="empty",
        first=100,
        **{
            column: getattr(odd, column)[:0]
            for column in ("xy_m", "yaw_rad", "speed_mps", "acceleration_mps2", "lamps", "lane")
        },
    )
    scene = standing_scene(odd, empty)
    write_scene_log(tmp_path / "odd.scene.zip", scene)
    assert_equal_logs(scene, read_scene_log(tmp_path / "odd.scene.zip"))


def test_files_that_are_no_scene_logs_are_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "one.scene.zip"
    with pytest.raises(WorldError, match="cannot be read"):
        read_scene_log(path)
    path.write_bytes(b"no zip")
    with pytest.raises(WorldError, match="no scene log, or a damaged one"):
        read_scene_log(path)
    data = scene_log_bytes(standing_scene())
    monkeypatch.setattr(scene_log_file, "VERSION", 99)
    path.write_bytes(scene_log_bytes(standing_scene()))
    monkeypatch.undo()
    with pytest.raises(WorldError, match="version 99, but this program reads version 1"):
        read_scene_log(path)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(WorldError, match="no scene log, or a damaged one"):
        read_scene_log(path)


def test_a_machine_without_sumo_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libsumo", None)
    with pytest.raises(WorldError, match=r"pip install 'drivevlm\[sim\]'"):
        Simulation(net_xml="<net/>", routes_xml="<routes/>", offset_m=(0, 0), seed=1)


@needs_sumo
def test_a_town_that_sumo_does_not_take_is_told_in_one_line(town: Town) -> None:
    for net in ("<net/>", "no net <edge"):
        with pytest.raises(WorldError, match="SUMO does not take this town"):
            Simulation(net_xml=net, routes_xml="<routes/>", offset_m=(0, 0), seed=1)
    # Nothing is left of the failed ones: another one starts.
    with Simulation(net_xml=town.net_xml, routes_xml="<routes/>", offset_m=(0, 0), seed=1) as empty:
        assert empty.step().vehicles.names == ()


@needs_sumo
def test_parked_vehicles_stand_in_their_rows(town: Town, recorded: Recording) -> None:
    assert len(recorded.parked) > 5
    for parked in recorded.parked:
        assert any(row.buffer(0.5).contains_properly(_point(parked.xy_m)) for row in town.parking)


def _point(xy_m: tuple[float, float]) -> object:
    from shapely import Point

    return Point(xy_m)
