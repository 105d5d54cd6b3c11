"""The page of a recording: what it holds, how far ego motion alone goes, some of its pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from drivevlm.report.eyes import WordTable
from drivevlm.report.page import template, write_whole
from drivevlm.report.pictures import jpeg_uri
from drivevlm.report.results import remarks
from drivevlm.report.scores import ScoreRow, score_rows, split_rows
from drivevlm.world.camera import FrameError
from drivevlm.world.clip import Clip
from drivevlm.world.pose import Floats

BINS = 24
THUMB_PX = 320


@dataclass(frozen=True, slots=True)
class Histogram:
    """A distribution as bars.

    Attributes:
        name: With its unit.
        known, total: Values, and clips.
        low, high: Ends of the axis: the 1st and 99th percentile; what lies beyond is in the ends.
        median: Of all values.
        shares: Of the highest bar, by bin.
    """

    name: str
    known: int
    total: int
    low: float
    high: float
    median: float
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Thumb:
    """One clip of the contact sheet: its picture, or why there is none."""

    scene: str
    words: str
    jpeg: str
    missing: str


def histogram(name: str, values: Floats) -> Histogram | None:
    """None where no value is known."""
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    low, high = (float(v) for v in np.percentile(known, [1, 99]))
    high = high if high > low else low + 1.0
    counts, _ = np.histogram(np.clip(known, low, high), bins=BINS, range=(low, high))
    shares = tuple(float(c) / max(1, int(counts.max())) for c in counts)
    return Histogram(name, len(known), len(values), low, high, float(np.median(known)), shares)


def thumb(clip: Clip, camera: str) -> Thumb:
    """The newest picture of a camera, small."""
    speed = "" if clip.status is None else f"{clip.status.speed_mps:.1f} m/s"
    sequence = next((s for s in clip.cameras if s.camera.name == camera), None)
    if sequence is None:
        return Thumb(clip.scene, speed, "", f"no {camera}")
    try:
        image = sequence.frames[-1].decode()
    except FrameError as error:
        return Thumb(clip.scene, speed, "", str(error))
    size = (THUMB_PX, round(image.shape[0] * THUMB_PX / image.shape[1]))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return Thumb(clip.scene, speed, jpeg_uri(np.asarray(small, dtype=np.uint8)), "")


def write_stats_page(
    path: Path,
    *,
    title: str,
    facts: Mapping[str, str],
    results: Mapping[str, object],
    margins: tuple[Sequence[WordTable], Sequence[str]],
    counts: Mapping[str, Mapping[str, int]],
    values: Mapping[str, Floats],
    thumbs: Iterator[Thumb],
) -> Path:
    """Write the page, whole or not at all, and return its path.

    Args:
        path: Of the page.
        title, facts: What was looked at.
        results: Of baselines on it, an object like results.json.
        margins: What it is worth to know more: tables, and what must be said with them.
        counts: Tables of counts, by their heads.
        values: (C,) by name with unit: drawn as histograms.
        thumbs: Of the contact sheet.
    """
    bars = [found for name, v in values.items() if (found := histogram(name, v)) is not None]
    rows: Sequence[ScoreRow] = [*score_rows(results), *split_rows(results)]
    chunks = template("stats.html.jinja").generate(
        title=title,
        facts=facts,
        rows=rows,
        remarks=remarks(results),
        margins=margins,
        counts=counts,
        bars=bars,
        thumbs=thumbs,
    )
    return write_whole(path, chunks)
