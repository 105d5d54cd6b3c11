"""Towns: what holds of every one."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import shapely
from shapely import LineString, Point
from town_cases import RECIPES, SMALL, made, net_of

from drivevlm_sim.made_once import WorldError
from drivevlm_sim.nuscenes_names import MAP_SIZES_M
from drivevlm_sim.town.arcs import fitted, heading_rad
from drivevlm_sim.town.make_town import make_town
from drivevlm_sim.town.recipe import Kind, Rule, TownRecipe, town_recipe
from drivevlm_sim.town.street import end_of
from drivevlm_sim.town.town import Control, Prop, Town, Turn


@pytest.fixture(params=list(RECIPES))
def town(request: pytest.FixtureRequest) -> Town:
    return made(request.param)


def test_the_same_recipe_makes_the_same_town_and_another_seed_another_one():
    first, again = made("signals"), make_town(RECIPES["signals"])
    assert first.net_xml == again.net_xml
    assert first.road.wkb == again.road.wkb
    assert first.sidewalk.wkb == again.sidewalk.wkb
    assert first.props == again.props
    assert first.signal_heads == again.signal_heads
    pairs = (
        ([b.polygon.wkb for b in t.buildings], [p.polygon.wkb for p in t.paint])
        for t in (first, again)
    )
    assert next(pairs) == next(pairs)
    other = make_town(TownRecipe(Kind.GRID, seed=7, rule=Rule.SIGNALS, **SMALL))
    assert other.net_xml != first.net_xml
    assert other.name != first.name


def test_a_town_lies_on_its_canvas_and_the_canvas_on_the_devkits(town):
    width, height = town.size_m
    shapes = [town.road, town.sidewalk, *town.parking, *(b.polygon for b in town.buildings)]
    bounds = np.array([shape.bounds for shape in shapes])
    assert bounds.min() > 0
    assert bounds[:, 2].max() < width
    assert bounds[:, 3].max() < height
    assert width < min(size[0] for size in MAP_SIZES_M.values())
    assert height < min(size[1] for size in MAP_SIZES_M.values())


def test_town_coordinates_are_sumos_plus_the_offset(town):
    net = net_of(town)
    for lane in (*town.lanes.values(), *town.connectors.values()):
        first = np.array(net.getLane(lane.name).getShape()[0][:2]) + town.offset_m
        np.testing.assert_allclose(lane.centre_m[0], first, atol=1e-9)


def test_lanes_and_connectors_lie_in_the_road(town):
    for lane in (*town.lanes.values(), *town.connectors.values()):
        strip = LineString(lane.centre_m).buffer(lane.width_m / 2, cap_style="flat")
        assert strip.difference(town.road).area < 0.005 * strip.area, lane.name


def test_every_connector_joins_the_ends_of_its_lanes(town):
    assert town.connectors
    for one in town.connectors.values():
        before, after = town.lanes[one.from_lane], town.lanes[one.to_lane]
        np.testing.assert_allclose(one.centre_m[0], before.centre_m[-1], atol=0.05)
        np.testing.assert_allclose(one.centre_m[-1], after.centre_m[0], atol=0.05)
        assert one.name in before.successors
        assert one.parts[0] == one.name
        assert one.junction in town.junctions
    ends = {name for lane in town.lanes.values() for name in lane.successors}
    assert ends == set(town.connectors)


def test_road_sidewalk_and_parking_do_not_overlap(town):
    rows = shapely.union_all(list(town.parking))
    assert town.road.intersection(town.sidewalk).area < 0.1
    assert rows.intersection(town.road).area < 0.1
    assert rows.intersection(town.sidewalk).area < 0.1
    assert rows.area > 0


def test_buildings_stand_clear_of_road_sidewalk_and_each_other(town):
    paved = shapely.union_all([town.road, town.sidewalk, *town.parking])
    assert len(town.buildings) > 20
    tree = shapely.STRtree([house.polygon for house in town.buildings])
    for k, house in enumerate(town.buildings):
        assert house.polygon.distance(paved) > 1.0
        assert list(tree.query(house.polygon, predicate="intersects")) == [k]


def test_what_stands_about_stands_off_the_road(town):
    driven = shapely.union_all([town.road, *town.parking])
    kinds = {prop.kind for prop in town.props}
    assert {"tree", "lamp"} <= kinds
    for prop in town.props:
        assert driven.distance(Point(prop.xyz_m[:2])) > 0.2, prop


def test_every_signal_head_shows_a_link_of_its_approach(town):
    plans = {light.getID(): light for light in net_of(town).getTrafficLights()}
    for head in town.signal_heads:
        (program,) = plans[head.signal].getPrograms().values()
        assert all(head.link < len(phase.state) for phase in program.getPhases())
        own = (head.signal, head.link)
        shown = [c for c in town.connectors.values() if (c.signal, c.link) == own]
        assert {town.lanes[c.from_lane].edge for c in shown} == {head.approach}
        assert head.turn in {c.turn for c in shown}


def test_every_approach_with_signals_sees_heads_ahead_that_face_it(town):
    signalled = {town.lanes[c.from_lane].edge for c in town.connectors.values() if c.signal}
    assert signalled == {head.approach for head in town.signal_heads}
    for edge in signalled:
        lanes = sorted((x for x in town.lanes.values() if x.edge == edge), key=lambda x: x.index)
        back = end_of(lanes[0].centre_m).apply(np.array([-20.0, 0.0]))
        heads = [head for head in town.signal_heads if head.approach == edge]
        assert len(heads) >= 2
        for head in heads:
            way = back - np.array(head.xyz_m[:2])
            looks = np.array([np.cos(head.yaw_rad), np.sin(head.yaw_rad)])
            assert looks @ way / np.hypot(*way) > 0.75
        across = Turn.RIGHT if town.left_hand else Turn.LEFT
        turns = {c.turn for c in town.connectors.values() if c.from_lane in {x.name for x in lanes}}
        assert (across in turns) == any(head.turn is across for head in heads)


def test_signs_tell_who_waits(town):
    kinds = {Control.PRIORITY: "stop_sign", Control.ALL_WAY_STOP: "stop_sign"}
    kinds[Control.YIELD] = "yield_sign"
    for mark in town.stop_marks:
        lane = town.lanes[mark.lane]
        ways_on = [town.connectors[name] for name in lane.successors]
        near = [p.kind for p in town.props if distance(p, lane.centre_m[-1]) < 18]
        if mark.control in kinds:
            assert kinds[mark.control] in near, mark.lane
        else:
            assert mark.control is Control.SIGNALS
            assert all(c.signal for c in ways_on)
    unmarked = set(town.lanes) - {mark.lane for mark in town.stop_marks}
    for name in unmarked:
        edge = town.lanes[name].edge
        ways_on = [c for c in town.connectors.values() if town.lanes[c.from_lane].edge == edge]
        assert not ways_on or any(not c.yields for c in ways_on), name


def test_towns_without_signals_have_stop_signs_yield_signs_and_crossings():
    town = made("priority")
    controls = {mark.control for mark in town.stop_marks}
    assert controls == {Control.PRIORITY, Control.ALL_WAY_STOP, Control.YIELD}
    assert not town.signal_heads
    assert town.crossings


@pytest.mark.parametrize(("name", "side"), [("signals", 1), ("roundabout", 1), ("left_hand", -1)])
def test_oncoming_traffic_passes_on_the_left_and_on_the_right_where_one_drives_left(name, side):
    """Side: 1 where oncoming lanes are to one's left."""
    town = made(name)
    net = net_of(town)
    by_ends = {
        (edge.getFromNode().getID(), edge.getToNode().getID()): edge.getID()
        for edge in net.getEdges(withInternal=False)
    }
    two_way = 0
    for (a, b), edge in by_ends.items():
        if (b, a) not in by_ends:
            continue
        two_way += 1
        own, other = (
            next(lane for lane in town.lanes.values() if lane.edge == name)
            for name in (edge, by_ends[b, a])
        )
        left_m = end_of(own.centre_m).inverse().apply(other.centre_m[0])[1]
        assert np.sign(left_m) == side
        assert np.sign(sidewalk_side_m(net, edge)) == -side
    assert two_way > 6


@pytest.mark.parametrize(("name", "turn"), [("roundabout", 1), ("left_hand", -1)])
def test_roundabouts_turn_counter_clockwise_and_clockwise_where_one_drives_left(name, turn):
    town = made(name)
    rings = net_of(town).getRoundabouts()
    assert rings
    for ring in rings:
        lanes = [lane for lane in town.lanes.values() if lane.edge in ring.getEdges()]
        middle = np.mean([lane.centre_m.mean(axis=0) for lane in lanes], axis=0)
        for lane in lanes:
            out, way = lane.centre_m[0] - middle, lane.centre_m[-1] - lane.centre_m[0]
            assert np.sign(out[0] * way[1] - out[1] * way[0]) == turn


def test_poles_stand_on_the_kerbs_side(town):
    """The near one beside the lane at the kerb; the far one's arm reaches over the road."""
    outward = 1 if town.left_hand else -1
    near = [p for p in town.props if p.kind == "pole" and p.variant == 1]
    far = [p for p in town.props if p.kind == "pole" and p.variant == 0]
    assert len(near) == len(far) == len({head.approach for head in town.signal_heads})
    for pole, edge in zip(near, sorted({h.approach for h in town.signal_heads}), strict=True):
        lanes = [lane for lane in town.lanes.values() if lane.edge == edge]
        kerb = min(lanes, key=lambda lane: lane.index)
        left_m = end_of(kerb.centre_m).inverse().apply(np.array(pole.xyz_m[:2]))[1]
        assert np.sign(left_m) == outward
        assert abs(left_m) > kerb.width_m / 2
    assert all(np.sign(pole.reach_m) == -outward for pole in far)


def test_a_curve_of_arcs_stays_near_its_polyline_and_keeps_both_ends():
    angles = np.linspace(0, np.pi / 2, 13)
    bend = np.column_stack([8 * np.sin(angles), 8 - 8 * np.cos(angles)])
    line = np.vstack([[-20.0, 0.0], bend, [8.0, 30.0]])
    curve = fitted(line, start_yaw_rad=0.0, end_yaw_rad=heading_rad(line, at_end=True))
    points = curve.line_m(step_m=0.2)
    assert shapely.distance(shapely.points(points), LineString(line)).max() < 0.08
    assert shapely.distance(shapely.points(line), LineString(points)).max() < 0.08
    end = curve.end
    np.testing.assert_allclose([end.x_m, end.y_m, end.yaw_rad], [8, 30, np.pi / 2], atol=1e-6)
    straight = fitted(np.array([[0.0, 0.0], [50.0, 0.0]]), start_yaw_rad=0.0, end_yaw_rad=0.0)
    assert straight.length_m == pytest.approx(50.0)
    assert all(arc.straight for arc in straight.arcs)


def test_a_third_of_the_towns_have_priority_junctions_alone():
    recipes = [town_recipe(seed) for seed in range(24)]
    assert sum(recipe.rule is Rule.PRIORITY for recipe in recipes) * 3 >= 24
    assert {recipe.kind for recipe in recipes} == set(Kind)
    assert any(recipe.left_hand for recipe in recipes)
    assert len({recipe.name for recipe in recipes}) == 24
    assert recipes == [town_recipe(seed) for seed in range(24)]


def test_an_impossible_recipe_is_refused_in_one_line():
    with pytest.raises(WorldError, match=r"lanes lies in 1 to 3, got 5"):
        TownRecipe(lanes=5)


def test_missing_sumo_ends_in_one_line_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "sumo", None)
    with pytest.raises(WorldError, match=r"pip install .*\[sim\]") as caught:
        make_town(RECIPES["signals"])
    assert "\n" not in str(caught.value)


def test_towns_are_imported_without_sumo():
    code = (
        "import sys, drivevlm_sim.town.make_town, drivevlm_sim.town.map_layers\n"
        "sys.exit(bool({'sumo', 'sumolib', 'libsumo'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def sidewalk_side_m(net, edge: str) -> float:
    """How far left of the lane at the kerb its sidewalk lies."""
    lanes = net.getEdge(edge).getLanes()
    kerb = next(lane for lane in lanes if lane.allows("passenger"))
    line = np.array(kerb.getShape())[:, :2]
    return float(end_of(line).inverse().apply(np.array(lanes[0].getShape()[-1][:2]))[1])


def distance(prop: Prop, xy_m) -> float:
    return float(np.hypot(*(np.array(prop.xyz_m[:2]) - xy_m)))
