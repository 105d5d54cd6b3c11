"""Exact outlines against each other and against areas, many clips at once."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from drivevlm.metrics.footprints import Footprints
from drivevlm.metrics.polygons import AreaSurface, PolygonSurface
from drivevlm.metrics.surface import EgoBox, Paths

EGO = EgoBox(length_m=4.0, width_m=2.0, ahead_m=1.0)
"""From 1 m behind the point to 3 m ahead of it, 1 m to each side."""


def box_at(x_m: float, y_m: float, *, yaw_rad: float = 0.0, step: int = 0) -> Footprints:
    """One 2 x 1 m rectangle."""
    return Footprints(
        np.array([step]), np.array([[x_m, y_m]]), np.array([yaw_rad]), np.array([[2.0, 1.0]])
    )


def at(x_m: float, y_m: float, yaw_rad: float = 0.0) -> Paths:
    """One clip of one step."""
    return Paths(np.array([[[x_m, y_m]]]), np.array([[yaw_rad]]))


def hits(paths: Paths, *parts: Footprints) -> list[list[bool]]:
    layer = PolygonSurface(lambda truth: parts[0], EGO).join(parts)
    return layer.touched(paths).tolist()


def outside(paths: Paths, *areas: shapely.Geometry) -> list[list[bool]]:
    surface = AreaSurface(lambda truth: areas[0], EGO)
    return surface.join([shapely.to_wkb(area) for area in areas]).touched(paths).tolist()


def test_rectangles_that_only_touch_meet():
    for x_m, hit in ((4.0, True), (4.0 + 1e-6, False)):
        assert hits(at(0, 0), box_at(x_m, 0.0)) == [[hit]]


def test_corner_to_corner_is_a_touch():
    assert hits(at(0, 0), box_at(4.0, 1.5)) == [[True]]
    assert hits(at(0, 0), box_at(4.0, 1.501)) == [[False]]


def test_a_rectangle_inside_another_meets_it():
    assert hits(at(0, 0), box_at(1.0, 0.0)) == [[True]]
    big = Footprints(np.zeros(1, int), np.zeros((1, 2)), np.zeros(1), np.array([[50.0, 50.0]]))
    assert hits(at(0, 0), big) == [[True]]


def test_the_centre_swings_with_the_heading():
    """Turned left by 90 degrees, the ego reaches from y = -1 to y = 3 and from x = -1 to x = 1."""
    for y_m, hit in ((3.4, True), (3.6, False), (-1.4, True), (-1.6, False)):
        assert hits(at(0, 0, np.pi / 2), box_at(0.0, y_m)) == [[hit]]
    assert hits(at(0, 0, np.pi / 2), box_at(1.9, 0.0)) == [[True]]
    assert hits(at(0, 0, np.pi / 2), box_at(2.1, 0.0)) == [[False]]


def test_the_other_rectangle_may_be_turned_too():
    """2 m long and 3.9 m ahead: along the road its end is at 2.9, across the road at 3.4."""
    assert hits(at(0, 0), box_at(3.9, 0.0)) == [[True]]
    assert hits(at(0, 0), box_at(3.9, 0.0, yaw_rad=np.pi / 2)) == [[False]]


def test_each_step_of_each_clip_meets_its_own_rectangles_only():
    paths = Paths(np.zeros((3, 2, 2)), np.zeros((3, 2)))
    parts = (box_at(0, 0, step=1), box_at(99, 0), box_at(0, 0, step=0))
    assert hits(paths, *parts) == [[False, True], [False, False], [True, False]]


def test_clips_without_anybody_and_no_clips_at_all():
    nobody = Footprints(np.zeros(0, int), np.zeros((0, 2)), np.zeros(0), np.zeros((0, 2)))
    assert hits(at(0, 0), nobody) == [[False]]
    surface = PolygonSurface(lambda truth: nobody, EGO)
    assert surface.join([]).touched(Paths(np.zeros((0, 6, 2)), np.zeros((0, 6)))).shape == (0, 6)


def test_a_place_that_is_not_known_touches_nothing():
    for paths in (at(np.nan, 0), at(0, 0, np.nan)):
        assert hits(paths, box_at(0, 0)) == [[False]]
        assert outside(paths, shapely.Polygon()) == [[False]]


def test_road_users_of_more_steps_than_the_path_are_an_error():
    with pytest.raises(ValueError, match="road users of 3 steps, paths of 1"):
        hits(at(0, 0), box_at(0, 0, step=2))


def test_an_area_is_left_as_soon_as_a_corner_lies_outside_and_its_border_belongs_to_it():
    area = shapely.box(-1, -1, 3, 1)
    assert outside(at(0, 0), area) == [[False]]
    assert outside(at(1e-6, 0), area) == [[True]]
    assert outside(at(0, 0, 0.01), area) == [[True]]


def test_an_area_with_a_hole_under_the_ego_is_left():
    hole = shapely.box(1.0, 0.0, 1.1, 0.1)
    assert outside(at(0, 0), shapely.box(-9, -9, 9, 9)) == [[False]]
    assert outside(at(0, 0), shapely.box(-9, -9, 9, 9).difference(hole)) == [[True]]


def test_where_there_is_no_area_everything_is_outside():
    assert outside(at(0, 0), shapely.Polygon()) == [[True]]


def test_each_clip_has_its_own_area():
    paths = Paths(np.zeros((2, 2, 2)), np.zeros((2, 2)))
    assert outside(paths, shapely.box(-9, -9, 9, 9), shapely.box(5, 5, 9, 9)) == [
        [False, False],
        [True, True],
    ]


def random_clips(
    n: int,
) -> tuple[Paths, PolygonSurface, list[Footprints], AreaSurface, list[bytes]]:
    rng = np.random.default_rng(1)
    paths = Paths(rng.normal(0, 4, (n, 6, 2)), rng.uniform(-4, 4, (n, 6)))
    parts = []
    for count in rng.integers(0, 9, n):
        size_lw_m = rng.uniform(0.5, 6, (count, 2))
        place = rng.normal(0, 4, (count, 2)), rng.uniform(-4, 4, count)
        parts.append(Footprints(rng.integers(0, 6, count), *place, size_lw_m))
    areas = [shapely.to_wkb(shapely.Point(0, 0).buffer(radius)) for radius in rng.uniform(3, 12, n)]
    surfaces = PolygonSurface(lambda truth: parts[0], EGO), AreaSurface(lambda truth: areas[0], EGO)
    return paths, surfaces[0], parts, surfaces[1], areas


def test_many_clips_at_once_give_what_each_gives_alone():
    paths, agents, parts, road, areas = random_clips(60)
    for surface, each in ((agents, parts), (road, areas)):
        together = surface.join(each).touched(paths)
        assert 0.1 < together.mean() < 0.9
        for i in range(60):
            alone = Paths(paths.xy_m[i : i + 1], paths.yaw_rad[i : i + 1])
            np.testing.assert_array_equal(
                surface.join(each[i : i + 1]).touched(alone)[0], together[i]
            )


def test_a_layer_survives_its_plain_arrays_and_gives_some_of_its_clips(tmp_path):
    paths, agents, parts, road, areas = random_clips(20)
    rows = np.array([7, 3, 3, 19])
    for surface, each in ((agents, parts), (road, areas)):
        layer = surface.join(each)
        np.savez(tmp_path / "layer.npz", **layer.arrays())
        with np.load(tmp_path / "layer.npz", allow_pickle=False) as stored:
            again = surface.load(dict(stored))
        whole = layer.touched(paths)
        np.testing.assert_array_equal(again.touched(paths), whole)
        some = Paths(paths.xy_m[rows], paths.yaw_rad[rows])
        np.testing.assert_array_equal(again.take(rows).touched(some), whole[rows])


def test_a_layer_of_no_clips_survives_its_plain_arrays():
    none = Paths(np.zeros((0, 6, 2)), np.zeros((0, 6)))
    _, agents, _, road, _ = random_clips(1)
    for surface in (agents, road):
        assert surface.load(surface.join([]).arrays()).touched(none).shape == (0, 6)
