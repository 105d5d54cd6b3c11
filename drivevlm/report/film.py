"""A scene as a film: all cameras, the road from above, and the reasons in words."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drivevlm.report.pictures import rig_places
from drivevlm.report.shapes import outline
from drivevlm.report.view import ClipView
from drivevlm.world.body import CENTER_M, LENGTH_M, WIDTH_M
from drivevlm.world.labels import boxes_now
from drivevlm.world.pose import Floats
from drivevlm.world.scene_labels import SceneLabels
from drivevlm.world.truth import Truth

# H, W: of a picture.
Rgb = NDArray[np.uint8]
FILMS = (".mp4", ".gif")
"""Endings of the files that a film can be."""
ABOVE_M = 60.0
"""Side of the square that is seen from above."""
AHEAD_SHARE = 0.68
"""Where the ego stands in it, from its upper edge."""
LINE_PX = 17
BACKGROUND = (24, 26, 30)
ROAD, LANE = (62, 66, 72), (92, 97, 104)
EGO, BOX, PATH = (88, 176, 255), (236, 196, 92), (110, 224, 130)
TEXT, FAINT = (238, 238, 238), (160, 160, 160)


def film_frame(view: ClipView, *, title: str) -> Rgb:
    """One moment (H, W, 3): cameras as they sit on the vehicle, the road from above, words."""
    cameras = _cameras(view)
    side = cameras.shape[0]
    above = _above(view.truth, side) if view.truth is not None else np.zeros((side, side, 3), "u1")
    words = _words(view, title, cameras.shape[1] + side)
    return np.vstack([np.hstack([cameras, above]), words])


def write_film(path: Path, frames: Iterator[Rgb], *, rate_hz: float) -> None:
    """Write an mp4 or a GIF, by the file's ending.

    Raises ValueError for another ending; an mp4 needs imageio-ffmpeg.
    """
    if path.suffix == ".gif":
        pictures = [Image.fromarray(frame).quantize(128) for frame in frames]
        step_ms = round(1000 / rate_hz)
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=step_ms, loop=0)
    elif path.suffix == ".mp4":
        _write_mp4(path, frames, rate_hz)
    else:
        raise ValueError(f"a film is an .mp4 or a .gif, got {path.name}")


def _write_mp4(path: Path, frames: Iterator[Rgb], rate_hz: float) -> None:
    import imageio_ffmpeg

    writer = None
    for frame in frames:
        even = np.ascontiguousarray(frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2])
        if writer is None:
            size = (even.shape[1], even.shape[0])
            # Every player shows it at ten pictures a second, whatever the rate of the keyframes.
            writer = imageio_ffmpeg.write_frames(
                str(path),
                size,
                fps=rate_hz,
                codec="libx264",
                output_params=["-r", "10", "-crf", "22", "-movflags", "+faststart"],
                macro_block_size=2,
                ffmpeg_log_level="error",
            )
            writer.send(None)
        writer.send(even)
    if writer is not None:
        writer.close()


def _cameras(view: ClipView) -> Rgb:
    """The newest picture of every camera; unlike sizes are fitted into the first one's."""
    names = [sequence.camera.name for sequence in view.clip.cameras]
    places = rig_places(names)
    width, height = view.clip.cameras[0].camera.size_px
    rows, columns = (1 + max(place[k] for place in places) for k in (0, 1))
    sheet = np.full((rows * height, columns * width, 3), BACKGROUND, dtype=np.uint8)
    for sequence, (row, column) in zip(view.clip.cameras, places, strict=True):
        newest = sequence.frames[-1].decode()
        picture = np.asarray(cv2.resize(newest, (width, height)), dtype=np.uint8)
        _write(picture, sequence.camera.name, (6, LINE_PX), FAINT)
        y, x = row * height, column * width
        sheet[y : y + height, x : x + width] = picture
    return sheet


def _above(truth: Truth, side_px: int) -> Rgb:
    """The road from above, ahead is up: map, labelled boxes, the way that was driven."""
    sheet = np.full((side_px, side_px, 3), BACKGROUND, dtype=np.uint8)
    scale = side_px / ABOVE_M

    def pixels(xy_ego_m: Floats) -> NDArray[np.int32]:
        x, y = xy_ego_m[:, 0], xy_ego_m[:, 1]
        places = np.stack([side_px / 2 - y * scale, side_px * AHEAD_SHARE - x * scale], axis=1)
        return np.asarray(np.round(np.clip(places, -9999, 9999)), dtype=np.int32)

    ego_from_global = truth.now.global_from_ego.inverse().planar()
    for polygon in truth.map_polygons.get("drivable_area", ()):
        rings = [polygon.exterior, *polygon.interiors]
        flat = [pixels(ego_from_global.apply(np.array(ring.coords)[:, :2])) for ring in rings]
        cv2.fillPoly(sheet, flat, ROAD, cv2.LINE_AA)
    for polygon in truth.map_polygons.get("lane", ()):
        ring = pixels(ego_from_global.apply(np.array(polygon.exterior.coords)[:, :2]))
        cv2.polylines(sheet, [ring], True, LANE, 1, cv2.LINE_AA)
    for box in boxes_now(truth, unmeasured=True):
        corners, nose = outline(box)
        cv2.polylines(sheet, [pixels(corners)], True, BOX, 1, cv2.LINE_AA)
        cv2.polylines(sheet, [pixels(nose)], False, BOX, 1, cv2.LINE_AA)
    rear, front = CENTER_M - LENGTH_M / 2, CENTER_M + LENGTH_M / 2
    half = WIDTH_M / 2
    body = np.array([[front, half], [front, -half], [rear, -half], [rear, half]])
    cv2.fillPoly(sheet, [pixels(body)], EGO, cv2.LINE_AA)
    path = np.vstack([[0.0, 0.0], truth.future_path()[0]])
    known = pixels(path[np.isfinite(path).all(axis=1)])
    cv2.polylines(sheet, [known], False, PATH, 2, cv2.LINE_AA)
    for x, y in known[1:].tolist():
        cv2.circle(sheet, (x, y), 3, PATH, -1, cv2.LINE_AA)
    return sheet


def _words(view: ClipView, title: str, width_px: int) -> Rgb:
    told = [title]
    if view.clip.status is not None:
        told[0] += f" · {view.clip.status.speed_mps * 3.6:.0f} km/h"
    labels = view.truth.labels if view.truth is not None else None
    if labels is not None:
        told += reason_lines(labels)
    lines = [part for line in told for part in textwrap.wrap(line, width_px // 8)] + [""] * 4
    sheet = np.full((4 * LINE_PX + 10, width_px, 3), BACKGROUND, dtype=np.uint8)
    for k, line in enumerate(lines[:4]):
        _write(sheet, line, (8, (k + 1) * LINE_PX), TEXT if k else FAINT)
    return sheet


def reason_lines(labels: SceneLabels) -> Sequence[str]:
    """What is known of why the driver did what it did, in a few lines."""
    facts = [f"decision: {labels.meta.longitudinal.value} / {labels.meta.lateral.value}"]
    if labels.signal.distance_m is not None:
        facts.append(f"signal {labels.signal.state.value} in {labels.signal.distance_m:.0f} m")
    if labels.lead is not None:
        facts.append(f"lead in {labels.lead.gap_m:.0f} m")
    if labels.route is not None:
        facts.append(f"route: {labels.route.command.value}")
    return [" · ".join(facts), " ".join(labels.sentences)]


def _write(sheet: Rgb, text: str, at_px: tuple[int, int], colour: tuple[int, ...]) -> None:
    plain = text.replace("·", "|").encode("ascii", "replace").decode()
    cv2.putText(sheet, plain, at_px, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(sheet, plain, at_px, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
