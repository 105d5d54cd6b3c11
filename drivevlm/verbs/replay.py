"""``drivevlm replay``: a recording as topics to a node, or as a bag; a node's answers are a run."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from drivevlm.build.parts import Parts
from drivevlm.build.settings import SettingError, plain
from drivevlm.build.table import Chosen
from drivevlm.drive.health import MODEL, PROMPT, REVISION
from drivevlm.drive.replay.bag import write_bag
from drivevlm.drive.replay.event import SceneStream
from drivevlm.drive.replay.faults import Faults
from drivevlm.drive.replay.feed import Feed
from drivevlm.drive.replay.source import ReplayError
from drivevlm.drive.topics import Names
from drivevlm.drive.wire.config import DdsConfig
from drivevlm.drive.wire.dds import DdsBus
from drivevlm.evaluate.plan_run import plan_run
from drivevlm.planner import Planner
from drivevlm.record.manifest import manifest
from drivevlm.record.run_folder import RecordError, RunFolder, new_folder, write_atomically
from drivevlm.verbs.finish import finish
from drivevlm.verbs.node_start import remapped, say
from drivevlm.verbs.progress import bars
from drivevlm.verbs.replay_node import ASKS, LATE_S, NodePeer, Scenes, play_to
from drivevlm.verbs.replay_settings import ReplaySettings, To

__all__ = ["REPLAY_ERRORS", "ReplaySettings", "replay"]

REPLAY_ERRORS = (ReplayError,)
Values = Mapping[str, Any]
Groups = Mapping[str, str]


def replay(
    settings: ReplaySettings, values: Values, groups: Groups, console: Console
) -> tuple[Path, bool]:
    """Replay; returns what was written, and whether any clip was answered, or is in a bag."""
    names = Names(settings.name, settings.namespace, remapped(settings.remap))
    if settings.to is To.BAG:
        chosen = Chosen.of({**values, "planner": ["stop"]}, groups)  # nobody plans
        return _to_bag(settings, chosen, names, console), True
    chosen, now = Chosen.of(values, groups), datetime.now()
    out = Path(chosen.settings.out).expanduser() if chosen.settings.out else new_folder(now)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise RecordError(f"{out} exists: a replay begins anew, remove it or choose another out=")
    try:
        wire = DdsConfig(settings.domain, settings.loopback)
    except ValueError as error:
        raise SettingError(str(error)) from None
    with DdsBus(wire, tell=partial(say, console)) as bus:  # first: without it all else is in vain
        scenes = Scenes.of(Parts.of(chosen, console.print), settings, console)
        beside = _beside(scenes.parts)
        peer = NodePeer.met(bus, names, scenes, settings, console)
        parts, rows = _with_node(scenes.parts, beside, peer.planner)
        facts = manifest(identity=_identity(parts, peer, settings), now=now, command=sys.argv)
        with RunFolder(out, {**facts, "groups": dict(groups)}) as run:
            if peer.asks_like(parts):
                parts.dialogue.save(out / "prompts")
            config = {**values, "planner": list(parts.chosen.settings.planner)}
            write_atomically(out / "config.yaml", yaml.safe_dump(config, sort_keys=False))
            with bars(console) as progress:
                counts = play_to(peer, scenes, settings, run, progress)
            told = {**counts, **_sent(peer.feed, scenes.faults, console)}
            told["diagnostics"] = dict(peer.listener.told)
            write_atomically(out / "replay.json", json.dumps(told, indent=1) + "\n")
            _say_counts(counts, settings, console)
            with bars(console) as progress:
                plan_run(parts.recording, rows, run, shard=parts.shard, progress=progress)
            finish(out, parts, run.records, console)
    return out, counts["answered"] > 0


def _beside(parts: Parts) -> list[Planner]:
    """The planners of the rows beside a node, which may have to learn first."""
    names = tuple(name for name in parts.chosen.settings.planner if name != ASKS)
    return _planned_by(parts, names).planners(None) if names else []


def _with_node(parts: Parts, beside: list[Planner], node: str) -> tuple[Parts, list[Planner]]:
    """The parts with the node's planner before the rows beside it, and those rows' planners."""
    if ASKS in parts.chosen.settings.planner and node != ASKS:
        raise SettingError(f"planner: {ASKS} is not planned beside a node, which has {node} here")
    rows = [planner for planner in beside if planner.name != node]
    return _planned_by(parts, (node, *(planner.name for planner in rows))), rows


def _planned_by(parts: Parts, planners: tuple[str, ...]) -> Parts:
    try:
        settings = replace(parts.chosen.settings, planner=planners)
    except ValueError as error:
        raise SettingError(str(error)) from None
    return replace(parts, chosen=replace(parts.chosen, settings=settings))


def _identity(parts: Parts, peer: NodePeer, settings: ReplaySettings) -> dict[str, Any]:
    """All that decides the decisions, as far as the node tells it."""
    identity, told, replayed = parts.identity(None), peer.listener.told, plain(settings)
    if MODEL in told:
        identity["models"]["vlm"] = {"name": told[MODEL], "revision": told[REVISION]}
        identity["prompt"]["digest"] = told[PROMPT]
    for fault in replayed["faults"]["faults"]:
        fault["for_s"] = None if math.isinf(fault["for_s"]) else fault["for_s"]  # as JSON has it
    return {**identity, "replay": replayed}


def _to_bag(settings: ReplaySettings, chosen: Chosen, names: Names, console: Console) -> Path:
    scenes = Scenes.of(Parts.of(chosen, console.print), settings, console)
    path = Path(settings.bag).expanduser()
    total = len(scenes.parts.shard.of(scenes.parts.recording.scenes()))
    with bars(console) as progress:

        def counted() -> Iterator[SceneStream]:
            for number, stream in enumerate(scenes.streams):
                progress("scenes", number, total)
                yield stream

        feed = write_bag(counted(), path, names, scenes.lines)
    _sent(feed, scenes.faults, console)
    return path


def _sent(feed: Feed, faults: Faults, console: Console) -> dict[str, Any]:
    """Say what was sent, what could not be read, and what went wrong on request; all as counts."""
    say(console, f"{sum(feed.sent.values())} messages were sent on {len(feed.sent)} topics")
    if feed.unreadable:
        say(console, f"pictures that could not be read were not sent: {_list(feed.unreadable)}")
    injected = Counter[str]()
    for (kind, _), count in faults.injected.items():
        injected[kind.value] += count
    if injected:
        say(console, f"faults: {_list(injected)}")
    counts = {"sent": feed.sent, "unreadable": feed.unreadable, "faults": injected}
    return {name: dict(counter) for name, counter in counts.items()}


def _say_counts(counts: Mapping[str, Any], settings: ReplaySettings, console: Console) -> None:
    failed = f", of which failed: {_list(counts['failures'])}" if counts["failures"] else ""
    say(console, f"{counts['answered']} of {counts['clips']} clips were answered{failed}")
    if settings.lockstep:
        return
    say(console, f"{counts['plans']} plans were published, {counts['fallbacks']} as fallback")
    if counts["unusable_plans"]:
        say(console, f"{counts['unusable_plans']} more could not be read, or came too early")
    if counts["late_s"] > LATE_S:
        say(
            console,
            f"the replay itself lagged up to {counts['late_s']:.1f} s: this machine is too busy "
            f"for rate={settings.rate:g}",
        )


def _list(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
