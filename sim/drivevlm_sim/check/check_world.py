"""Checks every version that a data root holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivevlm.data.nuscenes.labels import LABELS_FILE, read_labels
from drivevlm.data.recording import DataError
from drivevlm.world.scene_labels import SceneLabels
from drivevlm_sim.check import label_rules, twin_rules
from drivevlm_sim.check.clip_facts import clip_facts
from drivevlm_sim.check.disk import Disk, towns, versions
from drivevlm_sim.check.findings import Finding, Rule
from drivevlm_sim.check.motion import distributions
from drivevlm_sim.check.pair import Pair
from drivevlm_sim.check.pictures import Differences, differences, picture_findings
from drivevlm_sim.check.scene_rules import scene_findings, standing_finding
from drivevlm_sim.made_once import RECIPE_FILE, WorldError
from drivevlm_sim.twins.twins_file import TWINS_FILE, read_twins

FORMAT = 1
CHOSEN_FOR_EVENTS = "events"
"""What a recipe's ``choice`` says of scenes that were chosen because something happens."""
READABLE_RULE = Rule("label_file", "lines that are not of the form", most=0)
TOWNS_RULE = Rule("towns_apart", "splits that a town belongs to", most=1)
APART_RULE = Rule("towns_elsewhere", "towns that another split's data root has too", most=0)
SAMPLES_RULE = Rule("twin_samples", "samples that the tables do not have", most=0)
Progress = Callable[[str, int, int], None]
Facts = Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True, slots=True)
class Checked:
    """A world, checked.

    Attributes:
        root: The data root.
        findings: By version, its rules; "" are those of all versions together.
        facts: By version, what no rule bounds; also of the recording beside it.
    """

    root: Path
    findings: Mapping[str, list[Finding]]
    facts: Mapping[str, Facts]

    @property
    def holds(self) -> bool:
        """Whether no rule is broken."""
        return all(finding.holds for rows in self.findings.values() for finding in rows)

    def values(self) -> dict[str, Any]:
        """As plain values."""
        rules = {
            version: [finding.values() for finding in rows]
            for version, rows in self.findings.items()
        }
        return {"format": FORMAT, "root": str(self.root), "rules": rules, "facts": self.facts}


def check_world(
    root: Path,
    *,
    beside: Path | None = None,
    apart: Sequence[Path] = (),
    progress: Progress = lambda what, done, total: None,
) -> Checked:
    """Hold every version of a data root against the rules.

    Args:
        root: The data root.
        beside: A version folder of another recording, whose motion is told beside.
        apart: Data roots of other splits, which must share no town with this one.
        progress: Told of each pair.

    Raises:
        WorldError: There is no version, or a file cannot be read.
        DataError: The tables of a version do not fit together.
    """
    mine = towns(root)
    if beside is not None and not (beside / "scene.json").is_file():
        raise WorldError(f"beside={beside}: no version folder with tables, e.g. ROOT/v1.0-mini")
    disks = {folder.name: Disk(folder) for folder in versions(root)}
    shared = {str(other): float(len(mine & towns(other))) for other in apart}
    findings: dict[str, list[Finding]] = {"": [_towns(disks), Finding.of(APART_RULE, shared)]}
    facts: dict[str, Facts] = {}
    for version, disk in disks.items():
        found, told = _version(disk, root, progress)
        findings[version] = found
        facts[version] = {**distributions(disk), **told}
    if beside is not None:
        facts[f"beside: {beside.name}"] = distributions(Disk(beside))
    return Checked(root, findings, facts)


def _version(disk: Disk, root: Path, progress: Progress) -> tuple[list[Finding], Facts]:
    findings = scene_findings(disk)
    labels, readable = _labels(disk)
    findings += readable
    if labels:
        findings += label_rules.label_findings(disk, labels)
    if (disk.tables / TWINS_FILE).is_file():
        twins, facts = _twins(disk, labels, progress)
        return findings + twins, facts
    if _recipe(root).get("choice") == CHOSEN_FOR_EVENTS:
        findings.append(standing_finding(disk))
    return findings, clip_facts(disk) if all(one.holds for one in readable) else {}


def _labels(disk: Disk) -> tuple[Mapping[str, SceneLabels], list[Finding]]:
    path = disk.tables / LABELS_FILE
    if not path.is_file():
        return {}, []
    try:
        return read_labels(path, known=disk.sample_of), [Finding.of(READABLE_RULE, {path.name: 0})]
    except DataError as error:
        return {}, [Finding.of(READABLE_RULE, {str(error): 1})]


def _twins(
    disk: Disk, labels: Mapping[str, SceneLabels], progress: Progress
) -> tuple[list[Finding], Facts]:
    lines = read_twins(disk.tables / TWINS_FILE)
    strange = {
        line.pair: float(sum(token not in disk.sample_of for token in line.samples))
        for line in lines
    }
    pairs = {line.pair: Pair(disk, line) for line in lines if not strange[line.pair]}
    found: dict[str, Differences] = {}
    measured: dict[str, list[float | None]] = {}
    for done, (name, pair) in enumerate(pairs.items(), start=1):
        found[name] = differences(pair)
        measured[name] = [measure(pair) for _, measure in twin_rules.MOTION_RULES]
        progress("pairs", done, len(pairs))
    findings = [Finding.of(SAMPLES_RULE, strange)]
    for column, (rule, _) in enumerate(twin_rules.MOTION_RULES):
        findings.append(Finding.of(rule, {name: row[column] for name, row in measured.items()}))
    findings += twin_rules.label_findings(pairs, labels)
    findings += picture_findings(found)
    findings.append(twin_rules.family_finding(pairs))
    compared = sum(one.compared for one in found.values())
    same = sum(one.identical for one in found.values())
    share = round(same / compared, 4) if compared else None
    return findings, {"pictures of both sides of the same bytes": {"share": share}}


def _towns(disks: Mapping[str, Disk]) -> Finding:
    """In how many splits each town is, over all versions."""
    splits: dict[str, set[str]] = {}
    for disk in disks.values():
        for scene in disk.scenes:
            if scene.town and scene.name in disk.split_of:
                splits.setdefault(scene.town, set()).add(disk.split_of[scene.name])
    return Finding(TOWNS_RULE, {town: float(len(names)) for town, names in sorted(splits.items())})


def _recipe(root: Path) -> Mapping[str, Any]:
    try:
        recipe = json.loads((root / RECIPE_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return recipe if isinstance(recipe, dict) else {}
