"""Kinds of clips, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import reference
from metrics_cases import road, straight
from reference.public import public_truths, split
from reference.tables import truths
from reference.worlds import pose, quaternion

from drivevlm.metrics.splits import SPLITS, splits_of
from drivevlm.world.truth import Truth


def ending(truth: Truth, *, x_m: float = 12.0, y_m: float = 0.0, yaw_rad: float = 0.0) -> Truth:
    """The same drive with another pose at 3 s."""
    last = replace(truth.steps[6], global_from_ego=pose(quaternion(yaw_rad), [x_m, y_m, 0.0]))
    return replace(truth, steps={**truth.steps, 6: last})


@pytest.mark.parametrize(
    ("y_m", "name"),
    [
        (2.001, "command_left"),
        (1.999, "command_straight"),
        (-1.999, "command_straight"),
        (-2.001, "command_right"),
    ],
)
def test_two_metres_aside_are_a_command(y_m: float, name: str):
    found = splits_of(ending(road(), y_m=y_m))
    assert [n for n in found if n.startswith("command")] == [name]


def test_commands_are_those_that_the_peers_code_gave():
    for token in split().tokens:
        truth = public_truths()[token]
        flags = split().expected(token)["cmd_vad_right_left_straight"]
        if truth.future_valid.all():
            name = ("command_right", "command_left", "command_straight")[int(np.argmax(flags))]
            assert name in splits_of(truth)


@pytest.mark.parametrize(
    ("yaw_rad", "name"),
    [(0.35, "turning"), (-0.35, "turning"), (0.349, "straight"), (-0.349, "straight")],
)
def test_twenty_degrees_within_3_s_are_a_turn(yaw_rad: float, name: str):
    found = splits_of(ending(road(), yaw_rad=yaw_rad))
    assert [n for n in found if n in ("turning", "straight")] == [name]


@pytest.mark.parametrize(("speed_mps", "name"), [(0.49, "standing"), (0.51, "moving")])
def test_below_half_a_metre_per_second_the_ego_stands(speed_mps: float, name: str):
    """In a scene's first keyframe, of which only the step after is known."""
    found = splits_of(road(speed_mps=speed_mps))
    assert [n for n in found if n in ("standing", "moving")] == [name]


def test_whether_the_ego_stands_is_asked_of_the_half_second_before():
    """It arrives at 4 m/s and then stands."""
    before = replace(
        road().steps[0], stamp_us=-500_000, global_from_ego=pose(quaternion(0.0), [-2.0, 0.0, 0.0])
    )
    stands = road(speed_mps=0.0)
    assert "standing" in splits_of(stands)
    assert "moving" in splits_of(replace(stands, steps={-1: before, **stands.steps}))


def test_reversing_is_moving():
    assert "moving" in splits_of(road(speed_mps=-1.0))


@pytest.mark.parametrize(
    ("description", "names"),
    [
        ("", set()),
        ("Parked truck, construction, turn left", {"day"}),
        ("Night, difficult lighting, wait at intersection", {"night"}),
        ("Drive at night after RAIN", {"night", "rain"}),
        ("Rain, windshield wipers", {"day", "rain"}),
        ("Raining, many peds", {"day", "rain"}),
        ("Cross the train tracks, knights' statue", {"day"}),
    ],
)
def test_the_description_tells_light_and_weather(description: str, names: set[str]):
    found = splits_of(replace(road(), description=description))
    assert {n for n in found if n in ("day", "night", "rain")} == names


@pytest.mark.parametrize(("off_m", "fails"), [(2.0, False), (2.001, True)])
def test_constant_velocity_fails_where_it_ends_more_than_2_m_off(off_m: float, fails: bool):
    path_m = straight(4.0).xy_ego_m
    truth = ending(road(), x_m=12.0 + off_m)
    assert ("constant_velocity_fails" in splits_of(truth, path_m)) is fails


def test_an_onset_is_where_neither_speed_nor_acceleration_gives_it_away():
    """Both motions end 3 m off; or one of them is right."""
    off, right = straight(5.0).xy_ego_m, straight(4.0).xy_ego_m
    assert "onset" in splits_of(road(), off, off)
    assert "onset" not in splits_of(road(), off, right)
    assert "onset" not in splits_of(road(), right, off)
    assert "onset" not in splits_of(road(), off, None)


def test_only_the_end_of_constant_velocity_is_asked():
    path_m = straight(4.0).xy_ego_m.copy()
    path_m[:5] += 50.0
    assert "constant_velocity_fails" not in splits_of(road(), path_m)


def test_what_is_not_recorded_is_of_no_kind():
    far_m = np.full((6, 2), 99.0)
    short = splits_of(road(future=5), far_m)
    assert "command_straight" in short
    assert not {"turning", "straight", "constant_velocity_fails"} & set(short)
    assert "constant_velocity_fails" not in splits_of(road(), None)
    assert splits_of(road(future=0), far_m) == ()


def test_a_path_of_another_length_is_an_error():
    with pytest.raises(ValueError, match=r"clip clip: a path must be \(6, 2\), got \(5, 2\)"):
        splits_of(road(), np.zeros((5, 2)))


def test_names_come_in_the_order_of_tables():
    names = [*SPLITS]
    truth = replace(road(), description="Night, rain")
    found = splits_of(truth, np.full((6, 2), 99.0))
    assert list(found) == sorted(found, key=names.index)
    assert len(found) == 6


def test_real_scenes_hold_clips_of_many_kinds():
    found = truths(reference("nuscenes_mini_real") / "v1.0-mini").values()
    names = {name for truth in found for name in splits_of(truth)}
    commands = {"command_left", "command_right", "command_straight"}
    assert {*commands, "turning", "straight", "moving"} <= names
