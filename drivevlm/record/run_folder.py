"""A run folder: who ran what (run.json), and one line per planner and clip (records.jsonl)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from io import BufferedRandom
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any

from filelock import FileLock, Timeout

from drivevlm.record.decision_json import Json, decision_from_json, decision_to_json
from drivevlm.world.decision import Decision

FORMAT = 1
Key = tuple[str, str]
"""A planner's name and a clip's token."""


class RecordError(Exception):
    """A run folder is of another run, damaged, or in use; the message is one clear line."""


@dataclass(frozen=True, slots=True)
class Record:
    """One decision of one planner on one clip."""

    planner: str
    scene: str
    clip: str
    decision: Decision

    @property
    def key(self) -> Key:
        """What a run holds at most once."""
        return self.planner, self.clip


def new_folder(now: datetime) -> Path:
    """A folder that is not there yet, named by the time."""
    wanted = Path(now.strftime("runs/%Y-%m-%d/%H-%M-%S"))
    later = (wanted.with_name(f"{wanted.name}-{k}") for k in count(2))
    return wanted if not wanted.exists() else next(path for path in later if not path.exists())


def read_manifest(folder: Path) -> Json:
    """``run.json``. Raises RecordError where the folder is no run."""
    path = folder / "run.json"
    try:
        manifest: Json = json.loads(path.read_text())
    except FileNotFoundError:
        raise RecordError(f"{folder} is no run folder: it has no run.json") from None
    except ValueError as error:
        raise RecordError(f"{path} is damaged ({error}): restore it or start a new run") from None
    if not isinstance(manifest, dict) or "identity" not in manifest:
        raise RecordError(f"{path} does not say whose run it is: restore it or start a new run")
    if manifest.get("format") != FORMAT:
        raise RecordError(
            f"{path} has format {manifest.get('format')}, this version reads {FORMAT}"
        )
    return manifest


def read_records(folder: Path) -> list[Record]:
    """All whole records. A torn last line, which a killed run may leave, is passed over."""
    path = folder / "records.jsonl"
    if not path.exists():
        return []
    with path.open("rb") as file:
        return [record for record, _ in _whole_lines(file, path)]


def _whole_lines(file: Iterable[bytes], path: Path) -> Iterator[tuple[Record, int]]:
    """Each whole record, and where in the file it ends."""
    end = 0
    for number, line in enumerate(file, start=1):
        if not line.endswith(b"\n"):
            return
        end += len(line)
        try:
            value = json.loads(line)
            decision = decision_from_json(value["decision"])
            record = Record(value["planner"], value["scene"], value["clip"], decision)
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(
                f"{path}, line {number}: expected a record, got {line[:60]!r} ({error!r}): "
                "delete that line to decide its clip again"
            ) from None
        yield record, end


def write_atomically(path: Path, text: str) -> None:
    """Write a whole file or nothing."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with scratch.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


@dataclass
class RunFolder:
    """A run folder that is open for writing; one process at a time.

    Use as a context manager. Opening an existing folder resumes it: what it holds is in
    ``records``, a torn last line is cut off.

    Attributes:
        path: The folder.
        manifest: What ``run.json`` says. Its ``identity`` decides whether a folder is this run's;
            its ``starts`` are added to those of a run that goes on.
    """

    path: Path
    manifest: Mapping[str, Any]
    records: dict[Key, Record] = field(default_factory=dict)

    def __enter__(self) -> RunFolder:
        self._lock = FileLock(self.path / ".lock")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise RecordError(
                f"{self.path} is in use by another process: wait for it, or choose another out="
            ) from None
        except OSError as error:
            raise RecordError(
                f"{self.path} cannot be written ({error.strerror}): choose another out="
            ) from None
        try:
            self._check_identity()
            self._open()
        except BaseException:
            self._lock.release()
            raise
        self._writing = Lock()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            os.fsync(self._file.fileno())
            self._file.close()
        finally:
            self._lock.release()

    def append(self, record: Record) -> None:
        """Add a record; whole in the file before this returns, whatever kills the process."""
        line = {
            "planner": record.planner,
            "scene": record.scene,
            "clip": record.clip,
            "decision": decision_to_json(record.decision),
        }
        data = json.dumps(line, allow_nan=False).encode() + b"\n"
        with self._writing:
            if record.key in self.records:
                raise ValueError(f"{record.key} was recorded already")
            self._file.write(data)
            self._file.flush()
            self.records[record.key] = record

    def _check_identity(self) -> None:
        if not (self.path / "run.json").exists():
            if (self.path / "records.jsonl").exists():
                raise RecordError(f"{self.path} holds records but no run.json: it is no run folder")
            write_atomically(self.path / "run.json", json.dumps(self.manifest, indent=1) + "\n")
            return
        begun = read_manifest(self.path)
        there = begun["identity"]
        mine = json.loads(json.dumps(self.manifest["identity"]))
        if there != mine:
            raise RecordError(
                f"{self.path} holds another run ({difference(there, mine)}): "
                "choose another out=, or call it with the same settings to resume it"
            )
        starts = [*begun.get("starts", []), *self.manifest.get("starts", [])]
        again = json.dumps({**begun, "starts": starts}, indent=1)
        write_atomically(self.path / "run.json", again + "\n")

    def _open(self) -> None:
        path = self.path / "records.jsonl"
        path.touch()
        self._file: BufferedRandom = path.open("r+b")
        end = 0
        for record, after in _whole_lines(self._file, path):
            self.records[record.key] = record
            end = after
        self._file.seek(end)
        self._file.truncate()


def difference(there: Any, mine: Any, name: str = "") -> str:
    """The first place where two nested values differ, in words."""
    if isinstance(there, Mapping) and isinstance(mine, Mapping):
        for key in sorted(set(there) | set(mine)):
            if there.get(key) != mine.get(key):
                return difference(there.get(key), mine.get(key), f"{name}.{key}" if name else key)
    return f"{name} was {json.dumps(there)[:80]}, is {json.dumps(mine)[:80]}"
