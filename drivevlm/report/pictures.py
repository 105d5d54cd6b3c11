"""Camera pictures of a clip: the image as a data URI and, over it, paths and boxes."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drivevlm.report.shapes import (
    DRAWN_LAST,
    Ink,
    Layer,
    Shape,
    box_edges,
    clip_polygon,
    clip_polyline,
    driven_path,
    frustum,
    on_ground,
    ribbon,
    svg_dots,
    svg_lines,
)
from drivevlm.report.view import ClipView
from drivevlm.world.boxes import Box3
from drivevlm.world.camera import Camera, CameraSequence, FrameError
from drivevlm.world.labels import boxes_now
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Floats, Pose3
from drivevlm.world.sets import Verdict

IMAGE_WIDTH_PX = 640
JPEG_QUALITY = 72
FARTHEST_LABEL_M = 60.0
"""Labelled boxes beyond this are too small to look at."""

Boxes = tuple[Box3, ...]

_SLOTS = {
    ("front", "left"): (0, 0),
    ("front", ""): (0, 1),
    ("front", "right"): (0, 2),
    ("back", "left"): (1, 0),
    ("back", ""): (1, 1),
    ("back", "right"): (1, 2),
}


@dataclass(frozen=True, slots=True)
class Picture:
    """One camera's newest image.

    Attributes:
        name: The camera's.
        caption: Stamp relative to decision time, and how many images there are.
        size_px: Coordinates of the shapes.
        jpeg: Data URI, scaled down; "" where the image is missing.
        missing: Why it is missing; "" where it is there.
        shapes: Over the picture; empty where uncalibrated.
        row, column: Place in the grid, from 1.
    """

    name: str
    caption: str
    size_px: tuple[int, int]
    jpeg: str
    missing: str
    shapes: tuple[Shape, ...]
    row: int
    column: int


def pictures(view: ClipView) -> tuple[Picture, ...]:
    """All cameras: around the car where their names say where they look, else in a grid."""
    sequences = view.clip.cameras
    labels = () if view.truth is None else boxes_now(view.truth)
    near = tuple(box for box in labels if box.distance_m <= FARTHEST_LABEL_M)
    names = [sequence.camera.name for sequence in sequences]
    return tuple(
        _picture(view, near, sequence, row + 1, column + 1)
        for sequence, (row, column) in zip(sequences, rig_places(names), strict=True)
    )


def rig_places(names: Sequence[str]) -> list[tuple[int, int]]:
    """(row, column) per camera, from 0: by the words front, back or rear, left, right."""
    slots = [_slot(name) for name in names]
    known = [slot for slot in slots if slot is not None]
    if len(known) < len(names) or len(set(known)) < len(names):
        return [divmod(k, 3) for k in range(len(names))]
    rows = sorted({row for row, _ in known})
    columns = sorted({column for _, column in known})
    return [(rows.index(row), columns.index(column)) for row, column in known]


def _slot(name: str) -> tuple[int, int] | None:
    low = name.lower().replace("rear", "back")
    ends = [end for end in ("front", "back") if end in low]
    sides = [side for side in ("left", "right") if side in low]
    if len(ends) != 1 or len(sides) > 1:
        return None
    return _SLOTS[ends[0], sides[0] if sides else ""]


def _picture(
    view: ClipView, labels: Boxes, sequence: CameraSequence, row: int, column: int
) -> Picture:
    frame = sequence.frames[-1]
    late_ms = round((frame.stamp_us - view.clip.t0_us) / 1e3)
    count = len(sequence.frames)
    jpeg, missing = "", ""
    try:
        jpeg = jpeg_uri(frame.loaded().decode())
    except FrameError as error:
        missing = str(error)
    return Picture(
        name=sequence.camera.name,
        caption=f"{late_ms:+d} ms" + (f", newest of {count}" if count > 1 else ""),
        size_px=frame.size_px,
        jpeg=jpeg,
        missing=missing,
        shapes=() if missing else _overlay(view, labels, sequence),
        row=row,
        column=column,
    )


def jpeg_uri(image_rgb: NDArray[np.uint8]) -> str:
    """An image (H, W, 3) as a data URI, scaled down to ``IMAGE_WIDTH_PX``."""
    height, width = image_rgb.shape[:2]
    if width > IMAGE_WIDTH_PX:
        size_px = (IMAGE_WIDTH_PX, max(1, round(height * IMAGE_WIDTH_PX / width)))
        small = cv2.resize(image_rgb, size_px, interpolation=cv2.INTER_AREA)
        image_rgb = np.asarray(small, dtype=np.uint8)
    image = Image.fromarray(image_rgb)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode("ascii")


def _overlay(view: ClipView, labels: Boxes, sequence: CameraSequence) -> tuple[Shape, ...]:
    camera = sequence.camera
    if camera.intrinsics is None or camera.ego_from_camera is None:
        return ()
    then_from_now = sequence.frames[-1].now_from_then
    now_from_camera = (
        camera.ego_from_camera if then_from_now is None else then_from_now @ camera.ego_from_camera
    )
    pen = _Pen(camera, now_from_camera.inverse())
    shapes = [*_boxes(view, labels, pen), *_ways(view, pen)]
    return tuple(shape for shape in shapes if shape.path)


def _boxes(view: ClipView, labels: Boxes, pen: _Pen) -> Iterator[Shape]:
    for box in labels:
        yield pen.box(box, Layer.LABELS, Ink.LINE, box.category)
    main = next(iter(view.decisions.values()), None)
    for found in main.detections if main is not None else ():
        ink = Ink.DASHED if found.verdict is Verdict.DROPPED else Ink.LINE
        title = f"{found.verdict.value} {found.box.id} {found.box.category}"
        yield pen.box(found.box, Layer.SEEN, ink, title)


def _ways(view: ClipView, pen: _Pen) -> list[Shape]:
    shapes: list[Shape] = []
    for k, (name, decision) in enumerate(view.decisions.items()):
        if decision.plan is not None:
            path = driven_path(decision.plan.xy_ego_m)
            layer, wide = (Layer.OTHERS, None) if k else (Layer.PLAN, decision.plan)
            shapes += pen.way(wide, path, layer, name, variant=k)
    if view.truth is not None:
        path = driven_path(view.truth.future_path()[0])
        shapes += pen.way(view.truth.future_plan(), path, Layer.TRUTH, "recorded")
    return sorted(shapes, key=lambda s: (s.ink is not Ink.AREA, DRAWN_LAST.index(s.layer)))


class _Pen:
    """Draws things of the ego frame into one picture, cut to what the camera can show."""

    def __init__(self, camera: Camera, camera_from_now: Pose3) -> None:
        self._camera = camera
        self._camera_from_now = camera_from_now
        self._planes = frustum(camera)

    def box(self, box: Box3, layer: Layer, ink: Ink, title: str) -> Shape:
        corners = self._camera_from_now.apply(box.corners_ego_m())
        outside = corners @ self._planes[:, :3].T < self._planes[:, 3]
        if outside.all(axis=0).any():
            return Shape(layer, ink, "", title)
        runs = [run for edge in box_edges(box) for run in self._lines(edge)]
        return Shape(layer, ink, svg_lines(runs, closed=False), title)

    def way(
        self, plan: Plan | None, path: Floats, layer: Layer, title: str, variant: int = 0
    ) -> list[Shape]:
        """The path as a line with waypoints, and as a ribbon where its headings are known."""
        shapes = []
        if plan is not None:
            quads = [self._area(on_ground(quad)) for quad in ribbon(plan)]
            area = svg_lines([q for q in quads if len(q) > 2], closed=True)
            shapes.append(Shape(layer, Ink.AREA, area, title, variant))
        lines = svg_lines(self._lines(on_ground(path)), closed=False)
        shapes.append(Shape(layer, Ink.LINE, lines, title, variant))
        seen = self._camera_from_now.apply(on_ground(path[1:]))
        inside = (seen @ self._planes[:, :3].T >= self._planes[:, 3]).all(axis=1)
        dots = svg_dots(self._camera.project(seen[inside])[0])
        return [*shapes, Shape(layer, Ink.DOTS, dots, title, variant)]

    def _lines(self, xyz_ego_m: Floats) -> list[Floats]:
        seen = clip_polyline(self._camera_from_now.apply(xyz_ego_m), self._planes)
        return [self._camera.project(run)[0] for run in seen]

    def _area(self, xyz_ego_m: Floats) -> Floats:
        seen = clip_polygon(self._camera_from_now.apply(xyz_ego_m), self._planes)
        return self._camera.project(seen)[0] if len(seen) else np.zeros((0, 2))
