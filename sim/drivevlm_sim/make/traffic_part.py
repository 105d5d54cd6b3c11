"""What a traffic job leaves: logs that could be filmed, what they offer, and what was rejected."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from drivevlm.world.sets import Command
from drivevlm_sim.make.part_file import read_part
from drivevlm_sim.make.plan import PairOffer, SceneOffer, TrafficJob
from drivevlm_sim.make.stage import part_path
from drivevlm_sim.scene_log import SceneLog
from drivevlm_sim.scene_log_file import scene_log_bytes, scene_log_of
from drivevlm_sim.twins.budget import Offer
from drivevlm_sim.twins.twin_pair import Cause, CauseKind, Family, TwinPair

_OFFERS, _REJECTED = "offers.json", "rejected.json"
Rejected = Mapping[str, Mapping[str, int]]
"""By ``scenes`` and ``pairs``: how many were filtered out, by reason."""


def members_of(
    scenes: Sequence[SceneLog], pairs: Sequence[TwinPair], rejected: Rejected
) -> dict[str, bytes]:
    """The members of a traffic part."""
    members = {}
    offers: dict[str, list[Any]] = {"scenes": [], "pairs": []}
    for log in scenes:
        members[f"scenes/{log.name}"] = scene_log_bytes(log)
        offers["scenes"].append({"scene": log.name, "family": log.family})
    for pair in pairs:
        members[f"pairs/{pair.name}/a"] = scene_log_bytes(pair.a)
        members[f"pairs/{pair.name}/b"] = scene_log_bytes(pair.b)
        offers["pairs"].append(
            {"offer": asdict(Offer.of(pair)), "t0": pair.t0, "cause": asdict(pair.cause)}
        )
    told = {_OFFERS: json.dumps(offers).encode(), _REJECTED: json.dumps(rejected).encode()}
    return {**told, **members}


def offers_in(folder: Path, jobs: Sequence[TrafficJob]) -> tuple[list[SceneOffer], list[PairOffer]]:
    """All that the parts of these jobs offer."""
    scenes: list[SceneOffer] = []
    pairs: list[PairOffer] = []
    for job in jobs:
        offers = json.loads(read_part(part_path(folder, job.name), _OFFERS)[_OFFERS])
        scenes += [
            SceneOffer(job.name, row["scene"], row["family"], job.town) for row in offers["scenes"]
        ]
        pairs += [PairOffer(job.name, job.town, _offer(row["offer"])) for row in offers["pairs"]]
    return scenes, pairs


def scene_in(folder: Path, part: str, name: str) -> SceneLog:
    """The log of an offered scene."""
    member = f"scenes/{name}"
    return scene_log_of(read_part(part_path(folder, part), member)[member], name)


def pair_in(folder: Path, part: str, name: str) -> TwinPair:
    """An offered pair."""
    sides = [f"pairs/{name}/{side}" for side in "ab"]
    members = read_part(part_path(folder, part), _OFFERS, *sides)
    rows = json.loads(members[_OFFERS])["pairs"]
    row = next(row for row in rows if row["offer"]["pair"] == name)
    cause = {**row["cause"], "links": tuple(row["cause"]["links"])}
    return TwinPair(
        name=name,
        family=Family(row["offer"]["family"]),
        town=row["offer"]["town"],
        a=scene_log_of(members[sides[0]], sides[0]),
        b=scene_log_of(members[sides[1]], sides[1]),
        t0=row["t0"],
        cause=Cause(**{**cause, "kind": CauseKind(cause["kind"])}),
    )


def rejected_in(folder: Path, job: TrafficJob) -> Rejected:
    """What a job's part says was filtered out."""
    told = read_part(part_path(folder, job.name), _REJECTED)[_REJECTED]
    rejected: Rejected = json.loads(told)
    return rejected


def _offer(values: Mapping[str, Any]) -> Offer:
    family, command = Family(values["family"]), Command(values["command"])
    return Offer(**{**values, "family": family, "command": command})
