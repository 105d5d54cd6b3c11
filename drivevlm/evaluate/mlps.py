"""The rows that a small network plans: what each of them reads of a clip, and of the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from drivevlm.baselines.blind_mlp import FULL, SPEED_ONLY, blind, blind_by_speed
from drivevlm.baselines.ego_mlp import NAMES, Reader, Seen, seen
from drivevlm.data.recording import DataError, Recording, route_of, twins_of
from drivevlm.evaluate.truth_facts import FACTS, cause_here, facts
from drivevlm.world.clip import Clip
from drivevlm.world.truth import Truth


@dataclass(frozen=True, slots=True)
class Mlp:
    """One of the rows.

    Attributes:
        names: Of its features.
        reader: What it reads of a recording's clips.
        among: The row that reads all of these features, and more: drives are read once for both.
        kin: Whether it learns from every labelled version of another root, twins among them.
        reads_truth: Whether facts of the truth are among the features: it bounds what a planner
            can earn by looking, and it is no competitor.
    """

    names: tuple[str, ...]
    reader: Callable[[Recording], Reader]
    among: str = "oracle_mlp"
    kin: bool = True
    reads_truth: bool = False


def _told(reader: Reader) -> Callable[[Recording], Reader]:
    """What a reader reads, and the facts of the clip's truth."""

    def of(recording: Recording) -> Reader:
        pairs = {token: pair for pair in twins_of(recording) for token in pair.tokens}

        def read(clip: Clip) -> Seen:
            own, truth = reader(clip), _truth(recording, clip.token)
            pair, cause = pairs.get(clip.token), ""
            if pair is not None:
                other = next(token for token in pair.tokens if token != clip.token)
                cause = cause_here(pair, truth, _truth(recording, other))
            route = route_of(recording, clip.token)
            known = facts(truth, speed_mps=own.speed_mps, cause=cause, route=route)
            return own._replace(features=np.concatenate([own.features, known]))

        return read

    return of


def _truth(recording: Recording, token: str) -> Truth:
    truth = recording.truth(token)
    if truth is None:
        raise DataError(f"{recording.name}: {token} has no truth to read")
    return truth


MLPS: Mapping[str, Mlp] = {
    "ego_mlp": Mlp(NAMES, lambda recording: seen, among="ego_mlp", kin=False),
    "blind_mlp": Mlp(FULL, lambda recording: blind),
    "oracle_mlp": Mlp((*FULL, *FACTS), _told(blind), reads_truth=True),
    "blind_mlp_speed": Mlp(SPEED_ONLY, lambda recording: blind_by_speed),
    "oracle_mlp_speed": Mlp((*SPEED_ONLY, *FACTS), _told(blind_by_speed), reads_truth=True),
}
"""By the name of the planner."""


def label_of(planner: str) -> str:
    """A planner as tables call it: who reads the truth is marked."""
    return (
        f"{planner} (reads the truth)" if planner in MLPS and MLPS[planner].reads_truth else planner
    )
