"""Truths made ready for the protocols, once: later runs over the same clips read them from a file.

A file's name is a digest of all that decides its content: the recording, the clips, the protocol
and the code that draws it. So nothing is ever out of date, and any file may be deleted.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np

import drivevlm.baselines
import drivevlm.data
import drivevlm.metrics
import drivevlm.world
from drivevlm.baselines import MOTIONS, NoPastError
from drivevlm.data.recording import Recording, truth_digest_of
from drivevlm.metrics.cases import Cases, Part, joined, loaded, part_of
from drivevlm.metrics.planning import PlanningProtocol
from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.metrics.splits import SPLITS, splits_of
from drivevlm.metrics.surface import Arrays
from drivevlm.world.pose import Floats
from drivevlm.world.truth import FUTURE_STEPS, STEP_S

Progress = Callable[[str, int, int], None]
KINDS = "kinds"
CHUNK = 50
"""So many clips are prepared by one worker at a time."""
CODE = (drivevlm.world, drivevlm.metrics, drivevlm.data, drivevlm.baselines)
"""Packages whose source decides what is drawn: how truths are read, and which clips are of a kind,
among it."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Clips ready to be scored.

    Attributes:
        cases: By protocol; empty where the recording has no truths.
        splits: By kind of clip, the tokens; empty unless a protocol asks for kinds.
    """

    cases: Mapping[str, Cases]
    splits: Mapping[str, Collection[str]]

    def splits_of(self, protocol: PlanningProtocol) -> Mapping[str, Collection[str]]:
        """Those for which a protocol gives figures."""
        return self.splits if protocol.rule.split else {}


def prepared(
    recording: Recording,
    tokens: Sequence[str],
    protocols: Sequence[PlanningProtocol],
    *,
    cache: Path | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Prepared:
    """Cases by protocol; every truth is read once for all protocols that are not in the cache.

    Without a cache folder nothing is kept.
    """
    files = {p.name: _file(cache, recording, tokens, p.name) for p in protocols}
    cases = {p.name: found for p in protocols if (found := _read(files[p.name], p)) is not None}
    missing = [p for p in protocols if p.name not in cases]
    for protocol, made in _made(recording, tokens, missing, progress).items():
        cases[protocol.name] = made
        _write(files[protocol.name], made.arrays())
    splits: Mapping[str, Collection[str]] = {}
    if cases and any(p.rule.split for p in protocols):
        splits = kinds(recording, tokens, cache=cache, progress=progress)
    return Prepared({p.name: cases[p.name] for p in protocols if p.name in cases}, splits)


def kinds(
    recording: Recording,
    tokens: Sequence[str],
    *,
    cache: Path | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Mapping[str, Collection[str]]:
    """The tokens of every kind of clip that occurs (see ``metrics.splits``)."""
    path = _file(cache, recording, tokens, KINDS)
    arrays = _arrays(path)
    if arrays is None or set(arrays) != set(SPLITS):
        found: dict[str, list[str]] = {name: [] for name in SPLITS}
        for number, token in enumerate(tokens, start=1):
            truth = recording.truth(token)
            if truth is not None:
                for name in splits_of(truth, *_kept_m(recording, token)):
                    found[name].append(token)
            progress("telling kinds of clips", number, len(tokens))
        arrays = {name: np.array(members, dtype=np.str_) for name, members in found.items()}
        _write(path, arrays)
    return {name: frozenset(arrays[name].tolist()) for name in SPLITS if len(arrays[name])}


def _kept_m(recording: Recording, token: str) -> list[Floats | None]:
    """Where the rear axle would be at constant velocity, and at constant acceleration and turn
    rate; None where the past does not tell."""
    clip = recording.clip(token)

    def path_m(name: str) -> Floats | None:
        try:
            return MOTIONS[name](clip, FUTURE_STEPS, STEP_S).xy_ego_m
        except NoPastError:
            return None

    return [path_m(name) for name in ("constant_velocity", "ctra")]


def _made(
    recording: Recording,
    tokens: Sequence[str],
    protocols: Sequence[PlanningProtocol],
    progress: Progress,
) -> Mapping[PlanningProtocol, Cases]:
    """Cases of those protocols; {} where the recording has no truths."""
    if not protocols:
        return {}
    parts: dict[str, dict[str, Part | str]] = {p.name: {} for p in protocols}
    for number, made in enumerate(_parts_of_all(recording, tokens, protocols), start=1):
        for name, part in made.items():
            parts[name].update(part)
        progress("preparing", min(number * CHUNK, len(tokens)), len(tokens))
    return {p: joined(p.rule, parts[p.name]) for p in protocols if parts[p.name]}


Parts = dict[str, dict[str, Part | str]]


def _parts_of_all(
    recording: Recording, tokens: Sequence[str], protocols: Sequence[PlanningProtocol]
) -> Iterator[Parts]:
    """Parts of some clips at a time, by protocol and token; by several workers where it is long."""
    names = [p.name for p in protocols]
    work = [(recording, tokens[k : k + CHUNK], names) for k in range(0, len(tokens), CHUNK)]
    workers = min(os.cpu_count() or 1, len(work) // 4)
    if workers < 2:
        yield from map(_parts, work)
        return
    # A fresh process: whatever this one holds, a loaded model and its threads, is not forked.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_parts, work)


def _parts(work: tuple[Recording, Sequence[str], Sequence[str]]) -> Parts:
    """Protocols go by name: what draws in them cannot be sent to a worker."""
    recording, tokens, names = work
    rules = [PROTOCOLS[name].rule for name in names]
    needs_map = any(touch.map for rule in rules for touch in rule.touches)
    parts: Parts = {name: {} for name in names}
    for token in tokens:
        truth = recording.truth(token)
        if truth is None:
            continue
        if needs_map:
            truth = recording.with_map(truth)
        drawn: dict[object, Part | str] = {}
        for rule in rules:
            # Strategies of one protocol differ in their figures alone.
            same = (rule.counted, rule.without_scenes, rule.recorded, rule.touches)
            if same not in drawn:
                drawn[same] = part_of(rule, truth)
            parts[rule.name][token] = drawn[same]
    return parts


def _file(
    cache: Path | None, recording: Recording, tokens: Sequence[str], what: str
) -> Path | None:
    if cache is None:
        return None
    # Kinds of clips are told by the ego's past too, which settings of a clip decide.
    digest = recording.digest if what == KINDS else truth_digest_of(recording)
    told = "\n".join([digest, what, code_digest(), *tokens])
    digest = hashlib.sha256(told.encode()).hexdigest()[:24]
    return cache / f"{what}-{digest}.npz"


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Of the source that draws, and of the libraries whose rounding may differ."""
    import shapely

    content = hashlib.sha256(f"{np.__version__} {shapely.__version__}".encode())
    for path in source_files():
        content.update(path.read_bytes())
    return content.hexdigest()


def source_files() -> tuple[Path, ...]:
    """The source of ``CODE``."""
    homes = [Path(str(package.__file__)).parent for package in CODE]
    return tuple(path for home in homes for path in sorted(home.rglob("*.py")))


def _read(path: Path | None, protocol: PlanningProtocol) -> Cases | None:
    """Cases of a file; None where it is not there or was cut off."""
    arrays = _arrays(path)
    try:
        return None if arrays is None else loaded(protocol.rule, arrays)
    except (ValueError, KeyError):
        return None


def _arrays(path: Path | None) -> Arrays | None:
    if path is None or not path.exists():
        return None
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def _write(path: Path | None, arrays: Arrays) -> None:
    """Whole or not at all: a full or read-only disk costs time in the next run, and nothing now."""
    if path is None:
        return
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, **arrays)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
