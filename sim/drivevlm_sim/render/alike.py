"""Which cameras show the very same picture of two scenes, so that one drawing does for both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drivevlm.world.pose import Floats, Pose3
from drivevlm_sim.render import night_light
from drivevlm_sim.render.camera import Mask, View, sun_view
from drivevlm_sim.render.cover import Cover
from drivevlm_sim.render.gl import GLOW_PX, SHADOW_PX
from drivevlm_sim.render.stage import Setting
from drivevlm_sim.render.weather import Look
from drivevlm_sim.scene_log import Body, SceneLog

# N: placed things. K: those that one of two settings has and the other has not.
TOUCH_M = 0.5
"""How far beyond a thing's own shadow the shadow map may feel it."""
GROUND_M = -0.1
"""Nothing that shows lies lower."""
SKY_M = 200.0
"""Nothing that shows lies higher."""
PLACE, LOOK = 12, 16
"""Numbers of a placed row that tell where it is, and how it looks; the name is in no picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """What a moment's pictures are made of, whichever camera takes them.

    Attributes:
        log: The scene, for its sky, its seed and its ego.
        step: Of the log.
        ego: Where it is.
        setting: What is placed.
    """

    log: SceneLog
    step: int
    ego: Pose3
    setting: Setting


class Alike:
    """Compares two moments camera by camera; it errs to the safe side alone.

    A picture depends on what its camera and its mirror may show, on the shadows and the light of
    headlamps that fall there, and on the sensor's noise. Only what differs in one of these ways
    keeps a picture from being shared.

    Args:
        one, other: The moments, of one town.
        look: Of the weather.
        lamps_m: (L, 2) feet of the town's street lamps.
        lit_m: Middle (3,) and half a side of the square in which things throw shadows.
    """

    def __init__(
        self, one: Shot, other: Shot, look: Look, lamps_m: Floats, lit_m: tuple[Floats, float]
    ) -> None:
        self._one, self._other, self._look = one.setting, other.setting, look
        self.comparable = _as_taken(one) == _as_taken(other)
        if self.comparable:
            self._shadows_m = _moved_m(one.setting, other.setting)
            self._glow = _glow_box_m(one, other, lamps_m, look.dark)
            self._sun_way, self._lit_m = look.sun_way(one.log.sun), lit_m
            sun = sun_view(self._sun_way, *lit_m, SHADOW_PX)
            self._rim_same = not _on_rim(self._shadows_m, sun).any()

    def shows_same(
        self, view: View, least_px: float, covers: tuple[Cover | None, Cover | None] = (None, None)
    ) -> bool:
        """Whether what a view draws is the same, but for what the covers hide."""
        one, other = self._one, self._other
        a, b = (
            s.seen(view, least_px, cover) for s, cover in zip((one, other), covers, strict=True)
        )
        return bool(
            np.array_equal(one.kinds[a], other.kinds[b])
            and np.array_equal(one.rows[a, :LOOK], other.rows[b, :LOOK])
        )

    def lit_same(self, view: View, *, shadow: bool) -> bool:
        """Whether the same shadows and the same light of lamps fall on it."""
        if shadow and not self._rim_same:
            return False
        if shadow and _sees_shadows(view, self._shadows_m, self._sun_way, self._lit_m).any():
            return False
        return self._glow is None or not view.sees_boxes(*self._glow).any()


def _as_taken(shot: Shot) -> tuple[object, ...]:
    log, ego = shot.log, shot.ego
    noise = log.weather, log.sun, log.seed, shot.step
    return *noise, log.ego.body, ego.rotation.tobytes(), ego.translation_m.tobytes()


def _moved_m(one: Setting, other: Setting) -> Floats:
    """(K, 4) middles and radii of things that stand in one setting only."""
    balls = [
        {(int(k), *row): ball for k, row, ball in zip(s.kinds, places, around, strict=True)}
        for s in (one, other)
        for places in [s.rows[:, :PLACE].tolist()]
        for around in [np.column_stack([s.centres_m, s.radii_m]).tolist()]
    ]
    all_balls = balls[0] | balls[1]
    apart = [all_balls[key] for key in balls[0].keys() ^ balls[1].keys()]
    return np.array(apart, dtype=np.float64).reshape(-1, 4)


def _on_rim(balls_m: Floats, sun: View) -> Mask:
    """(K,) whether things lie on the rim of the shadow map: beyond the map its rim goes on."""
    sides = sun.planes[:4]
    off_m = np.abs(balls_m[:, :3] @ sides[:, :3].T + sides[:, 3])
    return np.asarray((off_m < balls_m[:, 3:] + TOUCH_M).any(axis=1))


def _sees_shadows(
    view: View, balls_m: Floats, sun_way: Floats, lit_m: tuple[Floats, float]
) -> Mask:
    """(K,) whether shadows may show: each is swept from its thing down to below the ground.

    Beyond the square (middle and half a side) of the shadow map there are none.
    """
    radii_m = balls_m[:, 3] + TOUCH_M
    down_m = np.maximum(balls_m[:, 2] + radii_m - GROUND_M, 0.0) / max(sun_way[2], 1e-3)
    ends_m = balls_m[:, :3] - down_m[:, None] * sun_way
    planes = view.planes
    ends = (balls_m[:, :3], ends_m)
    within = [at @ planes[:, :3].T + planes[:, 3] > -radii_m[:, None] for at in ends]
    middle_m, half_m = lit_m
    off_m = [at[:, :2] - middle_m[:2] for at in ends]
    reach_m = half_m + radii_m[:, None]
    outside = (np.minimum(*off_m) > reach_m) | (np.maximum(*off_m) < -reach_m)
    return np.asarray((within[0] | within[1]).all(axis=1) & ~outside.any(axis=1))


def _glow_box_m(
    one: Shot, other: Shot, lamps_m: Floats, dark: float
) -> tuple[Floats, Floats] | None:
    """Corners (1, 3) of a box outside of which the light of lamps is the same; None: everywhere."""
    if dark <= 0 or _headlamps(one.setting) == _headlamps(other.setting):
        return None
    maps, corners = zip(
        *(
            night_light.glow_map(lamps_m, s.setting.actors, s.ego.translation_m, GLOW_PX, dark)
            for s in (one, other)
        ),
        strict=True,
    )
    rows, columns = np.nonzero((maps[0] != maps[1]).any(axis=2))
    if not len(rows):
        return None
    low = np.array([columns.min(), rows.min()]) - 1.0
    high = np.array([columns.max(), rows.max()]) + 2.0
    # Beyond the map its rim goes on.
    low, high = np.where(low < 0, -np.inf, low), np.where(high > GLOW_PX, np.inf, high)
    pixel_m = night_light.SIDE_M / GLOW_PX
    box = [
        np.append(np.clip(corners[0] + at * pixel_m, -1e6, 1e6), z_m)[None]
        for at, z_m in ((low, GROUND_M), (high, SKY_M))
    ]
    return box[0], box[1]


def _headlamps(setting: Setting) -> list[tuple[Body, bytes, bytes]]:
    return [
        (a.body, a.town_from_body.rotation.tobytes(), a.town_from_body.translation_m.tobytes())
        for a in setting.actors
        if a.body is not Body.PEDESTRIAN
    ]
