"""Polygons on a grid."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from reference import slow_planning as slow

from drivevlm.metrics.grids import Block
from drivevlm.metrics.raster import Grid, covered, draw_lines, fill, fill_rings
from drivevlm.metrics.uniad import PEERS_EGO, PEERS_GRID


def rectangles(rng: np.random.Generator, count: int, *, middle: float, spread: float) -> np.ndarray:
    """(N, 4, 2) turned rectangles on the lattice, of all sizes down to a point."""
    half = rng.uniform(0.2, 12, (count, 1, 2))
    flat = half * np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]])
    yaw = rng.uniform(-np.pi, np.pi, (count, 1))
    cos, sin = np.cos(yaw), np.sin(yaw)
    x, y = flat[..., 0], flat[..., 1]
    turned = np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)
    return np.round(turned + middle + rng.uniform(-spread, spread, (count, 1, 2))).astype(np.int64)


def one(corners_rc: np.ndarray, cells: int = 200) -> np.ndarray:
    return fill(corners_rc[None], np.zeros(1, np.int64), layers=1, cells=cells)[0]


def test_a_small_polygon_is_what_it_covers_and_its_outline():
    diamond = np.array([[2, 0], [4, 2], [2, 4], [0, 2]])
    drawn = one(diamond, cells=5)
    rows = ["..#..", ".###.", "#####", ".###.", "..#.."]
    assert ["".join(".#"[int(cell)] for cell in row) for row in drawn] == rows


def test_a_line_rounds_down_when_exactly_between_two_cells():
    flat = np.array([[0, 0], [1, 2], [1, 2], [0, 0]])
    assert np.argwhere(one(flat, cells=3)).tolist() == [[0, 0], [0, 1], [1, 2]]


def test_drawing_equals_cell_by_cell_drawing():
    for corners_rc in rectangles(np.random.default_rng(0), 80, middle=100, spread=60):
        expected = np.zeros((200, 200), dtype=bool)
        slow.draw(expected, [(int(c), int(r)) for r, c in corners_rc])
        np.testing.assert_array_equal(one(corners_rc), expected)


OPENCV_OF_THIN_POLYGONS = pytest.mark.skipif(
    (4, 8) <= tuple(int(part) for part in cv2.__version__.split(".")[:2]) <= (4, 10),
    reason="OpenCV 4.8 to 4.10 draws fatter polygons",
)


@OPENCV_OF_THIN_POLYGONS
def test_on_the_grid_drawing_equals_opencv():
    rng = np.random.default_rng(1)
    anything = rng.integers(2, 40, (1000, 4, 2))
    for corners_rc in (*rectangles(rng, 1000, middle=32, spread=10), *anything):
        expected = np.zeros((64, 64), np.uint8)
        if corners_rc.min() < 0 or corners_rc.max() > 63:
            continue
        cv2.fillPoly(expected, [corners_rc[:, ::-1].astype(np.int32)], 1)
        np.testing.assert_array_equal(one(corners_rc, cells=64), expected.astype(bool))


def test_an_upright_polygon_is_cut_at_the_border():
    for corners_rc in np.random.default_rng(2).integers(-20, 84, (100, 2, 2)):
        (r0, c0), (r1, c1) = corners_rc
        upright = np.array([[r0, c0], [r0, c1], [r1, c1], [r1, c0]])
        on_larger = one(upright + 64, cells=192)[64:128, 64:128]
        np.testing.assert_array_equal(one(upright, cells=64), on_larger)


def test_the_outline_of_a_turned_polygon_bends_a_little_where_it_is_cut():
    """As in OpenCV up to 4.7: the edge's line is cut first, to whole cells, and then walked."""
    corners_rc = np.array([[13, -5], [-6, 3], [-1, 13], [17, 5]])
    on_larger = one(corners_rc + 64, cells=192)[64:128, 64:128]
    changed = np.argwhere(one(corners_rc, cells=64) != on_larger)
    assert changed.tolist() == [[0, 0], [1, 0], [1, 13], [3, 12], [5, 11], [7, 10]]
    for corners_rc in rectangles(np.random.default_rng(2), 300, middle=0, spread=6):
        on_larger = one(corners_rc + 64, cells=192)[64:128, 64:128]
        assert (one(corners_rc, cells=64) != on_larger).sum() <= 12


def test_many_polygons_at_once_are_drawn_as_one_by_one():
    corners_rc = rectangles(np.random.default_rng(3), 60, middle=30, spread=50)
    layer = np.arange(60) % 3
    together = fill(corners_rc, layer, layers=3, cells=64)
    for k in range(3):
        single = [one(corners_rc[i], cells=64) for i in np.flatnonzero(layer == k)]
        np.testing.assert_array_equal(together[k], np.logical_or.reduce(single))


def test_no_polygon_leaves_the_grid_empty():
    empty = fill(np.zeros((0, 4, 2), np.int64), np.zeros(0, np.int64), layers=6, cells=8)
    assert empty.shape == (6, 8, 8)
    assert not empty.any()


def test_half_way_between_lattice_points_the_even_one_is_taken():
    assert Grid(0.5, 200).lattice(np.array([-49.75, -49.25, 0.1])).tolist() == [0, 2, 100]


def test_the_ego_is_a_block_of_32_cells():
    block = Block(PEERS_GRID, PEERS_EGO).block()
    assert len(block) == 32
    assert block.min(axis=0).tolist() == [97, 98]
    assert block.max(axis=0).tolist() == [104, 101]


def test_the_cells_of_each_polygon_are_those_that_are_drawn():
    corners_rc = rectangles(np.random.default_rng(4), 200, middle=32, spread=60)
    rows, columns = covered(corners_rc, cells=64)
    assert rows.shape == columns.shape
    for polygon, row, column in zip(corners_rc, rows, columns, strict=True):
        drawn = {(r, c) for r, c in np.argwhere(one(polygon, cells=64)).tolist()}
        assert set(zip(row.tolist(), column.tolist(), strict=True)) == (drawn or {(-1, -1)})


def test_rings_draw_what_the_same_polygons_draw():
    for corners_rc in rectangles(np.random.default_rng(5), 300, middle=32, spread=50):
        ring = np.concatenate([corners_rc, corners_rc[:1]])
        np.testing.assert_array_equal(
            fill_rings([ring], cells=64), one(corners_rc, cells=64), err_msg=str(corners_rc)
        )
    assert not fill_rings([], cells=4).any()


def test_a_ring_in_a_ring_leaves_a_hole_without_its_outline():
    outer = np.array([[0, 0], [0, 6], [6, 6], [6, 0], [0, 0]])
    inner = np.array([[2, 2], [2, 4], [4, 4], [4, 2], [2, 2]])
    drawn = fill_rings([outer, inner], cells=7)
    assert np.argwhere(~drawn).tolist() == [[3, 3]]


@OPENCV_OF_THIN_POLYGONS
def test_on_the_grid_rings_and_lines_equal_opencv():
    rng = np.random.default_rng(6)
    for _ in range(300):
        rings = [rng.integers(2, 62, (rng.integers(3, 12), 2)) for _ in range(rng.integers(1, 4))]
        closed = [np.concatenate([ring, ring[:1]]) for ring in rings]
        filled, lines = np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint8)
        flipped = [ring[:, ::-1].astype(np.int32) for ring in rings]
        cv2.fillPoly(filled, flipped, 1)
        np.testing.assert_array_equal(fill_rings(closed, cells=64), filled.astype(bool))
        for ring in flipped[0][:-1], flipped[0][1:]:
            cv2.polylines(lines, [ring], isClosed=False, color=1)
        both = np.stack([rings[0][:-1], rings[0][1:]])
        np.testing.assert_array_equal(draw_lines(both, cells=64), lines.astype(bool))
