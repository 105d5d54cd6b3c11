"""The tables of a shard: their columns, types and what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drivevlm.data.recording import DataError

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
"""Raised whenever a table changes, so that nothing is misread."""
TABLES = ("clips", "steps", "images", "polygons", "dense")
MANIFEST = "manifest.json"
BEGUN = "pack.json"
"""What an unfinished folder holds in place of the manifest."""


def parquet() -> tuple[Any, Any]:
    """The modules ``pyarrow`` and ``pyarrow.parquet``. Raises DataError where they are missing."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(
            f"packed data need pyarrow ({error}): pip install 'drivevlm[train]'"
        ) from None
    return pyarrow, pyarrow.parquet


def schemas() -> dict[str, pa.Schema]:
    """By table. Each column's meaning is in its metadata, and so in every file."""
    pa, _ = parquet()
    return {
        table: pa.schema(
            [pa.field(name, kind, metadata={"doc": doc}) for name, kind, doc in columns]
        )
        for table, columns in {
            "clips": [*_asked(pa), *_known(pa)],
            "steps": _steps(pa),
            "images": _images(pa),
            "polygons": [
                ("layer", pa.string(), "Layer of the map, e.g. drivable_area."),
                ("wkb", pa.binary(), "The polygon in the global frame, m, as well-known binary."),
            ],
            "dense": _dense(pa),
        }.items()
    }


def documentation() -> dict[str, dict[str, str]]:
    """By table and column, what it means."""
    return {
        table: {field.name: field.metadata[b"doc"].decode() for field in schema}
        for table, schema in schemas().items()
    }


ASKED = (
    "token",
    "scene",
    "t0_us",
    "cameras",
    "status",
    "history",
    "summary",
    "proposals",
    "prior",
    "command",
)
"""Columns of ``clips`` that a ``Clip`` is made of."""

Columns = list[tuple[str, Any, str]]
POSE = "12 numbers, row by row: the (3, 3) rotation, then the translation in m"


def _asked(pa: Any) -> Columns:
    """Of a clip: what a planner may know."""
    text, number, numbers = pa.string(), pa.float64(), pa.list_(pa.float64())
    frame = pa.struct([("stamp_us", pa.int64()), ("now_from_then", numbers), ("image", pa.int32())])
    camera = pa.struct(
        [
            ("name", text),
            ("width_px", pa.int32()),
            ("height_px", pa.int32()),
            ("intrinsics", numbers),
            ("ego_from_camera", numbers),
            ("frames", pa.list_(frame)),
        ]
    )
    status = [("speed_mps", number), ("acceleration_mps2", number), ("yaw_rate_radps", number)]
    history = [("stamp_us", pa.list_(pa.int64())), ("xy_ego_m", numbers), ("yaw_ego_rad", numbers)]
    box = pa.struct(
        [
            ("center_ego_m", numbers),
            ("size_lwh_m", numbers),
            ("yaw_ego_rad", number),
            ("category", text),
            ("velocity_ego_mps", numbers),
            ("score", number),
            ("id", text),
        ]
    )
    plan = pa.struct([("xy_ego_m", numbers), ("dt_s", number), ("yaw_ego_rad", numbers)])
    command = [("command", text), ("text", text), ("distance_m", number), ("provenance", text)]
    return [
        ("token", text, "Names the clip (a keyframe) in its recording."),
        ("scene", text, "Clips of one scene follow each other in time."),
        ("t0_us", pa.int64(), "Decision time."),
        (
            "cameras",
            pa.list_(camera),
            "Per camera its calibration (intrinsics: 9 numbers, row by row; null where "
            "uncalibrated) and its frames, oldest first. image is a row of the shard's images. "
            "now_from_then: the ego frame at the stamp seen from decision time's. A pose is "
            f"{POSE}.",
        ),
        (
            "status",
            pa.struct([*status, ("provenance", text)]),
            "The ego's motion at decision time.",
        ),
        (
            "history",
            pa.struct(history),
            "Past poses in today's ego frame; xy is x0, y0, x1, y1, ...",
        ),
        (
            "summary",
            pa.struct([("text", text), ("age_s", number), ("provenance", text)]),
            "The scene in words.",
        ),
        (
            "proposals",
            pa.struct([("boxes", pa.list_(box)), ("provenance", text)]),
            "Scored boxes in the ego frame.",
        ),
        ("prior", pa.struct([("plan", plan), ("age_s", number)]), "An earlier plan, where given."),
        ("command", pa.struct(command), "What the router asks for."),
    ]


def _known(pa: Any) -> Columns:
    """Of a clip: the truth, and what is handy in training."""
    text, numbers = pa.string(), pa.list_(pa.float64())
    step = pa.struct([("offset", pa.int8()), ("step", pa.int32())])
    layer = pa.struct([("layer", text), ("polygons", pa.list_(pa.int32()))])
    box = pa.struct(
        [
            ("camera", text),
            ("instance", text),
            ("category", text),
            ("box_px", pa.list_(pa.float32())),
            ("inside", pa.float32()),
            ("depth_m", pa.float32()),
            ("visibility", pa.int8()),
        ]
    )
    truth = [("scene", text), ("description", text), ("steps", pa.list_(step))]
    return [
        (
            "truth",
            pa.struct(truth),
            "Keyframes around decision time: offset in keyframes, step is a row of the shard's "
            "steps. Null where the recording has no poses.",
        ),
        ("map", pa.list_(layer), "By layer, rows of the shard's polygons that are near the ego."),
        ("labels", text, "True reasons of the decision as JSON; null where there are none."),
        ("pair", text, "The twin pair that the clip is a side of, as JSON; null where of none."),
        (
            "future_xy_ego_m",
            numbers,
            "The recorded future, x1, y1, x2, y2, ... in today's ego frame, a pair each 0.5 s to "
            "3 s; NaN where not recorded.",
        ),
        ("future_yaw_ego_rad", numbers, "Its headings."),
        (
            "image_boxes",
            pa.list_(box),
            "Labelled objects in each camera's newest image. box_px: left, top, right, bottom of "
            "the projected hull, cut at the border; inside: the share of it that was kept; "
            "depth_m: of the centre along the optical axis; visibility: 1 to 4, 0 unknown.",
        ),
        ("dense", pa.list_(pa.int32()), "Rows of the shard's dense table, one a camera."),
    ]


def _steps(pa: Any) -> Columns:
    text, numbers, integers = pa.string(), pa.list_(pa.float64()), pa.list_(pa.int64())
    boxes = [
        *((name, numbers) for name in ("center_global_m", "size_lwh_m", "wxyz_global")),
        *((name, pa.list_(text)) for name in ("category", "instance", "annotation", "following")),
        *((name, integers) for name in ("lidar_points", "radar_points", "visibility")),
        ("attribute", pa.list_(text)),
    ]
    return [
        ("stamp_us", pa.int64(), "Of the keyframe."),
        ("global_from_ego", numbers, f"The recorded pose: {POSE}."),
        ("ego_from_lidar", numbers, "Where the main lidar sits; null where there is none."),
        (
            "boxes",
            pa.struct(boxes),
            "All labelled boxes, N of each: centres 3N, sizes (length, width, height) 3N, "
            "quaternions (w, x, y, z) 4N, and per box its names, measured points, visibility "
            "(1 to 4, 0 unknown) and attribute.",
        ),
    ]


def _images(pa: Any) -> Columns:
    return [
        ("scene", pa.string(), "The scene of the clip that first shows the image."),
        ("camera", pa.string(), "The camera's name."),
        ("stamp_us", pa.int64(), "When it was taken."),
        ("file", pa.string(), 'The name of the file that it was recorded in; "" where unknown.'),
        ("encoded", pa.binary(), "The bytes as recorded (JPEG or PNG); null where missing."),
        ("trouble", pa.string(), "Why the bytes are missing; null where they are not."),
    ]


def _dense(pa: Any) -> Columns:
    text, small = pa.string(), pa.list_(pa.uint16())
    head = pa.struct([("name", text), ("state", text), ("box_px", pa.list_(pa.float32()))])
    return [
        ("token", text, "The clip."),
        ("camera", text, "The camera; its newest image."),
        ("width_px", pa.int32(), "Of mask and depth, which are smaller than the image."),
        ("height_px", pa.int32(), "Likewise."),
        ("mask", small, "Row by row, 0 where no object is, k for instances[k - 1]; null: none."),
        ("instances", pa.list_(text), "Names of the objects, as in the boxes."),
        ("depth_cm", small, "Row by row, along the optical axis; 0 where nothing is; null: none."),
        ("heads", pa.list_(head), "Signal heads: state, and rectangle in pixels of the image."),
    ]
