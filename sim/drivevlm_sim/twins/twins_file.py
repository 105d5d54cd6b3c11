"""``twins.jsonl``, the list of pairs beside the tables of a ``v1.0-twins`` dataset.

One JSON object a line, in the order in which the pairs were written:

    pair      name, unique in the file
    family    what was changed between the scenes: a word of ``Family``
    town      name of the town, the unit by which results are grouped
    samples   [a, b]: sample tokens of both scenes at t0; a is the traffic as it went by itself
    t0_us     timestamp of both samples, microseconds
    cause     the one visible difference:
              kind        "signal", "vehicle" or "pedestrian"
              instance    token of the road user in ``instance.json``; only a road user has it
              signal      "plan/link", e.g. "B1/3"; only a signal has it
              camera      the camera at t0 that shows most of it
              pixels      how many pixels of it that camera shows, at the size of its images; of
                          both scenes' the greater; of a signal, those that look different
              distance_m  from the ego's rear axle, to the middle of its body or to the stop line
              there_s     for how long before t0 it was there, or away, as it is at t0; a signal
                          has none
    gap_3s_m  distance of the rear axles of both scenes 3 s after t0
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from drivevlm_sim.made_once import WorldError
from drivevlm_sim.twins.twin_pair import Cause, CauseKind, Family

TWINS_FILE = "twins.jsonl"
_LINE_KEYS = {"pair", "family", "town", "samples", "t0_us", "cause", "gap_3s_m"}
_CAUSE_KEYS = {"kind", "camera", "pixels", "distance_m"}
_ONE_KIND_KEYS = {"instance", "signal", "there_s"}


@dataclass(frozen=True, slots=True)
class SeenCause:
    """The visible difference of a pair, as a line tells it; see the module."""

    kind: CauseKind
    camera: str
    pixels: int
    distance_m: float
    instance: str = ""
    signal: str = ""
    there_s: float | None = None

    def __post_init__(self) -> None:
        if (self.kind is CauseKind.SIGNAL) != bool(self.signal):
            raise ValueError(f"a cause of kind {self.kind.value} has signal {self.signal!r}")
        if bool(self.signal) == bool(self.instance):
            raise ValueError("a cause has either an instance or a signal")
        if self.pixels < 0 or not math.isfinite(self.distance_m) or self.distance_m < 0:
            raise ValueError(f"a cause has {self.pixels} pixels at {self.distance_m} m")
        if self.there_s is not None and not 0 <= self.there_s < math.inf:
            raise ValueError(f"there_s is {self.there_s}")


@dataclass(frozen=True, slots=True)
class TwinLine:
    """One pair, as a line tells it; see the module."""

    pair: str
    family: Family
    town: str
    samples: tuple[str, str]
    t0_us: int
    cause: SeenCause
    gap_3s_m: float

    def __post_init__(self) -> None:
        if self.samples[0] == self.samples[1]:
            raise ValueError(f"both samples are {self.samples[0]!r}")
        if not math.isfinite(self.gap_3s_m) or self.gap_3s_m < 0:
            raise ValueError(f"gap_3s_m is {self.gap_3s_m}")


def signal_name(cause: Cause) -> str:
    """How a line names the ego's own light: plan and link."""
    return f"{cause.signal}/{cause.link}"


def write_twins(path: Path, lines: Iterable[TwinLine]) -> None:
    """Write the file anew."""
    text = "".join(json.dumps(_values(line)) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")


def read_twins(path: Path) -> tuple[TwinLine, ...]:
    """All lines of a file, checked.

    Raises:
        WorldError: There is none, or a line does not say what it should.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise WorldError(f"{path}: cannot read the list of twin pairs ({error})") from error
    lines: list[TwinLine] = []
    for number, row in enumerate(text.splitlines(), start=1):
        try:
            lines.append(_line(json.loads(row)))
        except (ValueError, TypeError, KeyError) as error:
            raise WorldError(
                f"{path}, line {number}: not a twin pair ({error}); make the dataset again"
            ) from error
    names = [line.pair for line in lines]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise WorldError(f"{path}: the pair {twice[0]!r} is listed more than once")
    return tuple(lines)


def _values(line: TwinLine) -> Mapping[str, object]:
    cause = line.cause
    what: dict[str, object] = {"signal": cause.signal}
    if not cause.signal:
        what = {"instance": cause.instance, "there_s": cause.there_s}
    return {
        "pair": line.pair,
        "family": line.family.value,
        "town": line.town,
        "samples": list(line.samples),
        "t0_us": line.t0_us,
        "cause": {
            "kind": cause.kind.value,
            **what,
            "camera": cause.camera,
            "pixels": cause.pixels,
            "distance_m": round(cause.distance_m, 3),
        },
        "gap_3s_m": round(line.gap_3s_m, 3),
    }


def _line(values: object) -> TwinLine:
    if not isinstance(values, dict) or set(values) != _LINE_KEYS:
        found = sorted(values) if isinstance(values, dict) else values
        raise ValueError(f"expected the keys {sorted(_LINE_KEYS)}, got {found}")
    cause = values["cause"]
    if not isinstance(cause, dict) or set(cause) - _ONE_KIND_KEYS != _CAUSE_KEYS:
        raise ValueError(f"expected a cause with {sorted(_CAUSE_KEYS)}, got {cause}")
    a, b = values["samples"]
    return TwinLine(
        pair=str(values["pair"]),
        family=Family(values["family"]),
        town=str(values["town"]),
        samples=(str(a), str(b)),
        t0_us=_whole(values["t0_us"]),
        cause=SeenCause(
            kind=CauseKind(cause["kind"]),
            camera=str(cause["camera"]),
            pixels=_whole(cause["pixels"]),
            distance_m=float(cause["distance_m"]),
            instance=str(cause.get("instance", "")),
            signal=str(cause.get("signal", "")),
            there_s=cause.get("there_s"),
        ),
        gap_3s_m=float(values["gap_3s_m"]),
    )


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"expected a whole number, got {value!r}")
    return value
