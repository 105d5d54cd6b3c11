"""What is truly seen: whose every pixel is, how far it is, and what the lidar meets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from drivevlm.world.camera import Camera
from drivevlm.world.pose import Floats, Pose3
from drivevlm_sim.keyframes import Cloud, Rig
from drivevlm_sim.render import lidar, meshes
from drivevlm_sim.render.camera import DepthsM, Names, View, view_of
from drivevlm_sim.render.cast import Actor
from drivevlm_sim.render.lidar import Sweep, Turn
from drivevlm_sim.render.names import names_and_depths, renamed
from drivevlm_sim.render.stage import Setting, Stage

# H, W: of a picture. P: points of a sweep. S: points on a body's surface.
REACH_M = 250.0
VISIBLE_FROM = (0.4, 0.6, 0.8)
"""Shares of a body seen at which its visibility becomes 2, 3 and 4."""


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """One step as the sensors see it.

    Attributes:
        setting: What there was to see, with all road users but the ego; number k of them is k + 1
            in masks. The numbers of signal heads follow, in the town's order.
        town_from_ego: From where it was seen.
        masks: By camera (H, W): whose each pixel is; 0 for town and sky.
        depths_m: By camera (H, W) along the optical axis; infinite in the sky.
        pixels: By camera (actors + heads + 1,) how many pixels each number has.
        visibility: By actor's name 1 (at most 40 % of it seen by all cameras together) to 4.
        turn: Of the lidar; None where not asked for.
    """

    setting: Setting
    town_from_ego: Pose3
    masks: Mapping[str, Names]
    depths_m: Mapping[str, DepthsM]
    pixels: Mapping[str, NDArray[np.int64]]
    visibility: Mapping[str, int]
    turn: Turn | None

    @property
    def actors(self) -> tuple[Actor, ...]:
        """All road users but the ego."""
        return self.setting.actors

    @property
    def cloud(self) -> Cloud | None:
        """The lidar's points; None where not asked for."""
        return self.turn.cloud if self.turn is not None else None

    @property
    def cloud_of(self) -> Names | None:
        """(P,) number of the actor that each point lies on, 0 elsewhere."""
        return self.turn.cloud_of if self.turn is not None else None

    def number(self, name: str) -> int:
        """An actor's number in the masks. Raises KeyError for one that is not there."""
        for k, actor in enumerate(self.actors):
            if actor.name == name:
                return k + 1
        raise KeyError(name)

    def pixels_of(self, name: str) -> dict[str, int]:
        """By camera, how many pixels show an actor."""
        number = self.number(name)
        return {camera: int(counts[number]) for camera, counts in self.pixels.items()}

    def head_pixels(self, head: int) -> dict[str, int]:
        """By camera, how many pixels show a signal head, by its place in the town's."""
        number = len(self.actors) + 1 + head
        return {camera: int(counts[number]) for camera, counts in self.pixels.items()}

    def lidar_points(self) -> dict[str, int]:
        """By actor's name, how many of the cloud's points lie on it."""
        if self.cloud_of is None:
            raise ValueError("this sight was taken without a lidar sweep")
        counts = np.bincount(self.cloud_of, minlength=len(self.actors) + 1)
        return {actor.name: int(counts[k + 1]) for k, actor in enumerate(self.actors)}


def sight(
    stage: Stage,
    setting: Setting,
    rig: Rig,
    town_from_ego: Pose3,
    sweep: Sweep | None,
    like: Sight | None = None,
) -> Sight:
    """Draw names and depths for all sensors of a rig and count.

    Args:
        stage: The town.
        setting: What is in it.
        rig: The sensors.
        town_from_ego: Where the rig is.
        sweep: How the lidar samples; None leaves it out.
        like: A sight of the same rig in another setting; what looks the same in both is taken
            over from it, which gives the same as drawing it.
    """
    if like is not None and not (_same(like.town_from_ego, town_from_ego) and _turns(like, sweep)):
        like = None
    if like is not None and _unmoved(like.setting, setting):
        return replace(like, setting=setting)
    masks, depths_m, pixels = {}, {}, {}
    numbers = len(setting.actors) + setting.heads + 1
    for camera in rig.cameras:
        view = view_of(camera, town_from_ego, REACH_M)
        mask, depth_m = _seen(camera.name, view, stage, setting, like)
        masks[camera.name], depths_m[camera.name] = mask, depth_m
        pixels[camera.name] = np.bincount(mask.reshape(-1), minlength=numbers)
    seen = _visibilities(setting.actors, rig.cameras, town_from_ego, masks, pixels)
    turn = None
    if sweep is not None:
        then = None if like is None or like.turn is None else (like.setting, like.turn)
        turn = lidar.turn(stage, setting, town_from_ego @ rig.ego_from_lidar, sweep, then)
    return Sight(setting, town_from_ego, masks, depths_m, pixels, seen, turn)


def _same(one: Pose3, other: Pose3) -> bool:
    return np.array_equal(one.rotation, other.rotation) and np.array_equal(
        one.translation_m, other.translation_m
    )


def _turns(like: Sight, sweep: Sweep | None) -> bool:
    return (like.turn.sweep if like.turn is not None else None) == sweep


def _unmoved(there: Setting, here: Setting) -> bool:
    """Whether the same things stand at the same places under the same names."""
    return (
        [actor.name for actor in there.actors] == [actor.name for actor in here.actors]
        and np.array_equal(there.kinds, here.kinds)
        and np.array_equal(there.rows[:, :12], here.rows[:, :12])
        and np.array_equal(there.rows[:, 16], here.rows[:, 16])
    )


def _seen(
    camera: str, view: View, stage: Stage, setting: Setting, like: Sight | None
) -> tuple[Names, DepthsM]:
    if like is not None:
        names = renamed(view, like.setting, setting)
        if names is not None:
            return names[like.masks[camera]], like.depths_m[camera]
    return names_and_depths(stage, setting, view)


def _visibilities(
    actors: tuple[Actor, ...],
    cameras: tuple[Camera, ...],
    town_from_ego: Pose3,
    masks: Mapping[str, Names],
    pixels: Mapping[str, NDArray[np.int64]],
) -> dict[str, int]:
    """Judged by points on the whole surface: which of them fall on pixels that show the actor.

    Hidden parts of a body count by what covers them in the picture: where that is the body
    itself, they lie within its outline and are seen. Parts outside all pictures are not.
    """
    seen: dict[int, NDArray[np.bool_]] = {}
    for camera in cameras:
        shown = [k for k in range(len(actors)) if pixels[camera.name][k + 1]]
        if camera.ego_from_camera is None or not shown:
            continue
        points_m = np.concatenate([_surface_m(actors[k]) for k in shown])
        camera_from_town = (town_from_ego @ camera.ego_from_camera).inverse()
        px, ahead = camera.project(camera_from_town.apply(points_m))
        numbers = np.repeat(np.array(shown) + 1, meshes.SAMPLES)
        hit = np.zeros(len(points_m), dtype=bool)
        hit[ahead] = _on_mask(masks[camera.name], numbers[ahead], px[ahead])
        for k, row in zip(shown, hit.reshape(len(shown), -1), strict=True):
            seen[k] = seen[k] | row if k in seen else row
    shares = [seen[k].mean() if k in seen else 0.0 for k in range(len(actors))]
    levels = 1 + np.searchsorted(VISIBLE_FROM, shares, side="right")
    return {actor.name: int(level) for actor, level in zip(actors, levels, strict=True)}


def _surface_m(actor: Actor) -> Floats:
    return actor.town_from_body.apply(meshes.surface_points(actor.body, actor.pose))


def _on_mask(mask: Names, numbers: NDArray[np.int64], px: Floats) -> NDArray[np.bool_]:
    """(S,) whether one of the four pixels round each place is the actor's: small ones have no
    pixel of their own at their rims."""
    height, width = mask.shape
    inside = (px > -0.5).all(axis=1) & (px < np.array([width, height]) - 0.5).all(axis=1)
    low = np.floor(np.where(inside[:, None], px, 0.0)).astype(np.int64)
    hit = np.zeros(len(px), dtype=bool)
    for dx in (0, 1):
        for dy in (0, 1):
            columns = np.clip(low[:, 0] + dx, 0, width - 1)
            rows = np.clip(low[:, 1] + dy, 0, height - 1)
            hit |= mask[rows, columns] == numbers
    return np.asarray(hit & inside)
