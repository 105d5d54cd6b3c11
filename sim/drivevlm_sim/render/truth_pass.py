"""What is truly seen: whose every pixel is, how far it is, and what the lidar meets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivevlm.world.camera import Camera
from drivevlm.world.pose import Floats, Pose2, Pose3
from drivevlm_sim.keyframes import Cloud, Rig
from drivevlm_sim.render import meshes
from drivevlm_sim.render.camera import View, view_of, view_through
from drivevlm_sim.render.cast import Actor
from drivevlm_sim.render.stage import TRUTH, Setting, Stage

# H, W: of a picture. P: points of a sweep. S: points on a body's surface. A: azimuths. R: rings.
REACH_M = 250.0
LIDAR_REACH_M = 80.0
RINGS_RAD = np.radians(np.linspace(-30.0, 10.0, 32))
"""Elevations of the rings, the lowest first: ring k of a cloud."""
VISIBLE_FROM = (0.4, 0.6, 0.8)
"""Shares of a body seen at which its visibility becomes 2, 3 and 4."""
GROUND_INTENSITY, THING_INTENSITY = 15.0, 60.0

_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
_SIDE_PX = 800
_VIEWS = 4


@dataclass(frozen=True, slots=True)
class Sweep:
    """How the lidar samples.

    Attributes:
        azimuths: Of a turn; nuScenes has about 1080.
        ground_every: Only so many-th azimuths keep points that lie on no road user.
    """

    azimuths: int = 1080
    ground_every: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """One step as the sensors see it.

    Attributes:
        actors: All road users but the ego; number k of them is k + 1 in masks.
        heads: How many signal heads there are: numbers after the actors', in the town's order.
        masks: By camera (H, W): whose each pixel is; 0 for town and sky.
        depths_m: By camera (H, W) along the optical axis; infinite in the sky.
        pixels: By camera (actors + heads + 1,) how many pixels each number has.
        visibility: By actor's name 1 (at most 40 % of it seen by all cameras together) to 4.
        cloud: The lidar's points; None where not asked for.
        cloud_of: (P,) number of the actor that each point lies on, 0 elsewhere.
    """

    actors: tuple[Actor, ...]
    heads: int
    masks: Mapping[str, NDArray[np.uint16]]
    depths_m: Mapping[str, NDArray[np.float32]]
    pixels: Mapping[str, NDArray[np.int64]]
    visibility: Mapping[str, int]
    cloud: Cloud | None
    cloud_of: NDArray[np.uint16] | None

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
    stage: Stage, setting: Setting, rig: Rig, town_from_ego: Pose3, sweep: Sweep | None
) -> Sight:
    """Draw names and depths for all sensors of a rig and count."""
    masks, depths_m, pixels = {}, {}, {}
    numbers = len(setting.actors) + setting.heads + 1
    for camera in rig.cameras:
        view = view_of(camera, town_from_ego, REACH_M)
        mask, depth_m = _names_and_depths(stage, setting, view)
        masks[camera.name], depths_m[camera.name] = mask, depth_m
        pixels[camera.name] = np.bincount(mask.reshape(-1), minlength=numbers)
    seen = {
        actor.name: _visibility(actor, k + 1, rig.cameras, town_from_ego, masks)
        for k, actor in enumerate(setting.actors)
    }
    cloud, cloud_of = None, None
    if sweep is not None:
        cloud, cloud_of = _sweep(stage, setting, town_from_ego @ rig.ego_from_lidar, sweep)
    return Sight(setting.actors, setting.heads, masks, depths_m, pixels, seen, cloud, cloud_of)


def _names_and_depths(
    stage: Stage, setting: Setting, view: View
) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    device = stage.device
    target = device.truth_target(view.size_px)
    target.use()
    target.clear(0.0, 0.0, 0.0, 0.0, depth=1.0)
    device.ctx.enable_only(device.ctx.DEPTH_TEST)
    device.ctx.depth_func = "<="
    device.set_uniforms(TRUTH, {"clip_from_town": view.clip_from_town})
    stage.draw(TRUTH, view, setting)
    width, height = view.size_px
    pair = np.frombuffer(target.read(components=2, dtype="f4"), dtype=np.float32)
    name, depth_m = np.moveaxis(pair.reshape(height, width, 2), -1, 0)
    return name.astype(np.uint16), np.where(depth_m > 0, depth_m, np.float32(np.inf))


def _visibility(
    actor: Actor,
    number: int,
    cameras: tuple[Camera, ...],
    town_from_ego: Pose3,
    masks: Mapping[str, NDArray[np.uint16]],
) -> int:
    """Judged by points on the whole surface: which of them fall on pixels that show the actor.

    Hidden parts of a body count by what covers them in the picture: where that is the body
    itself, they lie within its outline and are seen. Parts outside all pictures are not.
    """
    points_m = (town_from_ego.inverse() @ actor.town_from_body).apply(
        meshes.surface_points(actor.body, actor.pose)
    )
    seen = np.zeros(len(points_m), dtype=bool)
    for camera in cameras:
        mask = masks[camera.name]
        if camera.ego_from_camera is None or not (mask == number).any():
            continue
        px, ahead = camera.project(camera.ego_from_camera.inverse().apply(points_m))
        seen[ahead] |= _on_mask(mask, number, px[ahead])
    return 1 + int(np.searchsorted(VISIBLE_FROM, seen.mean(), side="right"))


def _on_mask(mask: NDArray[np.uint16], number: int, px: Floats) -> NDArray[np.bool_]:
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
            hit |= mask[rows, columns] == number
    return np.asarray(hit & inside)


def _sweep(
    stage: Stage, setting: Setting, town_from_lidar: Pose3, sweep: Sweep
) -> tuple[Cloud, NDArray[np.uint16]]:
    """Points at the first things that the rays meet, from four depth pictures round the lidar.

    Each ray takes the pixel that it passes through, and its point lies where that pixel's own ray
    meets the scene: exactly on a surface, less than a tenth of a degree off the nominal ray.
    """
    parts, owners = [], []
    for k in range(_VIEWS):
        middle_rad = k * 2 * np.pi / _VIEWS
        turn = Pose3.from_pose2(Pose2(0.0, 0.0, middle_rad))
        lidar_from_camera = Pose3(turn.rotation @ _OPTICAL, np.zeros(3))
        intrinsics, size_px = _lidar_lens()
        reach_m = LIDAR_REACH_M
        view = view_through(intrinsics, size_px, town_from_lidar @ lidar_from_camera, reach_m)
        names, depths_m = _names_and_depths(stage, setting, view)
        rings, azimuths, columns, rows = _rays(sweep, k)
        depth_m, owner = depths_m[rows, columns].astype(np.float64), names[rows, columns]
        owner = np.where(owner > len(setting.actors), 0, owner).astype(np.uint16)
        rays = np.stack([columns, rows, np.ones(len(rows))], -1) @ np.linalg.inv(intrinsics).T
        near = np.isfinite(depth_m)
        near &= np.where(near, depth_m, 0.0) * np.linalg.norm(rays, axis=1) < LIDAR_REACH_M
        near &= (owner > 0) | (azimuths % sweep.ground_every == 0)
        xyz_m = lidar_from_camera.apply(rays[near] * depth_m[near, None])
        intensity = np.where(owner[near] > 0, THING_INTENSITY, GROUND_INTENSITY)
        parts.append(np.column_stack([xyz_m, intensity, rings[near]]))
        owners.append(owner[near])
    return np.concatenate(parts).astype(np.float32), np.concatenate(owners)


def _lidar_lens() -> tuple[Floats, tuple[int, int]]:
    """A quarter turn wide, and high enough for all rings at its sides."""
    half = np.tan(np.pi / _VIEWS)
    focal = _SIDE_PX / 2 / half
    slope = np.tan(RINGS_RAD[[0, -1]]) * np.sqrt(1 + half**2)
    above, below = focal * slope[1] + 2, focal * -slope[0] + 2
    height = int(np.ceil(above + below))
    middle_x = (_SIDE_PX - 1) / 2
    intrinsics = np.array([[focal, 0.0, middle_x], [0.0, focal, above], [0.0, 0.0, 1.0]])
    return intrinsics, (_SIDE_PX, height)


def _rays(sweep: Sweep, quarter: int) -> tuple[NDArray[np.int64], ...]:
    """Rings, azimuths, pixel columns and rows of the rays of one of the views."""
    azimuths = np.arange(sweep.azimuths)
    turn = azimuths * 2 * np.pi / sweep.azimuths - quarter * 2 * np.pi / _VIEWS
    turn = np.mod(turn + np.pi, 2 * np.pi) - np.pi
    own = (turn >= -np.pi / _VIEWS) & (turn < np.pi / _VIEWS)
    intrinsics, (width, height) = _lidar_lens()
    side = np.tan(turn[own])
    slope = np.tan(RINGS_RAD)[:, None] / np.cos(turn[own])
    columns = np.round(intrinsics[0, 2] - intrinsics[0, 0] * side).astype(np.int64)
    rows = np.round(intrinsics[1, 2] - intrinsics[1, 1] * slope).astype(np.int64)
    rings = np.arange(len(RINGS_RAD))[:, None]
    shape = rows.shape
    return (
        np.broadcast_to(rings, shape).reshape(-1),
        np.broadcast_to(azimuths[own], shape).reshape(-1),
        np.broadcast_to(np.clip(columns, 0, width - 1), shape).reshape(-1),
        np.clip(rows, 0, height - 1).reshape(-1),
    )
