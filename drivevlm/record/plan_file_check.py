"""What is wrong with a plan file, all of it, in words; the schema beside this says the same."""

from __future__ import annotations

import json
import math
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from drivevlm.record.run_folder import RecordError
from drivevlm.world.truth import FUTURE_STEPS, STEP_S

FRAMES = ("ego", "lidar")
POINTS = ("rear_axle", "lidar")
KEYS = ("frame", "point", "dt_s", "plans")

MOST_BYTES = 256 * 2**20
FARTHEST_M = 1e6
"""What is farther away than this no grid can hold."""
MOST_NAMED = 5

_EXPECTED = (
    f'{{"frame": "ego", "point": "rear_axle", "dt_s": {STEP_S:g}, "plans": '
    f"{{sample token: {FUTURE_STEPS} pairs [x, y], or null}}}}"
)
_CONVERT = "load it where you trust it, and write its plans with json.dump as " + _EXPECTED
_SUFFIXES = {
    ".pkl": "a pickle",
    ".pickle": "a pickle",
    ".pt": "a torch file, a pickle",
    ".pth": "a torch file, a pickle",
    ".npy": "a numpy file",
    ".npz": "a numpy archive",
}
_BEGINNINGS = {
    **{b"\x80" + bytes([protocol]): "a pickle" for protocol in range(1, 6)},
    **dict.fromkeys((b"(dp", b"(lp", b"}q", b"]q", b"ccopy_reg"), "a pickle"),
    b"\x93NUMPY": "a numpy file",
    b"PK\x03\x04": "an archive (.npz, .pt or .zip)",
}
_NOT_LOADED = "no pickle or numpy file is ever loaded"


class PlanFileError(RecordError):
    """A plan file cannot be read, written or used; the message is one clear line."""


def json_of(path: Path) -> object:
    """The file's value. Raises PlanFileError where it is no file of one JSON value."""
    data = _bytes_of(path)
    twice: Counter[str] = Counter()

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        value = dict(pairs)
        if len(value) < len(pairs):
            twice.update({n: k for n, k in Counter(n for n, _ in pairs).items() if k > 1})
        return value

    try:
        text = data.decode("utf-8-sig")
        value: object = json.loads(text, object_pairs_hook=once, parse_int=float)
    except UnicodeDecodeError as error:
        raise PlanFileError(
            f"{path} is no UTF-8 text (byte {error.start}): expected JSON"
        ) from None
    except RecursionError:
        raise PlanFileError(f"{path} is nested too deeply: expected {_EXPECTED}") from None
    except ValueError as error:
        raise PlanFileError(f"{path} is not JSON ({error}): expected {_EXPECTED}") from None
    if twice:
        names = listed([f"{quoted(name)} ({times} times)" for name, times in twice.items()])
        raise PlanFileError(f"{path}: given more than once: {names}; keep one of each")
    return value


def _bytes_of(path: Path) -> bytes:
    """The file's content, once nothing about it says that it is something else."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise PlanFileError(f"{path} is a folder: expected a plan file (JSON)")
        if not stat.S_ISREG(status.st_mode):
            raise PlanFileError(f"{path} is not a plain file: expected a plan file (JSON)")
        if status.st_size > MOST_BYTES:
            raise PlanFileError(
                f"{path} has {status.st_size / 2**20:.0f} MiB, a plan file may have "
                f"{MOST_BYTES // 2**20} MiB: split it by scenes"
            )
        _refuse(path, _SUFFIXES.get(path.suffix.lower()))
        data = path.read_bytes()
    except FileNotFoundError:
        raise PlanFileError(f"there is no plan file {path}") from None
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or error
        raise PlanFileError(f"the plan file {path} cannot be read ({words})") from None
    if data.startswith(b"\x1f\x8b"):
        raise PlanFileError(f"{path} is compressed: unpack it first (gunzip), expected plain JSON")
    _refuse(path, next((what for head, what in _BEGINNINGS.items() if data.startswith(head)), None))
    if not data.strip():
        raise PlanFileError(f"{path} is empty: expected {_EXPECTED}")
    return data


def _refuse(path: Path, what: str | None) -> None:
    if what:
        raise PlanFileError(f"{path} is {what}, and {_NOT_LOADED}: {_CONVERT}")


def problems(value: object) -> list[str]:
    """What is wrong with a file's value, in words; nothing where it is a plan file."""
    if not isinstance(value, dict):
        return [f"it holds {kind(value)}, expected {_EXPECTED}"]
    if not set(value) & set(KEYS):
        keys = f"its keys are {listed([quoted(key) for key in value])}" if value else "it is empty"
        return [f'{keys}, expected {_EXPECTED}: bare plans go under "plans"']
    return [*_wrong_keys(value), *_wrong_settings(value), *_wrong_plans(value)]


def _wrong_keys(value: Mapping[str, object]) -> Iterator[str]:
    unknown = [key for key in value if key not in KEYS]
    missing = [key for key in KEYS if key not in value and key != "point"]
    if unknown:
        close = get_close_matches(unknown[0], KEYS, n=1)
        hint = f" (did you mean {quoted(close[0])}?)" if close else ""
        yield f"unknown keys {listed([quoted(key) for key in unknown])}{hint}"
    if missing:
        yield f"missing keys {listed([quoted(key) for key in missing])}"


def _wrong_settings(value: Mapping[str, object]) -> Iterator[str]:
    frame, point, dt_s = (value.get(key) for key in ("frame", "point", "dt_s"))
    if "frame" in value and frame not in FRAMES:
        yield (
            f'"frame" is {shown(frame)}, expected "ego" (x ahead, y left) or '
            '"lidar" (x right, y ahead)'
        )
    if "point" in value and point not in POINTS:
        yield (
            f'"point" is {shown(point)}, expected "rear_axle" or "lidar"; leave it out where '
            "plans are of each protocol's own point"
        )
    if "dt_s" in value and dt_s != STEP_S:
        yield (
            f'"dt_s" is {shown(dt_s)}, expected {STEP_S:g}: write the positions at 0.5 s, 1 s, '
            "... 3 s"
        )


def _wrong_plans(value: Mapping[str, object]) -> Iterator[str]:
    if "plans" not in value:
        return
    plans = value["plans"]
    if not isinstance(plans, dict):
        yield f'"plans" is {kind(plans)}, expected an object with a plan for each sample token'
    elif not plans:
        yield '"plans" is empty'
    else:
        found = ((token, wrong_plan(plan)) for token, plan in plans.items())
        wrong = [f"{quoted(token)} {what}" for token, what in found if what]
        if wrong:
            yield (
                f"{len(wrong)} of {len(plans)} plans cannot be read: "
                f"{listed(wrong, '; ')} (null stands for a plan that failed)"
            )


def wrong_plan(plan: object) -> str:
    """What is wrong with one plan, from its first wrong step on; "" where nothing is."""
    if plan is None:
        return ""
    if not isinstance(plan, list):
        return f"is {kind(plan)}, expected {FUTURE_STEPS} pairs [x, y]"
    if len(plan) == 1 and isinstance(plan[0], list) and len(plan[0]) == FUTURE_STEPS:
        return f"is nested once too deep, expected {FUTURE_STEPS} pairs [x, y]"
    if len(plan) != FUTURE_STEPS:
        return f"has {len(plan)} steps, expected {FUTURE_STEPS} (0.5 s, 1 s, ... 3 s)"
    for number, step in enumerate(plan, start=1):
        if not isinstance(step, list):
            return f"step {number} is {kind(step)}, expected a pair [x, y]"
        if len(step) != 2:
            return f"step {number} has {len(step)} numbers, expected 2, [x, y]"
        for name, metres in zip("xy", step, strict=True):
            if type(metres) is not float:
                return f"step {number}: {name} is {kind(metres)}, expected a number"
            if not math.isfinite(metres):
                return f"step {number}: {name} is {metres}, expected a finite number"
            if abs(metres) > FARTHEST_M:
                return f"step {number}: {name} is {metres:g} m, expected under {FARTHEST_M:g} m"
    return ""


def kind(value: object) -> str:
    """What a value is, in JSON's words."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return "a number" if number else shown(value)


def shown(value: object) -> str:
    """A value as JSON, cut short; what holds others by its kind."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    words = json.dumps(value)
    return words if len(words) <= 60 else words[:57] + "..."


def quoted(name: str) -> str:
    """A name in quotes, on one line whatever it holds."""
    return shown(name)


def listed(names: Sequence[str], between: str = ", ") -> str:
    """The first few names, and how many more there are."""
    more = len(names) - MOST_NAMED
    return between.join(names[:MOST_NAMED]) + (f"{between}and {more} more" if more > 0 else "")
