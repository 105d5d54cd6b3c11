"""What is taken over from a scene that looks the same, or left out as hidden, is not missed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from random import Random

import numpy as np
import pytest
from shapely import box
from sim_cases import EGO_X_M, standing, tiny_log, tiny_town

from drivevlm_sim.flat.rig import flat_rig
from drivevlm_sim.keyframes import Rig
from drivevlm_sim.made_once import WorldError
from drivevlm_sim.make.recipe import WorldRecipe
from drivevlm_sim.make.studio import Studio
from drivevlm_sim.render.camera import view_of
from drivevlm_sim.render.cast import town_from_ego
from drivevlm_sim.render.cover import MARGIN_M, Cover
from drivevlm_sim.render.gl import check_gl
from drivevlm_sim.render.lidar import Sweep
from drivevlm_sim.render.picture import LEAST_PX, Renderer
from drivevlm_sim.render.truth_pass import Sight
from drivevlm_sim.scene_log import Body, Lamps, SceneLog, Track, Weather
from drivevlm_sim.town.town import Building

try:
    check_gl()
except WorldError as error:
    pytest.skip(str(error), allow_module_level=True)

RIG, LARGE = flat_rig((224, 126)), flat_rig((896, 504))
FRONT = RIG.cameras[0]
SWEEP = Sweep(azimuths=360, side_px=200)
WALL = Building(box(104, 99, 104.3, 125), 8.0, (0.5, 0.5, 0.5))
AHEAD = standing("car", Body.SUV, (101.0, 98.0))
BRAKING = standing("car", Body.SUV, (101.0, 98.0), lamps=Lamps.BRAKE)
BEHIND_WALL = standing("hidden", Body.SEDAN, (108.5, 103.2))
BESIDE = standing("truck", Body.TRUCK, (95.0, 106.0))
BACK = standing("back", Body.SEDAN, (86.0, 101.5))


@dataclass(frozen=True)
class Change:
    """Two scenes; cameras whose pictures are apart, and found to be the same, in any weather."""

    before: tuple[Track, ...]
    after: tuple[Track, ...]
    apart: str = ""
    shared: str = ""
    letters: str = "rr"

    def logs(self, weather: Weather = Weather.DAY) -> tuple[SceneLog, SceneLog]:
        sides = zip((self.before, self.after), self.letters, strict=True)
        one, other = (tiny_log(others, weather=weather, state=letter) for others, letter in sides)
        return one, other


REAR = "BACK BACK_LEFT BACK_RIGHT"
OTHERS = f"FRONT_LEFT FRONT_RIGHT {REAR}"
CHANGES: Mapping[str, Change] = {
    "one more": Change((BEHIND_WALL,), (AHEAD, BEHIND_WALL), "FRONT", REAR),
    "one hidden": Change((AHEAD,), (AHEAD, BEHIND_WALL), "", REAR),
    "one beside": Change((), (BESIDE,), "FRONT_LEFT BACK_LEFT", ""),
    "one behind": Change((BESIDE,), (BACK, BESIDE), "BACK BACK_LEFT", ""),
    "one moved": Change((BACK,), (replace(BACK, xy_m=BACK.xy_m - 0.1),), "BACK BACK_LEFT", ""),
    "brake lamps": Change((AHEAD,), (BRAKING,), "FRONT", OTHERS),
    "signal": Change((AHEAD,), (AHEAD,), "FRONT", OTHERS, "rG"),
    "nothing": Change((AHEAD,), (AHEAD,), "", f"FRONT {OTHERS}"),
}


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(tiny_town((WALL,)))


@pytest.mark.parametrize("name", list(CHANGES))
def test_a_sight_with_parts_taken_over_is_the_one_drawn_anew(renderer: Renderer, name: str) -> None:
    for before, after in (CHANGES[name].logs(), CHANGES[name].logs()[::-1]):
        there = renderer.sight(before, 0, RIG, sweep=SWEEP)
        taken = renderer.sight(after, 0, RIG, sweep=SWEEP, like=there)
        _expect_same(taken, renderer.sight(after, 0, RIG, sweep=SWEEP))


def test_what_looks_the_same_is_not_drawn_again(renderer: Renderer) -> None:
    before, after = CHANGES["one more"].logs()
    there = renderer.sight(before, 0, RIG, sweep=SWEEP)
    here = renderer.sight(after, 0, RIG, sweep=SWEEP, like=there)
    for camera in ("CAM_FRONT_LEFT", "CAM_FRONT_RIGHT", "CAM_BACK"):
        assert here.depths_m[camera] is there.depths_m[camera]
    assert there.turn is not None
    assert here.turn is not None
    pairs = zip(there.turn.quarters, here.turn.quarters, strict=True)
    assert sum(now[1] is then[1] for then, now in pairs) == 3


@pytest.mark.parametrize("sweep", [SWEEP, replace(SWEEP, azimuths=90), None])
@pytest.mark.parametrize("yaw_rad", [0.0, 0.01])
def test_a_sight_of_another_kind_does_no_harm(
    renderer: Renderer, sweep: Sweep | None, yaw_rad: float
) -> None:
    there = renderer.sight(tiny_log((AHEAD,), ego_yaw_rad=yaw_rad), 0, RIG, sweep=sweep)
    log = tiny_log((AHEAD,))
    taken = renderer.sight(log, 0, RIG, sweep=SWEEP, like=there)
    _expect_same(taken, renderer.sight(log, 0, RIG, sweep=SWEEP))


@pytest.mark.parametrize("weather", list(Weather))
@pytest.mark.parametrize("name", list(CHANGES))
def test_pictures_found_to_be_the_same_are_the_same(
    renderer: Renderer, name: str, weather: Weather
) -> None:
    change = CHANGES[name]
    found, truly = _shared(renderer, *change.logs(weather))
    assert found <= truly
    assert not truly & _cameras(change.apart)
    assert found >= _cameras(change.shared)


@pytest.mark.parametrize("seed", range(8))
def test_among_many_others_too(renderer: Renderer, seed: int) -> None:
    rng = Random(seed)
    crowd = list(_crowd(rng, 6))
    moved = replace(crowd[0], xy_m=crowd[0].xy_m + rng.uniform(-3, 3))
    weather = list(Weather)[seed % len(Weather)]
    before, after = (tiny_log(tuple(c), weather=weather) for c in (crowd, [moved, *crowd[1:]]))
    there = renderer.sight(before, 0, RIG, sweep=SWEEP)
    taken = renderer.sight(after, 0, RIG, sweep=SWEEP, like=there)
    _expect_same(taken, renderer.sight(after, 0, RIG, sweep=SWEEP))
    found, truly = _shared(renderer, before, after)
    assert found <= truly


def test_a_shadow_alone_keeps_pictures_apart(renderer: Renderer) -> None:
    change = Change((), (standing("walker", Body.PEDESTRIAN, (96.3, 105.9)),))
    assert renderer.sight(change.logs()[1], 0, RIG).pixels_of("walker")["CAM_FRONT"] == 0
    found, truly = _shared(renderer, *change.logs(Weather.DUSK))
    assert "CAM_FRONT" not in found | truly
    found, truly = _shared(renderer, *change.logs(Weather.OVERCAST))
    assert "CAM_FRONT" in found & truly


def test_the_light_of_headlamps_alone_keeps_pictures_apart(renderer: Renderer) -> None:
    change = Change((), (BACK,))
    assert renderer.sight(change.logs()[1], 0, RIG).pixels_of("back")["CAM_FRONT"] == 0
    found, truly = _shared(renderer, *change.logs(Weather.NIGHT))
    assert "CAM_FRONT" not in found | truly
    found, truly = _shared(renderer, *change.logs(Weather.DAY))
    assert "CAM_FRONT" in found & truly


def test_a_mirror_image_alone_keeps_pictures_apart(renderer: Renderer) -> None:
    change = Change((BEHIND_WALL,), (replace(BEHIND_WALL, colour=3),))
    assert not any(renderer.sight(change.logs()[1], 0, RIG).pixels_of("hidden").values())
    found, truly = _shared(renderer, *change.logs(Weather.RAIN))
    assert "CAM_FRONT" not in found | truly
    found, truly = _shared(renderer, *change.logs(Weather.OVERCAST))
    assert "CAM_FRONT" in found & truly


def test_a_shadow_on_the_rim_of_the_shadow_map_keeps_pictures_apart() -> None:
    renderer = Renderer(replace(tiny_town(), buildings=(), props=()))
    far = standing("far", Body.SEDAN, (129.54, 43.59), -2.65)
    before, after = (
        replace(tiny_log(others, ego_yaw_rad=-2.2377), sun=(1.0311, 0.9846))
        for others in ((), (far,))
    )
    rig = replace(LARGE, cameras=tuple(c for c in LARGE.cameras if c.name == "CAM_BACK_LEFT"))
    found, truly = _shared(renderer, before, after, rig)
    assert "CAM_BACK_LEFT" not in found | truly


def test_nothing_is_shared_under_another_sky_or_from_elsewhere(renderer: Renderer) -> None:
    log = tiny_log((AHEAD,))
    here = renderer.sight(log, 0, RIG)
    for other in (
        replace(log, seed=2),
        replace(log, weather=Weather.OVERCAST),
        replace(log, sun=(2.2, 0.74)),
        tiny_log((AHEAD,), ego_yaw_rad=0.001),
    ):
        there = renderer.sight(other, 0, RIG)
        assert not renderer.same_pictures(log, 0, RIG, sight=here, like=(other, there))


def test_a_take_like_another_is_the_take_alone(renderer: Renderer) -> None:
    studio = Studio(tiny_town((WALL,)), renderer, RIG, WorldRecipe(size_px=(224, 126)))
    before, after = CHANGES["signal"].logs()
    like = studio.take(before, 0)
    taken, alone = studio.take(after, 0, like=like), studio.take(after, 0)
    images = {shot.camera: shot.jpeg for shot in taken.frame.shots}
    assert images == {shot.camera: shot.jpeg for shot in alone.frame.shots}
    jpegs = {id(shot.jpeg) for shot in like.frame.shots}
    assert [camera for camera, jpeg in images.items() if id(jpeg) not in jpegs] == ["CAM_FRONT"]
    assert taken.frame.annotations == alone.frame.annotations
    _expect_same(taken.sight, alone.sight)


@pytest.mark.parametrize("weather", [Weather.DAY, Weather.RAIN, Weather.NIGHT])
def test_pictures_hardly_change_where_hidden_things_are_left_out(
    renderer: Renderer, weather: Weather
) -> None:
    log = tiny_log((AHEAD, BEHIND_WALL, *_crowd(Random(1), 12)), weather=weather)
    rig = flat_rig((448, 252))
    sight = renderer.sight(log, 0, rig)
    left_out = renderer.images(log, 0, rig, sight=sight)
    for camera, image in renderer.images(log, 0, rig).items():
        apart = np.abs(left_out[camera].astype(int) - image).max(axis=2)
        assert (apart > 8).mean() < 1e-3
    view = view_of(rig.cameras[0], sight.town_from_ego)
    cover = Cover(view, sight.depths_m[FRONT.name])
    seen, uncovered = (sight.setting.seen(view, LEAST_PX, c).sum() for c in (None, cover))
    assert uncovered < seen


def test_what_shows_in_a_finer_picture_is_never_hidden(renderer: Renderer) -> None:
    coarse, fine = (replace(rig, cameras=rig.cameras[:1]) for rig in (RIG, LARGE))
    hidden = 0
    for seed in range(4):
        log = tiny_log(tuple(_crowd(Random(seed), 60)))
        sight = renderer.sight(log, 0, coarse)
        cover = Cover(view_of(FRONT, sight.town_from_ego), sight.depths_m[FRONT.name])
        at_m, reach_m = sight.setting.centres_m, sight.setting.radii_m[:, None]
        numbers = sight.setting.rows[cover.hides(at_m - reach_m, at_m + reach_m), 16].astype(int)
        assert not renderer.sight(log, 0, fine).pixels[FRONT.name][numbers[numbers > 0]].any()
        hidden += (numbers > 0).sum()
    assert hidden > 20


def test_a_box_is_hidden_just_where_all_pixels_round_it_are_nearer() -> None:
    camera, ego = flat_rig((93, 51)).cameras[0], town_from_ego(tiny_log(), 0)
    view = view_of(camera, ego)
    rng = np.random.default_rng(0)
    depth_m = rng.uniform(5, 15, (51, 93)).astype(np.float32)
    depth_m[rng.random((51, 93)) < 0.01] = np.inf
    low_m = view.eye_m + rng.uniform((6, -8, -3), (40, 8, 3), (3000, 3))
    high_m = low_m + rng.uniform(0.02, 2.0, (3000, 3))
    hides = Cover(view, depth_m).hides(low_m, high_m)
    ends = np.array(list(product((False, True), repeat=3)))
    corners_m = np.where(ends, high_m[:, None], low_m[:, None])
    assert camera.ego_from_camera is not None
    at_m = (ego @ camera.ego_from_camera).inverse().apply(corners_m.reshape(-1, 3))
    px = camera.project(at_m)[0].reshape(-1, 8, 2)
    nearest_m = at_m[:, 2].reshape(-1, 8).min(axis=1)
    judged = 0
    for k, (first, last) in enumerate(zip(np.floor(px.min(1)), np.ceil(px.max(1)), strict=True)):
        (left, top), (right, bottom) = first.astype(int) - 1, last.astype(int) + 2
        if min(left, top) < 0 or right > 93 or bottom > 51:
            continue
        farthest_m = depth_m[top:bottom, left:right].max()
        behind = nearest_m[k] - MARGIN_M > farthest_m
        assert behind or not hides[k]
        assert hides[k] or not (behind and max(right - left, bottom - top) <= 6)
        judged += behind and hides[k]
    assert judged > 100


def _shared(
    renderer: Renderer, before: SceneLog, after: SceneLog, rig: Rig = RIG
) -> tuple[frozenset[str], set[str]]:
    """Cameras said to show the same, and those whose pictures, all drawn anew, truly are."""
    there, here = (renderer.sight(log, 0, rig) for log in (before, after))
    found = renderer.same_pictures(after, 0, rig, sight=here, like=(before, there))
    then = renderer.images(before, 0, rig, sight=there)
    now = renderer.images(after, 0, rig, sight=here)
    return found, {camera for camera in now if now[camera].tobytes() == then[camera].tobytes()}


def _expect_same(one: Sight, other: Sight) -> None:
    for camera, mask in other.masks.items():
        np.testing.assert_array_equal(one.masks[camera], mask)
        np.testing.assert_array_equal(one.depths_m[camera], other.depths_m[camera])
        np.testing.assert_array_equal(one.pixels[camera], other.pixels[camera])
    assert one.visibility == other.visibility
    assert one.lidar_points() == other.lidar_points()
    assert one.turn is not None
    assert other.turn is not None
    np.testing.assert_array_equal(one.turn.cloud, other.turn.cloud)
    np.testing.assert_array_equal(one.turn.cloud_of, other.turn.cloud_of)


def _cameras(names: str) -> set[str]:
    return {f"CAM_{name}" for name in names.split()}


def _crowd(rng: Random, count: int) -> Iterator[Track]:
    """Bodies all round the ego, some behind the wall."""
    for k in range(count):
        away_m, way = rng.uniform(6, 45), rng.uniform(-np.pi, np.pi)
        at = EGO_X_M + away_m * np.cos(way), 98.25 + away_m * np.sin(way)
        body = rng.choice(list(Body))
        yield standing(f"{k}", body, at, rng.uniform(-3, 3), lamps=rng.choice((0, Lamps.BRAKE)))
