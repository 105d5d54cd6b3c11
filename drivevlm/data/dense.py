"""Truth per pixel, from ``drivevlm_truth/`` beside the tables, where it is there.

One file ``<sample token>.npz`` a keyframe. For each camera NAME that it speaks of, all optional::

    NAME.mask       (H, W) uint16: 0 where no object is, k for instances[k - 1]
    NAME.depth_cm   (H, W) uint16: along the optical axis; 0 where nothing is, or beyond 655.35 m
    NAME.head_name  (S,) text: names of the signal heads
    NAME.head_state (S,) text: none, red, amber, green or unknown
    NAME.head_px    (S, 4) float32: left, top, right, bottom in pixels of the image

and once ``instances``, (N,) text: names of the objects, as ``sample_annotation`` calls them. Mask
and depth show the camera's newest image, as small as one likes, both of one size. No file holds
pickled objects.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivevlm.data.recording import DataError
from drivevlm.world.sets import Signal

DENSE_FOLDER = "drivevlm_truth"
PARTS = ("mask", "depth_cm", "head_name", "head_state", "head_px")
Pixels = NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class SignalHead:
    """A traffic light's head in an image.

    Attributes:
        name: Of the light.
        state: What it shows.
        box_px: Left, top, right, bottom.
    """

    name: str
    state: Signal
    box_px: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class DenseView:
    """What is known of each pixel of a camera's newest image. H, W: of mask and depth.

    Attributes:
        mask: (H, W) 0 where no object is, k for ``instances[k - 1]``; None where unknown.
        instances: Names of the objects.
        depth_cm: (H, W) along the optical axis, 0 where nothing is; None where unknown.
        heads: Signal heads.
    """

    mask: Pixels | None
    instances: tuple[str, ...]
    depth_cm: Pixels | None
    heads: tuple[SignalHead, ...]

    def __post_init__(self) -> None:
        shapes = {p.shape for p in (self.mask, self.depth_cm) if p is not None}
        if len(shapes) > 1 or any(len(shape) != 2 for shape in shapes):
            raise ValueError(f"mask and depth_cm must be (H, W), of one size, got {shapes}")
        if self.mask is not None and self.mask.size and self.mask.max() > len(self.instances):
            raise ValueError(f"a mask names {len(self.instances)} objects, got {self.mask.max()}")


def read_dense(folder: Path, token: str) -> Mapping[str, DenseView]:
    """By camera; empty where the folder has no file of the keyframe. Raises DataError."""
    path = dense_file(folder, token)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return _views(arrays)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: no truth per pixel can be read there ({error})") from error


def dense_bytes(views: Mapping[str, DenseView]) -> bytes:
    """The file of a keyframe, the same bytes for the same views. All share their ``instances``."""
    arrays: dict[str, Any] = {}
    for camera, view in views.items():
        if "instances" in arrays and arrays["instances"].tolist() != list(view.instances):
            raise ValueError(f"{camera}: views of one keyframe must name the same instances")
        arrays["instances"] = np.array(view.instances, dtype=np.str_)
        for name in ("mask", "depth_cm"):
            if getattr(view, name) is not None:
                arrays[f"{camera}.{name}"] = getattr(view, name)
        if view.heads:
            heads = view.heads
            arrays[f"{camera}.head_name"] = np.array([head.name for head in heads], dtype=np.str_)
            arrays[f"{camera}.head_state"] = np.array([head.state.value for head in heads])
            arrays[f"{camera}.head_px"] = np.array([head.box_px for head in heads], np.float32)
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def write_dense(folder: Path, token: str, views: Mapping[str, DenseView]) -> None:
    """Write the file of a keyframe."""
    folder.mkdir(parents=True, exist_ok=True)
    dense_file(folder, token).write_bytes(dense_bytes(views))


def dense_file(folder: Path, token: str) -> Path:
    """Where the file of a keyframe lies."""
    return folder / f"{token}.npz"


def _views(arrays: Mapping[str, NDArray[Any]]) -> dict[str, DenseView]:
    names = [name for name in arrays if name != "instances"]
    strange = [name for name in names if name.rpartition(".")[2] not in PARTS]
    if strange:
        raise ValueError(f"expected CAMERA.{{{', '.join(PARTS)}}} and instances, got {strange[0]}")
    instances = tuple(str(name) for name in arrays.get("instances", ()))
    cameras = sorted({name.rpartition(".")[0] for name in names})
    return {camera: _view(camera, arrays, instances) for camera in cameras}


def _view(camera: str, arrays: Mapping[str, NDArray[Any]], instances: tuple[str, ...]) -> DenseView:
    pixels = {name: arrays.get(f"{camera}.{name}") for name in ("mask", "depth_cm")}
    for name, array in pixels.items():
        if array is not None and array.dtype != np.uint16:
            raise ValueError(f"{camera}.{name} must be uint16, got {array.dtype}")
    heads: list[SignalHead] = []
    if f"{camera}.head_name" in arrays:
        columns = [arrays[f"{camera}.{name}"] for name in ("head_name", "head_state", "head_px")]
        for name, state, box_px in zip(*columns, strict=True):
            left, top, right, bottom = (float(v) for v in box_px)
            heads.append(SignalHead(str(name), Signal(str(state)), (left, top, right, bottom)))
    return DenseView(pixels["mask"], instances, pixels["depth_cm"], tuple(heads))
