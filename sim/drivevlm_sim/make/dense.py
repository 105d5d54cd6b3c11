"""Truth per pixel of a keyframe: whose each is, how far it is, and where signal heads are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from drivevlm.data.dense import DenseView, Pixels, SignalHead
from drivevlm.world.camera import Camera
from drivevlm_sim.keyframes import Rig
from drivevlm_sim.render.camera import DepthsM, Mask
from drivevlm_sim.render.truth_pass import Sight
from drivevlm_sim.scene_log import SceneLog
from drivevlm_sim.town.town import SignalHead as Head
from drivevlm_sim.town.town import Town
from drivevlm_sim.traffic.signals import colour

# H, W: of a picture.
DEPTH_BITS = 8
"""Depths are told to so many binary digits, from 1 m on to half a percent; so they pack well."""
_FARTHEST_CM = 65_535


def dense_views(
    sight: Sight,
    log: SceneLog,
    step: int,
    *,
    town: Town,
    rig: Rig,
    boxed: Mapping[str, str],
    every: int,
) -> dict[str, DenseView]:
    """By camera, what each pixel shows.

    Args:
        sight: Of the step.
        log: The scene.
        step: Of it.
        town: It plays in.
        rig: That took the pictures.
        boxed: Road users that have a box, with their names in the tables; masks know no others.
        every: Keep every so many-th pixel each way.
    """
    numbers = np.zeros(len(sight.actors) + sight.setting.heads + 1, dtype=np.uint16)
    named = [k for k, actor in enumerate(sight.actors) if actor.name in boxed]
    numbers[[k + 1 for k in named]] = np.arange(1, len(named) + 1)
    instances = tuple(boxed[sight.actors[k].name] for k in named)
    kept = slice(every // 2, None, every)
    return {
        camera.name: DenseView(
            numbers[sight.masks[camera.name][kept, kept]],
            instances,
            depth_cm(sight.depths_m[camera.name][kept, kept]),
            tuple(_heads(sight, log, step, town, camera)),
        )
        for camera in rig.cameras
    }


def depth_cm(depth_m: DepthsM) -> Pixels:
    """Depths to ``DEPTH_BITS`` digits; 0 in the sky and beyond 655.35 m."""
    cm = np.where(np.isfinite(depth_m), depth_m, 0.0) * 100.0
    cm = np.where(cm > _FARTHEST_CM, 0.0, cm)
    _, exponent = np.frexp(cm)
    unit = np.exp2(np.maximum(exponent - DEPTH_BITS, 0))
    told: Pixels = np.minimum(np.round(cm / unit) * unit, _FARTHEST_CM).astype(np.uint16)
    return told


def _heads(
    sight: Sight, log: SceneLog, step: int, town: Town, camera: Camera
) -> Iterator[SignalHead]:
    """Those that look towards a camera and cover a pixel of it."""
    mask = sight.masks[camera.name]
    first = len(sight.actors) + 1
    for k in np.flatnonzero(sight.pixels[camera.name][first:]):
        head = town.signal_heads[k]
        if _looks_at(head, sight, camera):
            letter = log.signals[head.signal][step][head.link]
            box_px = _box_px(mask == first + k)
            yield SignalHead(f"{head.signal}/{head.link}", colour(letter), box_px)


def _looks_at(head: Head, sight: Sight, camera: Camera) -> bool:
    if camera.ego_from_camera is None:
        return False
    lens_m = (sight.town_from_ego @ camera.ego_from_camera).translation_m
    towards_m = lens_m[:2] - np.array(head.xyz_m[:2])
    return bool(towards_m @ (np.cos(head.yaw_rad), np.sin(head.yaw_rad)) > 0)


def _box_px(pixels: Mask) -> tuple[float, float, float, float]:
    """The outer edges of pixels; a pixel's own middle is a whole number."""
    rows, columns = np.nonzero(pixels)
    left, top, right, bottom = columns.min(), rows.min(), columns.max(), rows.max()
    return float(left) - 0.5, float(top) - 0.5, float(right) + 0.5, float(bottom) + 0.5
