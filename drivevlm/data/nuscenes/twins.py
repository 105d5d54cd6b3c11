"""Pairs of clips in which only the pictures differ, from ``twins.jsonl`` beside the tables.

One line a pair: ``{"pair", "family", "town", "samples": [token_a, token_b], "t0_us", "cause":
{"kind", "instance" or "signal", "camera", "pixels", "distance_m"}, "gap_3s_m"}``. Further keys are
left to other readers.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.folder import listed
from drivevlm.data.nuscenes.json_lines import JsonLine, json_lines
from drivevlm.data.recording import DataError, SceneClips
from drivevlm.world.camera import CameraSequence
from drivevlm.world.clip import Clip
from drivevlm.world.twins import TwinCause, TwinPair

TWINS_FILE = "twins.jsonl"


@dataclass(frozen=True, slots=True)
class Twins:
    """The chosen pairs.

    A pair is one scene with two clips of the same decision time. So whatever keeps scenes apart
    keeps pairs together (shards, few-shot examples, resampling), and a planner's memory, which
    ends where time does not go on, is empty at either clip.
    """

    pairs: tuple[TwinPair, ...]

    @classmethod
    def read(
        cls,
        path: Path,
        config: NuScenesConfig,
        *,
        known: Container[str],
        chosen: Collection[str],
    ) -> Twins:
        """Read, check and choose: ``data.scenes`` names pairs. Raises DataError in one line.

        Args:
            path: The file.
            config: Of the recording.
            known: Tokens of all samples of the version.
            chosen: Tokens of the split's samples.
        """
        if config.proposals != "none":
            raise DataError(
                f"data.proposals={config.proposals}: the sides of a twin pair are asked with the "
                "same words, so they have no proposals: leave it out"
            )
        pairs = _checked([_pair(line) for line in json_lines(path)], path, known=known)
        sides = {pair.name: sum(token in chosen for token in pair.tokens) for pair in pairs}
        halved = [name for name, count in sides.items() if count == 1]
        if halved:
            raise DataError(
                f"split {config.split!r} holds one side alone of {len(halved)} twin pairs, e.g. "
                f"{halved[0]}: a split holds both sides or none"
            )
        there = {pair.name: pair for pair in pairs if sides[pair.name]}
        strangers = [name for name in config.scenes if name not in there]
        if strangers:
            raise DataError(
                f"data.scenes: {path} has no pair {listed(strangers)} to choose; it has "
                f"{len(there)}, e.g. {listed(there)}"
            )
        if not there:
            raise DataError(f"{path}: none of its {len(pairs)} pairs is chosen")
        return cls(tuple(there[name] for name in sorted(config.scenes or there)))

    def scenes(self) -> tuple[SceneClips, ...]:
        """A scene a pair."""
        return tuple(SceneClips(pair.name, pair.tokens) for pair in self.pairs)

    def pair_of(self) -> Mapping[str, TwinPair]:
        """By token."""
        return {token: pair for pair in self.pairs for token in pair.tokens}


def as_side(pair: TwinPair, first: Clip, mine: Clip) -> Clip:
    """A side's clip: all of the first side's but for the token and the pictures' content.

    Raises DataError where the sides have not the same pictures.
    """
    theirs = {sequence.camera.name: sequence for sequence in mine.cameras}
    cameras = []
    for sequence in first.cameras:
        other = theirs.pop(sequence.camera.name, None)
        if other is None or [f.size_px for f in other.frames] != [
            f.size_px for f in sequence.frames
        ]:
            raise DataError(_unlike(pair, sequence.camera.name))
        pictures = zip(sequence.frames, other.frames, strict=True)
        frames = tuple(replace(frame, source=picture.source) for frame, picture in pictures)
        cameras.append(CameraSequence(sequence.camera, frames))
    if theirs:
        raise DataError(_unlike(pair, next(iter(theirs))))
    return replace(first, token=mine.token, scene=pair.name, cameras=tuple(cameras))


def _unlike(pair: TwinPair, camera: str) -> str:
    return (
        f"twin pair {pair.name}: the samples {' and '.join(pair.tokens)} must have the same "
        f"pictures of {camera}, as many and as large: make the pair again"
    )


def _pair(line: JsonLine) -> TwinPair:
    samples = line.get("samples", list)
    if len(samples) != 2 or not all(isinstance(token, str) and token for token in samples):
        raise line.error(f"samples must be the two sides' tokens, got {samples!r:.80}")
    cause = line.inside("cause")
    line.get("t0_us", int)
    named = [key for key in ("instance", "signal") if key in cause.fields]
    if len(named) != 1:
        raise line.error("cause names either an instance or a signal")
    return TwinPair(
        name=str(line.get("pair", str, int)),
        family=line.get("family", str),
        town=line.get("town", str),
        tokens=(samples[0], samples[1]),
        cause=TwinCause(
            kind=cause.get("kind", str),
            name=cause.get(named[0], str),
            camera=cause.get("camera", str),
            pixels=cause.get("pixels", int),
            distance_m=cause.metres("distance_m"),
        ),
        gap_3s_m=line.metres("gap_3s_m"),
    )


def _checked(pairs: Sequence[TwinPair], path: Path, *, known: Container[str]) -> list[TwinPair]:
    names: set[str] = set()
    tokens: set[str] = set()
    for pair in pairs:
        strange = [token for token in pair.tokens if token not in known]
        if strange:
            raise DataError(
                f"{path}: pair {pair.name}: sample {strange[0]!r} is not in the tables: the file "
                "and the tables must be of one making"
            )
        if pair.name in names:
            raise DataError(f"{path}: two pairs are called {pair.name}")
        again = pair.tokens[0] == pair.tokens[1] or not tokens.isdisjoint(pair.tokens)
        if again:
            raise DataError(f"{path}: pair {pair.name}: a sample is a side of one pair, once")
        names.add(pair.name)
        tokens.update(pair.tokens)
    return list(pairs)
