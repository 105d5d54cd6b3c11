"""Truth per pixel says of each kept pixel what the full masks and depths say."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shapely import box
from sim_cases import HEAD_XYZ_M, standing, tiny_log, tiny_town

from drivevlm.data.dense import DenseView, dense_bytes, dense_file, read_dense
from drivevlm.world.sets import Signal
from drivevlm_sim.flat.rig import flat_rig
from drivevlm_sim.made_once import WorldError
from drivevlm_sim.make.dense import dense_views, depth_cm
from drivevlm_sim.make.recipe import WorldRecipe
from drivevlm_sim.make.studio import Studio
from drivevlm_sim.render.cast import town_from_ego
from drivevlm_sim.render.gl import check_gl
from drivevlm_sim.render.picture import Renderer
from drivevlm_sim.render.truth_pass import Sight
from drivevlm_sim.scene_log import Body
from drivevlm_sim.town.town import Building, Town

try:
    check_gl()
except WorldError as error:
    pytest.skip(str(error), allow_module_level=True)

RIG = flat_rig((450, 254))
FRONT = RIG.cameras[0]
OTHERS = (
    standing("a, no box", Body.SUV, (103.0, 97.0)),
    standing("b", Body.VAN, (112.0, 102.0), 3.0),
    standing("c", Body.TRUCK, (76.0, 98.0)),
    standing("d, not seen", Body.SEDAN, (118.0, 120.0)),
    standing("e", Body.PEDESTRIAN, (98.0, 95.0)),
)
BOXED = {"b": "token of b", "c": "token of c", "d, not seen": "token of d", "e": "token of e"}
LOG = tiny_log(OTHERS, state="rgyG")
TOWN = tiny_town()
HEAD = TOWN.signal_heads[0]
TOWN = replace(
    TOWN,
    signal_heads=(
        HEAD,
        replace(HEAD, xyz_m=(121.0, 104.5, 2.9), link=1),
        replace(HEAD, xyz_m=(116.0, 95.0, 2.9), link=2, yaw_rad=0.0),  # looks away from the ego
        replace(HEAD, xyz_m=(70.0, 93.5, 2.9), link=3, yaw_rad=0.0),  # behind it
    ),
)


@pytest.fixture(scope="module")
def sight() -> Sight:
    return Renderer(TOWN).sight(LOG, 0, RIG)


def views_of(sight: Sight, every: int = 4, town: Town = TOWN) -> dict[str, DenseView]:
    return dense_views(sight, LOG, 0, town=town, rig=RIG, boxed=BOXED, every=every)


@pytest.mark.parametrize("every", [1, 3, 4])
def test_kept_pixels_name_who_is_there(sight: Sight, every: int) -> None:
    named: set[str] = set()
    for camera, view in views_of(sight, every).items():
        full = sight.masks[camera]
        assert view.mask is not None
        assert view.mask.shape == full[every // 2 :: every, every // 2 :: every].shape
        for (row, column), number in np.ndenumerate(view.mask):
            there = int(full[row * every + every // 2, column * every + every // 2])
            actor = sight.actors[there - 1].name if 0 < there <= len(sight.actors) else ""
            assert (view.instances[number - 1] if number else None) == BOXED.get(actor)
            named |= {actor} - {""}
    assert named >= {"a, no box", "b", "c", "e"}


def test_all_views_name_all_that_have_boxes(sight: Sight) -> None:
    assert {view.instances for view in views_of(sight).values()} == {tuple(BOXED.values())}


def test_depths_are_true_to_half_a_percent_and_zero_in_the_sky(sight: Sight) -> None:
    for camera, view in views_of(sight).items():
        true_m = sight.depths_m[camera][2::4, 2::4]
        assert view.depth_cm is not None
        sky = np.isinf(true_m)
        assert sky.any()
        assert not view.depth_cm[sky].any()
        off_m = np.abs(view.depth_cm[~sky] / 100 - true_m[~sky])
        assert (off_m < 0.005 * true_m[~sky]).all()


def test_a_wall_is_as_far_as_it_stands() -> None:
    wall = Building(box(104, 90, 104.3, 110), 8.0, (0.5, 0.5, 0.5))
    sight = Renderer(tiny_town((wall,))).sight(replace(LOG, others={}), 0, RIG)
    depth = views_of(sight, town=tiny_town())["CAM_FRONT"].depth_cm
    assert depth is not None
    # The lens is 1.7 m before the axle, which is at 90 m.
    assert depth[30, 40:70] == pytest.approx(1230, rel=0.005)


def test_depths_beyond_what_fits_are_none() -> None:
    metres = np.array([0.25, 1.0, 100.0, 655.3, 655.4, 4000.0, np.inf], dtype=np.float32)
    told = depth_cm(metres)
    assert told.dtype == np.uint16
    assert told[:4] / 100 == pytest.approx(metres[:4], rel=0.005)
    assert not told[4:].any()


def test_a_box_holds_the_pixels_of_its_signal_head_and_no_more(sight: Sight) -> None:
    first = len(sight.actors) + 1
    found = 0
    for camera, view in views_of(sight).items():
        for head in view.heads:
            link = int(head.name.removeprefix("j/"))
            rows, columns = np.nonzero(sight.masks[camera] == first + link)
            edges = columns.min(), rows.min(), columns.max(), rows.max()
            assert head.box_px == (edges[0] - 0.5, edges[1] - 0.5, edges[2] + 0.5, edges[3] + 0.5)
            found += 1
    assert found == 3
    assert FRONT.ego_from_camera is not None
    camera_from_town = (town_from_ego(LOG, 0) @ FRONT.ego_from_camera).inverse()
    x, y = FRONT.project(camera_from_town.apply(np.array([HEAD_XYZ_M])))[0][0]
    left, top, right, bottom = views_of(sight)["CAM_FRONT"].heads[0].box_px
    assert left < x < right
    assert top < y < bottom


def test_heads_are_told_where_their_lamps_can_be_seen(sight: Sight) -> None:
    heads = {camera: [h.name for h in view.heads] for camera, view in views_of(sight).items()}
    assert sight.head_pixels(2)["CAM_FRONT"] > 0
    assert heads.pop("CAM_FRONT") == ["j/0", "j/1"]
    assert heads.pop("CAM_BACK") == ["j/3"]
    assert not any(heads.values())


@pytest.mark.parametrize(
    ("letters", "state"),
    [("rsu", Signal.RED), ("yY", Signal.AMBER), ("gG", Signal.GREEN), ("oO", Signal.UNKNOWN)],
)
def test_a_head_has_the_state_of_its_own_link(sight: Sight, letters: str, state: Signal) -> None:
    for letter in letters:
        log = replace(LOG, signals={"j": (f"r{letter}rr",)})
        views = dense_views(sight, log, 0, town=TOWN, rig=RIG, boxed=BOXED, every=4)
        assert [head.state for head in views["CAM_FRONT"].heads] == [Signal.RED, state]


def test_a_file_gives_back_what_it_was_made_of(
    sight: Sight, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = views_of(sight)
    dense_file(tmp_path, "t").write_bytes(dense_bytes(views))
    read = read_dense(tmp_path, "t")
    assert set(read) == set(views)
    for camera, view in views.items():
        back = read[camera]
        for one, other in ((back.mask, view.mask), (back.depth_cm, view.depth_cm)):
            assert one is not None
            assert other is not None
            np.testing.assert_array_equal(one, other)
        assert (back.instances, back.heads) == (view.instances, view.heads)
    monkeypatch.setattr(time, "time", lambda: 1e9)
    assert dense_bytes(views_of(sight)) == dense_file(tmp_path, "t").read_bytes()


def test_boxes_of_a_take_are_the_objects_of_its_masks() -> None:
    studio = Studio(TOWN, Renderer(TOWN), RIG, WorldRecipe(size_px=FRONT.size_px))
    far = standing("far", Body.BUS, (172.0, 98.0))
    take = studio.take(tiny_log((*OTHERS, far), state="rgyG"), 0)
    boxed = {box.instance: box.instance for box in take.frame.annotations}
    assert set(boxed) == {track.name for track in OTHERS}
    views = dense_views(take.sight, take.log, 0, town=TOWN, rig=RIG, boxed=boxed, every=1)
    mask = views["CAM_FRONT"].mask
    assert mask is not None
    assert take.sight.pixels_of("far")["CAM_FRONT"] > 0
    assert not mask[take.sight.masks["CAM_FRONT"] == take.sight.number("far")].any()
