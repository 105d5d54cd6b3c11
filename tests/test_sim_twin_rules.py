"""Laws of twin pairs: the rules that tell from two logs whether they are one, and the list."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from twin_logs import STEPS, T0, bystander, log, nudged, signal_pair, stopped_pair, track

from drivevlm.world.sets import Command
from drivevlm_sim.made_once import WorldError
from drivevlm_sim.scene_log import Lamps, SceneLog
from drivevlm_sim.twins.budget import Offer, PairWish, draw, family_shares, mismatch
from drivevlm_sim.twins.rules import RULES, breaches, cause_is_seen
from drivevlm_sim.twins.twin_pair import Cause, CauseKind, Family, TwinPair
from drivevlm_sim.twins.twins_file import SeenCause, TwinLine, read_twins, write_twins


def broken(pair: TwinPair) -> list[str]:
    return [breach.rule for breach in breaches(pair)]


def with_b_ego(pair: TwinPair, **columns: object) -> TwinPair:
    return replace(pair, b=replace(pair.b, ego=replace(pair.b.ego, **columns)))


def with_b(pair: TwinPair, **fields: object) -> TwinPair:
    return replace(pair, b=replace(pair.b, **fields))


@pytest.mark.parametrize("pair", [stopped_pair(), signal_pair()])
def test_a_good_pair_breaks_no_rule(pair: TwinPair):
    assert broken(pair) == []
    # 3 s of 3 m/s2 from 10 m/s, in steps of 0.1 s: 3 * 0.01 * (1 + 2 + ... + 30) m.
    assert pair.gap_m(3.0) == pytest.approx(13.95)


@pytest.mark.parametrize("step", [T0 - 30, T0 - 1, T0])
@pytest.mark.parametrize("column", ["xy_m", "yaw_rad", "speed_mps", "acceleration_mps2"])
def test_the_ego_is_the_same_to_a_thousandth_for_3_s_before_t0(step: int, column: str):
    pair = stopped_pair()
    values = getattr(pair.b.ego, column)
    assert broken(with_b_ego(pair, **{column: nudged(values, step, 0.0009)})) == []
    assert broken(with_b_ego(pair, **{column: nudged(values, step, 0.0011)})) == ["ego_identical"]


def test_the_rear_axle_counts_as_the_body_does():
    pair = stopped_pair()
    axle_m = pair.b.rear_axle_m
    assert broken(with_b(pair, rear_axle_m=nudged(axle_m, T0, 0.0009))) == []
    assert broken(with_b(pair, rear_axle_m=nudged(axle_m, T0, 0.0011))) == ["ego_identical"]


def test_more_than_3_s_before_t0_the_ego_is_not_compared():
    pair = stopped_pair()
    earlier = nudged(pair.b.ego.xy_m, T0 - 31, 1.0)
    assert broken(with_b_ego(pair, xy_m=earlier)) == []


def test_a_log_that_begins_less_than_3_s_before_t0_shows_too_little():
    assert "ego_identical" in broken(replace(stopped_pair(), t0=29))


def test_t0_is_the_last_step_in_which_the_ego_is_the_same():
    assert "ego_parts_after_t0" in broken(replace(stopped_pair(), t0=T0 - 1))
    assert "ego_identical" in broken(replace(stopped_pair(), t0=T0 + 1))


def test_the_router_says_the_same_in_both():
    pair = stopped_pair()
    other = ("follow",) * T0 + ("left",) * (STEPS - T0)
    assert broken(with_b(pair, command=other)) == ["same_route"]
    assert broken(with_b(pair, route=("A0B0", "B0B1"))) == ["same_route"]
    assert broken(with_b(pair, command_m=np.full(STEPS, 30.0))) == ["same_route"]
    later = ("follow",) * (T0 + 1) + other[T0 + 1 :]
    assert broken(with_b(pair, command=later)) == []


@pytest.mark.parametrize(("first", "wrong"), [(0, []), (1, ["cause_there_in_time"])])
def test_an_obstacle_is_there_4_s_before_t0(first: int, wrong: list[str]):
    pair = stopped_pair()
    late = track("x", np.full(STEPS - first, 65.0), first=first)
    assert broken(with_b(pair, others={"v1": bystander(), "x": late})) == wrong


@pytest.mark.parametrize(("last", "wrong"), [(0, []), (1, ["cause_there_in_time"])])
def test_who_is_taken_away_is_gone_4_s_before_t0(last: int, wrong: list[str]):
    pair = stopped_pair()
    swapped = replace(pair, a=pair.b, b=pair.a)
    leaving = {"v1": bystander(), "x": track("x", np.full(last, 65.0))}
    assert broken(with_b(swapped, others=leaving if last else {"v1": bystander()})) == wrong


def test_a_cause_that_is_in_no_scene_at_t0_is_none():
    pair = stopped_pair()
    assert broken(with_b(pair, others=pair.a.others)) == ["cause_there_in_time", "cause_differs"]


def test_a_leader_that_brakes_differs_by_its_place_or_its_lamps():
    leader = track("x", np.linspace(20, 100, STEPS))
    pair = stopped_pair()
    both = {"v1": bystander(), "x": leader}
    pair = replace(pair, a=replace(pair.a, others=both), b=replace(pair.b, others=both))
    assert broken(pair) == ["cause_differs"]
    lit = leader.lamps.copy()
    lit[T0] = Lamps.BRAKE
    assert broken(with_b(pair, others=both | {"x": replace(leader, lamps=lit)})) == []
    for by_m, wrong in ((0.09, ["cause_differs"]), (0.11, [])):
        closer = replace(leader, xy_m=nudged(leader.xy_m, T0, -by_m))
        assert broken(with_b(pair, others=both | {"x": closer})) == wrong


def test_a_light_that_shows_the_same_at_t0_is_no_cause():
    pair = signal_pair()
    late = ("Gr",) * (T0 + 1) + ("rr",) * (STEPS - T0 - 1)
    assert broken(with_b(pair, signals={"J": late})) == ["cause_differs"]
    lower_case = ("gr",) * STEPS  # green that gives way is green to the eye
    assert broken(with_b(pair, signals={"J": lower_case})) == ["cause_differs"]


@pytest.mark.parametrize("step", [T0 - 30, T0])
@pytest.mark.parametrize(("by_m", "wrong"), [(0.499, []), (0.5, ["others_alike"])])
def test_others_within_60_m_differ_by_less_than_half_a_metre(
    step: int, by_m: float, wrong: list[str]
):
    pair = stopped_pair()
    moved = replace(bystander(), xy_m=nudged(bystander().xy_m, step, by_m))
    others = pair.b.others | {"v1": moved}
    assert broken(with_b(pair, others=others)) == wrong


def test_who_is_further_than_60_m_away_or_moves_after_t0_may_differ():
    pair = stopped_pair()
    far = track("far", np.full(STEPS, 200.0))
    a = replace(pair.a, others=dict(pair.a.others) | {"far": far})
    away = replace(far, xy_m=nudged(far.xy_m, T0, 5.0))
    later = replace(bystander(), xy_m=nudged(bystander().xy_m, T0 + 1, 9.0))
    b = replace(pair.b, others=dict(pair.b.others) | {"far": away, "v1": later})
    assert broken(replace(pair, a=a, b=b)) == []


def test_a_neighbour_that_is_in_one_scene_only_breaks_the_rule():
    pair = stopped_pair()
    assert broken(with_b(pair, others={"x": pair.b.others["x"]})) == ["others_alike"]


def test_no_other_light_differs_up_to_t0():
    pair = signal_pair()
    other = ("Gr",) * 35 + ("rG",) * 46
    assert broken(with_b(pair, signals={"J": other})) == ["signals_alike"]
    later = ("Gr",) * 35 + ("rr",) * 6 + ("rG",) * 40
    assert broken(with_b(pair, signals={"J": later})) == []
    whole_movement = replace(pair, cause=replace(pair.cause, links=(0, 1)))
    assert broken(with_b(whole_movement, signals={"J": other})) == []


def test_the_futures_are_more_than_3_m_apart_3_s_later():
    pair = stopped_pair()
    # The gap after 3 s is 4.65 m for each m/s2.
    for braking, wrong in ((3.0 / 4.65 - 1e-4, ["futures_apart"]), (3.0 / 4.65 + 1e-4, [])):
        b = log("b", braking_mps2=braking, others=tuple(pair.b.others.values()), lights="Gr")
        assert broken(replace(pair, b=b)) == wrong


def test_a_log_that_ends_before_3_s_shows_no_future():
    pair = replace(stopped_pair(), t0=STEPS - 30)
    assert "futures_apart" in broken(pair)


@pytest.mark.parametrize(("braking", "wrong"), [(5.49, []), (5.51, ["no_hard_braking"])])
def test_nobodys_ego_brakes_harder_than_5_5(braking: float, wrong: list[str]):
    pair = stopped_pair()
    others = tuple(pair.b.others.values())
    b = log("b", braking_mps2=braking, others=others, lights="Gr")
    assert broken(replace(pair, b=b)) == wrong
    assert broken(replace(pair, a=b, b=pair.a, cause=pair.cause)) == wrong


def test_braking_that_only_the_speeds_tell_counts():
    pair = stopped_pair()
    smooth = np.zeros(STEPS)
    b = log("b", braking_mps2=6.0, others=tuple(pair.b.others.values()), lights="Gr")
    b = replace(b, ego=replace(b.ego, acceleration_mps2=smooth))
    assert broken(replace(pair, b=b)) == ["no_hard_braking"]


def test_a_cause_of_six_pixels_is_seen():
    assert cause_is_seen(6)
    assert not cause_is_seen(5)


def test_every_rule_has_its_own_name():
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_a_cause_is_a_road_user_or_a_signal():
    with pytest.raises(ValueError, match="a road user or a signal"):
        Cause(CauseKind.SIGNAL)
    with pytest.raises(ValueError, match="own link"):
        Cause(CauseKind.SIGNAL, signal="J", link=2, links=(0, 1))


# The list of pairs.


def line(pair: str = "by-hand/1", **changes: object) -> TwinLine:
    cause = SeenCause(CauseKind.VEHICLE, "CAM_FRONT", 412, 25.0, instance="ab12", there_s=4.0)
    plain = TwinLine(
        pair=pair,
        family=Family.STOPPED_VEHICLE,
        town="by-hand",
        samples=("token_a", "token_b"),
        t0_us=4_000_000,
        cause=cause,
        gap_3s_m=13.95,
    )
    return replace(plain, **changes)


def test_a_line_is_what_the_documentation_says(tmp_path: Path):
    light = SeenCause(CauseKind.SIGNAL, "CAM_FRONT", 9, 31.25, signal="J/0")
    lines = (line(), line("by-hand/2", family=Family.SIGNAL_APPROACH, cause=light))
    write_twins(tmp_path / "twins.jsonl", lines)
    first = (tmp_path / "twins.jsonl").read_text(encoding="utf-8").splitlines()[0]
    assert json.loads(first) == {
        "pair": "by-hand/1",
        "family": "stopped_vehicle",
        "town": "by-hand",
        "samples": ["token_a", "token_b"],
        "t0_us": 4_000_000,
        "cause": {
            "kind": "vehicle",
            "instance": "ab12",
            "camera": "CAM_FRONT",
            "pixels": 412,
            "distance_m": 25.0,
            "there_s": 4.0,
        },
        "gap_3s_m": 13.95,
    }
    assert read_twins(tmp_path / "twins.jsonl") == lines


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"family": "ufo"}, "ufo"),
        ({"samples": ["token_a", "token_a"]}, "both samples"),
        ({"samples": ["token_a"]}, "values"),
        ({"t0_us": 4.5}, "whole number"),
        ({"gap_3s_m": "wide"}, "wide"),
        ({"cause": {"kind": "vehicle"}}, "expected a cause"),
        ({"weather": "fine"}, "expected the keys"),
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, changes: dict[str, object], said: str):
    path = tmp_path / "twins.jsonl"
    write_twins(path, (line(), line("by-hand/2")))
    first, second = path.read_text(encoding="utf-8").splitlines()
    path.write_text(first + "\n" + json.dumps(json.loads(second) | changes) + "\n")
    with pytest.raises(WorldError, match=f"line 2: .*{said}"):
        read_twins(path)


def test_a_pair_is_listed_once(tmp_path: Path):
    write_twins(tmp_path / "twins.jsonl", (line(), line()))
    with pytest.raises(WorldError, match="more than once"):
        read_twins(tmp_path / "twins.jsonl")


# Which pairs are drawn.


def offers(family: Family, count: int, **fields: object) -> list[Offer]:
    plain = Offer("", family, "t1", Command.FOLLOW, 25.0, 9.0)
    return [replace(plain, pair=f"{family.value}/{i:04d}", **fields) for i in range(count)]


def drawn_families(chosen: tuple[str, ...]) -> list[Family]:
    return [Family(name.split("/")[0]) for name in chosen]


def test_families_share_evenly_and_none_holds_more_than_a_quarter():
    supply = [o for family in Family for o in offers(family, 400)]
    drawn = draw(supply, PairWish(pairs=140), seed=0)
    assert family_shares(drawn_families(drawn.chosen)) == dict.fromkeys(sorted(Family), 1 / 7)
    few = offers(Family.STOPPED_VEHICLE, 400) + offers(Family.JAYWALKER, 20)
    assert draw(few, PairWish(pairs=100), seed=0).chosen == ()  # two families cannot share so
    five = [o for family in list(Family)[:5] for o in offers(family, 26)]
    drawn = draw(five + offers(Family.PEDESTRIAN, 2), PairWish(pairs=104), seed=0)
    assert len(drawn.chosen) == 104
    assert max(family_shares(drawn_families(drawn.chosen)).values()) <= 0.25


def test_what_a_rare_family_lacks_is_given_by_others_up_to_their_share():
    rare = offers(Family.PEDESTRIAN, 10)
    others = [o for family in list(Family)[:4] for o in offers(family, 400)]
    drawn = draw(rare + others, PairWish(pairs=200), seed=0)
    shares = family_shares(drawn_families(drawn.chosen))
    assert len(drawn.chosen) == 200
    assert shares[Family.PEDESTRIAN] == 0.05
    assert max(shares.values()) <= 0.25


def test_fewer_pairs_than_wished_keep_the_share_and_are_told():
    supply = [o for family in list(Family)[:4] for o in offers(family, 10)]
    drawn = draw(supply + offers(Family.OPPONENT, 2), PairWish(pairs=100), seed=0)
    assert len(drawn.chosen) == 42
    assert drawn.missing == ("42 pairs of 100",)


def test_approaching_signals_and_left_turns_come_first():
    left = offers(Family.SIGNAL_APPROACH, 30, command=Command.LEFT)
    left = [replace(o, pair=o.pair + "-left") for o in left]
    straight = offers(Family.SIGNAL_APPROACH, 300)
    others = [o for f in Family if f is not Family.SIGNAL_APPROACH for o in offers(f, 300)]
    drawn = draw(left + straight + others, PairWish(200, approaching=50, left_turns=25), seed=0)
    mine = [name for name in drawn.chosen if name.startswith(Family.SIGNAL_APPROACH.value)]
    assert len(mine) == 50
    assert sum(name.endswith("-left") for name in mine) >= 25
    assert drawn.missing == ()


def test_a_wish_that_breaks_its_own_share_is_refused():
    with pytest.raises(ValueError, match="a family may hold 25"):
        PairWish(pairs=100, approaching=26)


def test_bins_of_distance_are_filled_evenly():
    near = offers(Family.STOPPED_VEHICLE, 90, distance_m=10.0)
    far = [replace(o, pair=o.pair + "-far", distance_m=40.0) for o in near[:20]]
    rest = [o for f in Family if f is not Family.STOPPED_VEHICLE for o in offers(f, 90)]
    drawn = draw(near + far + rest, PairWish(pairs=210), seed=0)
    mine = [name for name in drawn.chosen if name.startswith(Family.STOPPED_VEHICLE.value)]
    assert sum(name.endswith("-far") for name in mine) == 15


def test_a_draw_repeats_by_its_seed_in_whatever_order_pairs_are_offered():
    supply = [o for family in Family for o in offers(family, 50)]
    wish = PairWish(pairs=70)
    first = draw(supply, wish, seed=3)
    assert draw(supply[::-1], wish, seed=3) == first
    assert draw(supply, wish, seed=4).chosen != first.chosen


def test_spares_are_the_rest_of_the_same_family():
    supply = [o for family in Family for o in offers(family, 12)]
    drawn = draw(supply, PairWish(pairs=70), seed=0)
    assert {family: len(names) for family, names in drawn.spare.items()} == dict.fromkeys(Family, 2)
    assert not set(drawn.chosen) & {name for names in drawn.spare.values() for name in names}


def test_distances_of_two_splits_are_compared_by_their_cumulative_shares():
    assert mismatch([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]) == 0.0
    assert mismatch([1.0, 2.0], [3.0, 4.0]) == 1.0
    assert mismatch([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 9.0, 9.0]) == 0.5
    assert mismatch([], [1.0]) == 1.0


def test_an_offer_says_what_the_draw_needs_of_a_pair():
    pair: TwinPair = stopped_pair()
    offer = Offer.of(pair)
    assert (offer.family, offer.distance_m, offer.speed_mps) == (
        Family.STOPPED_VEHICLE,
        25.0,
        pytest.approx(10.0),
    )
    assert isinstance(pair.a, SceneLog)
