"""What the unmodified devkit finds in the map of a town."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from shapely import LineString
from town_cases import made

from drivevlm_sim.make.places import joined, placed
from drivevlm_sim.map_layers import MapLayers, StopKind
from drivevlm_sim.nuscenes_map import rounded
from drivevlm_sim.nuscenes_writer import NuScenesWriter
from drivevlm_sim.tokens import token
from drivevlm_sim.town.make_town import make_town
from drivevlm_sim.town.map_layers import town_layers
from drivevlm_sim.town.recipe import town_recipe
from drivevlm_sim.town.street import end_of
from drivevlm_sim.town.town import Town


def location_of(town: Town) -> str:
    return "singapore-onenorth" if town.left_hand else "boston-seaport"


@pytest.fixture(scope="module", params=["signals", "priority", "roundabout", "left_hand"])
def mapped(request, tmp_path_factory) -> tuple[Town, MapLayers, Any]:
    map_api = pytest.importorskip("nuscenes.map_expansion.map_api")
    town = made(request.param)
    layers = town_layers(town, location_of(town))
    root: Path = tmp_path_factory.mktemp("map")
    with NuScenesWriter(root, version="v1.0-x", about="Synthetic.") as writer:
        writer.add_map(layers)
        writer.finish({})
    return town, layers, map_api.NuScenesMap(dataroot=str(root), map_name=layers.location)


def test_the_devkit_loads_every_layer_with_valid_polygons(mapped):
    town, _, devkit = mapped
    assert all(devkit.extract_polygon(row["token"]).is_valid for row in devkit.polygon)
    empty = {layer for layer in devkit.non_geometric_layers if not getattr(devkit, layer)}
    expected = {"road_block"} | ({"traffic_light"} if not town.signal_heads else set())
    assert empty - {"lane_divider"} == expected
    assert len(devkit.lane_divider) == len(town.lane_dividers)
    assert len(devkit.lane) == len(town.lanes)
    assert len(devkit.lane_connector) == len(town.connectors)
    assert len(devkit.traffic_light) == len(town.signal_heads)


def test_every_lane_lies_on_a_lane_a_road_segment_and_the_drivable_area(mapped):
    town, _, devkit = mapped
    for lane in list(town.lanes.values())[::5]:
        x, y = np.array(LineString(lane.centre_m).interpolate(0.5, normalized=True).coords[0])
        found = devkit.layers_on_point(x, y)
        assert found["lane"]
        assert found["road_segment"]
        assert found["drivable_area"]
        assert not found["walkway"]


def test_lane_arclines_stay_within_a_tenth_of_a_metre(mapped):
    arclines = pytest.importorskip("nuscenes.map_expansion.arcline_path_utils")
    town, layers, devkit = mapped
    ways = {**town.lanes, **town.connectors}
    tokens = {lane.name: token(layers.location, "lane", lane.name) for lane in layers.lanes}
    for name, way in ways.items():
        path = arclines.discretize_lane(devkit.get_arcline_path(tokens[name]), 0.5)
        points = np.array(path)[:, :2]
        assert shapely.distance(shapely.points(points), LineString(way.centre_m)).max() < 0.1, name
        assert shapely.distance(shapely.points(way.centre_m), LineString(points)).max() < 0.1, name


def test_every_lane_leads_to_its_junction_and_to_its_connectors(mapped):
    town, layers, devkit = mapped
    tokens = {lane.name: token(layers.location, "lane", lane.name) for lane in layers.lanes}
    for lane in town.lanes.values():
        after = {tokens[name] for name in lane.successors}
        assert set(devkit.get_outgoing_lane_ids(tokens[lane.name])) == after
    ending = [lane for lane in town.lanes.values() if lane.successors]
    for lane in ending[::3]:
        x, y = end_of(lane.centre_m).apply(np.array([-1.0, 0.0]))
        following = devkit.get_next_roads(x, y)["road_segment"]
        segments = [devkit.get("road_segment", one) for one in following]
        assert any(segment["is_intersection"] for segment in segments), lane.name


def test_stop_lines_name_their_lights(mapped):
    town, layers, devkit = mapped
    kinds = {line.kind for line in layers.stop_lines}
    assert (StopKind.TRAFFIC_LIGHT in kinds) == bool(town.signal_heads)
    for row in devkit.stop_line:
        if row["stop_line_type"] == "TRAFFIC_LIGHT":
            assert len(row["cue"]) >= 2
    marked = len(town.stop_marks)
    others = [line.kind for line in layers.stop_lines[marked:]]
    assert set(others) <= {StopKind.PED_CROSSING}


def test_areas_stay_valid_when_rounded(mapped):
    _, layers, _ = mapped
    for polygon in layers.polygons():
        (same,) = rounded(polygon)
        assert same.is_valid
        assert same.symmetric_difference(polygon).area < 0.01 + 0.002 * polygon.length


def test_towns_on_one_canvas_keep_their_lights():
    towns = [made("signals"), made("random")]
    places = placed([(town.name, town.left_hand, town.size_m) for town in towns])
    parts = [(t.name, town_layers(t, "boston-seaport"), places[t.name]) for t in towns]
    both = joined("boston-seaport", parts)
    assert len(both.traffic_lights) == sum(len(town.signal_heads) for town in towns)
    last, head = both.traffic_lights[-1], towns[1].signal_heads[-1]
    moved_m = np.array(last.xyz_m[:2]) - np.array(head.xyz_m[:2])
    np.testing.assert_allclose(moved_m, places[towns[1].name].offset_m)
    assert any(len(line.lights) >= 2 for line in both.stop_lines)


@pytest.mark.part
@pytest.mark.parametrize("seed", range(12))
def test_drawn_recipes_make_towns_whose_lanes_meet_their_junctions(seed):
    recipe = town_recipe(seed)
    town = make_town(recipe)
    layers = town_layers(town, location_of(town))
    assert all(polygon.is_valid for polygon in layers.polygons())
    corners = {
        (round(x, 3), round(y, 3))
        for segment in layers.road_segments
        if segment.is_intersection
        for x, y in segment.polygon.exterior.coords
    }
    for lane in layers.lanes:
        if lane.connector or not lane.successors:
            continue
        for x, y in (lane.left_m[-1], lane.right_m[-1]):
            assert (round(float(x), 3), round(float(y), 3)) in corners, lane.name
    for way in (*town.lanes.values(), *town.connectors.values()):
        strip = LineString(way.centre_m).buffer(way.width_m / 2, cap_style="flat")
        assert strip.difference(town.road).area < 0.005 * strip.area, way.name
