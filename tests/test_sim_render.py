"""What the renderer shows is where the log has it, in the right colours, and truly seen."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from shapely import MultiPoint, box, contains_xy
from sim_cases import EGO_X_M, HEAD_XYZ_M, standing, tiny_log, tiny_town

from drivevlm.world.camera import Camera
from drivevlm.world.pose import Floats, Pose3
from drivevlm_sim.bodies import SIZES
from drivevlm_sim.flat.rig import flat_rig
from drivevlm_sim.made_once import WorldError
from drivevlm_sim.render import gl
from drivevlm_sim.render.cast import Actor, town_from_ego
from drivevlm_sim.render.gl import check_gl
from drivevlm_sim.render.meshes import mesh
from drivevlm_sim.render.picture import Renderer
from drivevlm_sim.render.street_things import LENS_PITCH_M
from drivevlm_sim.render.truth_pass import Sweep
from drivevlm_sim.scene_log import Body, Lamps, SceneLog, Weather
from drivevlm_sim.town.town import Building, Prop

try:
    check_gl()
except WorldError as error:
    pytest.skip(str(error), allow_module_level=True)

RIG = flat_rig((448, 252))
LARGE = flat_rig((896, 504))
FRONT = RIG.cameras[0]


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(tiny_town())


def test_the_same_log_gives_the_same_bytes(renderer: Renderer) -> None:
    log = tiny_log((standing("car", Body.SUV, (105.0, 98.0)),), weather=Weather.RAIN)
    first = renderer.images(log, 0, RIG)
    again = Renderer(tiny_town()).images(log, 0, RIG)
    assert list(first) == [camera.name for camera in RIG.cameras]
    for name, image in first.items():
        assert image.shape == (252, 448, 3)
        assert image.dtype == np.uint8
        assert image.tobytes() == again[name].tobytes()


def test_another_seed_changes_only_exposure_and_noise(renderer: Renderer) -> None:
    first, second = (_front(renderer, tiny_log(seed=s)) for s in (1, 2))
    assert first.tobytes() != second.tobytes()
    gain = first.mean() / second.mean()
    assert np.abs(first - second * gain).mean() < 4.0


def test_a_near_body_fills_its_projected_box(renderer: Renderer) -> None:
    places = [(102.0, 98.0, 0.1), (108.0, 102.0, 3.1), (112.0, 97.0, 0.8), (100.0, 103.5, 1.4)]
    overlaps = []
    for body in (Body.SEDAN, Body.SUV, Body.VAN, Body.TRUCK, Body.BUS):
        for x, y, yaw in places:
            log = tiny_log((standing("it", body, (x, y), yaw),))
            sight = renderer.sight(log, 0, RIG)
            hull = _hull_mask(sight.actors[0], FRONT, town_from_ego(log, 0))
            mask = sight.masks["CAM_FRONT"] == 1
            overlaps.append(float((hull & mask).sum() / (hull | mask).sum()))
    assert np.median(overlaps) >= 0.7
    assert min(overlaps) >= 0.5


@pytest.mark.parametrize("body", list(Body))
def test_a_body_keeps_inside_its_box(renderer: Renderer, body: Body) -> None:
    log = tiny_log((standing("it", body, (104.0, 98.0), 0.4),))
    sight = renderer.sight(log, 0, RIG)
    hull = _hull_mask(sight.actors[0], FRONT, town_from_ego(log, 0), grow_px=1.0)
    assert not ((sight.masks["CAM_FRONT"] == 1) & ~hull).any()


def test_what_stands_in_the_open_is_fully_seen_and_what_a_wall_hides_is_not() -> None:
    it = standing("it", Body.SEDAN, (108.0, 98.0))
    openly = Renderer(tiny_town()).sight(tiny_log((it,)), 0, RIG, sweep=Sweep())
    assert openly.visibility["it"] == 4
    assert openly.pixels_of("it")["CAM_FRONT"] > 500
    assert openly.lidar_points()["it"] > 50
    wall = Building(box(99, 80, 100, 120), 8.0, (0.5, 0.5, 0.5))
    hidden = Renderer(tiny_town((wall,))).sight(tiny_log((it,)), 0, RIG, sweep=Sweep())
    assert hidden.visibility["it"] == 1
    assert sum(hidden.pixels_of("it").values()) == 0
    assert hidden.lidar_points()["it"] == 0


def test_half_a_car_behind_a_wall_is_half_seen() -> None:
    across = standing("it", Body.BUS, (112.0, 98.25), np.pi / 2)
    wall = Building(box(104, 98.25, 104.3, 125), 8.0, (0.5, 0.5, 0.5))
    sight = Renderer(tiny_town((wall,))).sight(tiny_log((across,)), 0, RIG)
    assert sight.visibility["it"] == 2


def test_a_camera_that_looks_away_does_not_see(renderer: Renderer) -> None:
    sight = renderer.sight(tiny_log((standing("it", Body.SEDAN, (104.0, 98.25)),)), 0, RIG)
    seen = {camera for camera, count in sight.pixels_of("it").items() if count}
    assert seen == {"CAM_FRONT"}
    turned = tiny_log((standing("it", Body.SEDAN, (104.0, 98.25)),), ego_yaw_rad=np.pi)
    sight = renderer.sight(turned, 0, RIG)
    assert {camera for camera, count in sight.pixels_of("it").items() if count} == {"CAM_BACK"}


@pytest.mark.parametrize("weather", list(Weather))
@pytest.mark.parametrize(
    ("letters", "up_m", "hue"),
    [("rRs", LENS_PITCH_M, "red"), ("yYu", 0.0, "amber"), ("gG", -LENS_PITCH_M, "green")],
)
def test_a_signal_shows_its_colour_at_its_place(
    renderer: Renderer, weather: Weather, letters: str, up_m: float, hue: str
) -> None:
    for letter in letters:
        log = tiny_log(weather=weather, state=letter)
        image = renderer.images(log, 0, LARGE, cameras=["CAM_FRONT"])["CAM_FRONT"]
        x, y, z = HEAD_XYZ_M
        lens = np.array([[x - 0.12, y, z + up_m]])
        at = _project(lens, LARGE.cameras[0], town_from_ego(log, 0))[0]
        column, row = (round(float(value)) for value in at)
        red, green, blue = image[row - 1 : row + 2, column - 1 : column + 2].mean(axis=(0, 1))
        assert hue == _hue(red, green, blue), (weather, letter, red, green, blue)


def test_brake_lamps_light(renderer: Renderer) -> None:
    def rear(lamps: int) -> Floats:
        log = tiny_log((standing("it", Body.SEDAN, (102.0, 98.25), lamps=lamps),))
        image = _front(renderer, log).astype(np.float64)
        mask = renderer.sight(log, 0, RIG).masks["CAM_FRONT"] == 1
        redness = image[..., 0] - image[..., 1:].max(axis=-1)
        return redness[mask]

    assert (rear(Lamps.BRAKE) > 130).sum() > 40
    assert (rear(0) > 130).sum() == 0


def test_an_indicator_blinks_on_its_side(renderer: Renderer) -> None:
    lit = np.zeros(2)
    for k, side in enumerate((Lamps.LEFT, Lamps.RIGHT)):
        log = tiny_log((standing("car-3", Body.SEDAN, (101.0, 98.25), lamps=side),))
        dark = tiny_log((standing("car-3", Body.SEDAN, (101.0, 98.25)),))
        change = _front(renderer, log).astype(int)
        change -= _front(renderer, dark)
        columns = np.nonzero(change[..., 0].max(axis=0) > 60)[0]
        lit[k] = columns.mean()
    middle = _project(np.array([[101.0, 98.25, 1.0]]), FRONT, town_from_ego(log, 0))[0, 0]
    assert lit[0] < middle < lit[1]


def test_night_is_darker_than_dusk_and_dusk_than_day(renderer: Renderer) -> None:
    mean = {w: _front(renderer, tiny_log(weather=w)).mean() for w in Weather}
    assert mean[Weather.NIGHT] < 0.6 * mean[Weather.DUSK] < 0.6 * mean[Weather.DAY]


def test_the_sun_throws_shadows_away_from_it(renderer: Renderer) -> None:
    car = standing("it", Body.TRUCK, (110.0, 98.25))
    log, empty = tiny_log((car,)), tiny_log()
    image, bare = (_front(renderer, one).astype(int) for one in (log, empty))
    mask = renderer.sight(log, 0, RIG).masks["CAM_FRONT"] == 1
    rows, columns = np.nonzero(((bare - image).mean(axis=-1) > 25) & ~mask)
    # The sun stands behind the ego's left, so the shadow lies to the truck's right.
    assert len(rows) > 100
    assert columns.mean() > np.nonzero(mask)[1].mean()


def test_lidar_points_lie_on_their_boxes(renderer: Renderer) -> None:
    others = (
        standing("bus", Body.BUS, (108.0, 102.0), 0.2),
        standing("truck", Body.TRUCK, (78.0, 98.0), np.pi + 0.1),
    )
    log = tiny_log(others)
    sight = renderer.sight(log, 0, RIG, sweep=Sweep())
    assert sight.cloud is not None
    assert sight.cloud_of is not None
    ego = town_from_ego(log, 0)
    for k, actor in enumerate(sight.actors):
        points = sight.cloud[sight.cloud_of == k + 1, :3].astype(np.float64)
        assert len(points) > 100
        box_from_lidar = actor.town_from_body.inverse() @ ego @ RIG.ego_from_lidar
        at = box_from_lidar.apply(points)
        half = np.array(actor.size_lwh_m) / 2
        off = np.abs(at - [0, 0, actor.centre_m[2]]) - half
        assert off.max() < 1e-3
        on_a_face = np.abs(off).min(axis=1) < 0.1
        # Under a truck one looks on its axles.
        assert on_a_face.mean() > 0.9


def test_lidar_rings_have_their_elevations(renderer: Renderer) -> None:
    cloud = renderer.sight(tiny_log(), 0, RIG, sweep=Sweep(azimuths=360)).cloud
    assert cloud is not None
    elevation = np.degrees(np.arctan2(cloud[:, 2], np.hypot(cloud[:, 0], cloud[:, 1])))
    nominal = np.linspace(-30.0, 10.0, 32)[cloud[:, 4].astype(int)]
    assert np.abs(elevation - nominal).max() < 0.1
    ground = elevation < -20
    height = cloud[ground, 2] + RIG.ego_from_lidar.translation_m[2]
    assert np.abs(height).max() < 0.15


def test_signal_heads_are_counted_beside_the_actors(renderer: Renderer) -> None:
    sight = renderer.sight(tiny_log(), 0, RIG)
    assert sight.head_pixels(0)["CAM_FRONT"] > 20
    assert sight.head_pixels(0)["CAM_BACK"] == 0


def test_a_missing_signal_plan_is_said_in_one_line(renderer: Renderer) -> None:
    log = tiny_log(state="")
    with pytest.raises(WorldError, match=r"link 0 of signal plan 'j' has no state"):
        renderer.images(log, 0, RIG)


def test_an_unknown_prop_is_said_in_one_line() -> None:
    town = replace(tiny_town(), props=(Prop("statue", (0.0, 0.0, 0.0), 0.0),))
    with pytest.raises(WorldError, match=r"a prop is one of .*tree.*, got 'statue'"):
        Renderer(town)


def _front(renderer: Renderer, log: SceneLog) -> NDArray[np.uint8]:
    return renderer.images(log, 0, RIG, cameras=["CAM_FRONT"])["CAM_FRONT"]


def _project(xyz_town_m: Floats, camera: Camera, ego: Pose3) -> Floats:
    assert camera.ego_from_camera is not None
    camera_from_town = (ego @ camera.ego_from_camera).inverse()
    px, ahead = camera.project(camera_from_town.apply(xyz_town_m))
    assert ahead.all()
    return px


def _hull_mask(actor: Actor, camera: Camera, ego: Pose3, grow_px: float = 0.0) -> Floats:
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    upright = actor.town_from_body.apply(signs * np.array(actor.size_lwh_m) / 2)
    corners = upright + np.array([0, 0, actor.centre_m[2] - actor.town_from_body.translation_m[2]])
    hull = MultiPoint(_project(corners, camera, ego)).convex_hull.buffer(grow_px)
    rows, columns = np.mgrid[: camera.size_px[1], : camera.size_px[0]]
    return contains_xy(hull, columns, rows)


def _hue(red: float, green: float, blue: float) -> str:
    if green > 1.3 * red:
        return "green"
    if red > 2.0 * green:
        return "red"
    return "amber" if red > green > 1.5 * blue else "none"


def test_every_body_has_a_size_and_a_mesh() -> None:
    for body in Body:
        xyz = mesh(f"{body.value}/0")[:, :3]
        size = SIZES[body]
        assert (np.ptp(xyz, axis=0) < [size.length_m, size.width_m, size.height_m]).all()


@pytest.mark.parametrize(
    ("package", "says"),
    [("moderngl", r"moderngl.*pip install"), ("mapbox_earcut", r"mapbox_earcut.*pip install")],
)
def test_a_missing_package_is_said_with_its_pip_line(
    monkeypatch: pytest.MonkeyPatch, package: str, says: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(WorldError, match=says):
        check_gl()


def test_missing_egl_is_said_with_its_apt_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gl._EGL, "libegl", "libEGL_that_is_not_there.so")
    with pytest.raises(WorldError, match="apt install libegl1 libgl1 libgl1-mesa-dri") as told:
        check_gl()
    assert "\n" not in str(told.value)


def test_people_stand_on_the_kerb_and_cross_on_the_road(renderer: Renderer) -> None:
    walkers = (
        standing("kerb", Body.PEDESTRIAN, (100.0, 95.0)),
        standing("road", Body.PEDESTRIAN, (121.0, 98.0)),
    )
    kerb, road = renderer.sight(tiny_log(walkers), 0, RIG).actors
    assert kerb.town_from_body.translation_m[2] == pytest.approx(0.13)
    assert road.town_from_body.translation_m[2] == 0.0
    assert road.centre_m[2] + road.size_lwh_m[2] / 2 == pytest.approx(1.75)


def test_masks_and_depths_are_exact_to_a_fraction_of_a_pixel(renderer: Renderer) -> None:
    log = tiny_log()
    sight = renderer.sight(log, 0, LARGE)
    rows, columns = np.nonzero(sight.masks["CAM_FRONT"] == 1)
    camera = LARGE.cameras[0]
    x, y, z = HEAD_XYZ_M
    front = np.array([[x - 0.1, y, z]])
    middle = _project(front, camera, town_from_ego(log, 0))[0]
    assert abs(columns.mean() - middle[0]) < 0.4
    assert abs(rows.mean() - middle[1]) < 0.4
    near_m = sight.depths_m["CAM_FRONT"][rows, columns].min()
    # The lens is 1.7 m ahead of the axle; hoods stand 0.26 m before the head's middle.
    assert near_m == pytest.approx(x - 0.26 - EGO_X_M - 1.7, abs=0.02)
