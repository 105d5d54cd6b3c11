"""``drivevlm drive``: a recorded bag in, decisions and a page out, without ROS and a network."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from drivevlm.build.node_planner import node_planner
from drivevlm.drive.node_config import NodeConfig, Transport
from drivevlm.drive.offline.bag import Bag, BagError
from drivevlm.drive.offline.drive import OfflineDrive
from drivevlm.drive.parameters import node_config, values_of
from drivevlm.drive.parameters_file import yaml_of
from drivevlm.drive.topics import COMPRESSED, IMAGE, Names
from drivevlm.planner import Planner, VLMPlanner
from drivevlm.record.manifest import manifest
from drivevlm.record.run_folder import RecordError, RunFolder, new_folder, write_atomically
from drivevlm.report.drive_figures import DriveFigures, DriveTable
from drivevlm.report.drive_page import write_drive_page
from drivevlm.report.results import OF_UNTRAINED, UNTRAINED
from drivevlm.verbs.drive_book import DriveBook
from drivevlm.verbs.driven import AFTER_US
from drivevlm.verbs.finish import commit_words
from drivevlm.verbs.node_start import parameter_values, remapped, say, stopped
from drivevlm.verbs.progress import bars

DRIVE_ERRORS = (BagError,)


@dataclass(frozen=True, slots=True)
class DriveSettings:
    """What is driven. Every other KEY=VALUE is a parameter of the node, as for drivevlm node.

    The node is the one of ``drivevlm node``, on the bag's clock, which stands while it thinks. A
    bag of simulated time is driven with use_sim_time=true, on its /clock.

    Attributes:
        bag: A folder with metadata.yaml, or a file of .mcap or .db3.
        out: Folder that is made; by the time, in runs/, where left out.
        config: YAML file of the node's parameters; what is typed comes after it.
        name: Of the node.
        namespace: Its topics lie below it.
        remap: New names of topics, as in ~/input/kinematic_state:=/odom; ``autoware`` stands for
            all those of an Autoware vehicle.
        page: So many decisions are shown on the page at most, evenly over the bag.
    """

    bag: str = ""
    out: str = ""
    config: str = ""
    name: str = "drivevlm"
    namespace: str = "/"
    remap: tuple[str, ...] = ()
    page: int = 60

    def __post_init__(self) -> None:
        if self.page < 0:
            raise ValueError(f"page is not negative, got {self.page}")


def run_drive(settings: DriveSettings, typed: Mapping[str, object], console: Console) -> int:
    """Drive a bag from its beginning to its end, or to Ctrl-C; returns the exit code.

    Args:
        settings: What is driven.
        typed: Parameters of the node, flat or nested.
        console: Where progress, the table and the page's path are told.
    """
    if not settings.bag:
        raise BagError("bag is not set: drivevlm drive bag=FILE.mcap config=my_vehicle.yaml")
    now = datetime.now()
    names = Names(settings.name, settings.namespace, remapped(settings.remap))
    values = parameter_values(settings.config, typed, names)
    config = node_config(values, name=settings.name)
    names.check_remap(config.drive.sync.cameras)
    out = Path(settings.out).expanduser() if settings.out else new_folder(now)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise RecordError(f"{out} exists: choose another out=")
    with Bag(Path(settings.bag).expanduser()) as bag:
        drive = _loaded(bag, names, config, values, console)
        asks = drive.planner if isinstance(drive.planner, VLMPlanner) else None
        try:
            identity = _identity(bag, config, drive.planner, asks)
            facts = manifest(identity=identity, now=now, command=sys.argv)
            with RunFolder(out, facts) as run:
                write_atomically(out / "parameters.yaml", yaml_of(config))
                book = _driven(run, drive, bag, _anchors(bag, names, config), settings, console)
        finally:
            if asks is not None:
                asks.vlm.close()
    remarks = [*bag.damage, *(f"the node says: {what}" for what in drive.said)]
    remarks += [OF_UNTRAINED] if asks is not None and asks.vlm.name == UNTRAINED else []
    figures = book.figures(config.drive.sync.anchor, drive.unusable)
    return _finished(out, bag, facts, book, figures, remarks, console)


def _finished(
    out: Path,
    bag: Bag,
    facts: Mapping[str, Any],
    book: DriveBook,
    figures: DriveFigures,
    remarks: Sequence[str],
    console: Console,
) -> int:
    """Write what is looked at, and tell it; files first, for a pager may close before the end."""
    write_atomically(out / "drive.json", json.dumps(asdict(figures), indent=1) + "\n")
    page = write_drive_page(
        out / "drive.html",
        title=f"{bag.path.name}: {figures.planner}",
        facts=_page_facts(facts, bag, figures.anchor),
        figures=figures,
        remarks=remarks,
        moments=book.moments,
    )
    console.print(DriveTable(figures))
    for remark in remarks:
        say(console, remark)
    say(console, page)
    return 0 if figures.decided else 1


def _driven(
    run: RunFolder,
    drive: OfflineDrive,
    bag: Bag,
    anchors: int,
    settings: DriveSettings,
    console: Console,
) -> DriveBook:
    """Play the bag; what came before Ctrl-C is kept."""
    planner, every = drive.planner, -(-anchors // settings.page) if settings.page else 0
    label = planner.name
    if isinstance(planner, VLMPlanner):
        label = f"{label} {planner.vlm.name}"
    with (
        (run.path / "ticks.jsonl").open("w") as lines,
        bars(console) as progress,
        stopped() as stop,
    ):
        book = DriveBook(run, lines, planner, label=label, start_us=bag.start_us, every=every)
        for event in drive.run(stop.is_set):
            book.add(event)
            progress("pictures", book.ticks, anchors)
        if stop.is_set():
            say(
                console, f"stopped after {book.ticks} of {anchors} pictures: the rest is not driven"
            )
    return book


def _anchors(bag: Bag, names: Names, config: NodeConfig) -> int:
    """How many pictures of the anchor there are."""
    image = IMAGE if config.camera.transport is Transport.RAW else COMPRESSED
    name = names.of(image, config.drive.sync.anchor)
    return sum(topic.count for topic in bag.topics if topic.name == name)


def _loaded(
    bag: Bag, names: Names, config: NodeConfig, values: Mapping[str, object], console: Console
) -> OfflineDrive:
    """The node on the bag. Where the bag lacks a topic, all of its topics are told."""

    def load(config: NodeConfig) -> Planner:
        return node_planner(config, lambda text: say(console, text))

    try:
        return OfflineDrive(bag, names, config, values, load, after_us=AFTER_US)
    except BagError:
        for topic in bag.topics:
            say(console, f"{topic.count:>8}  {topic.name}  {topic.type_name}")
        raise


def _identity(
    bag: Bag, config: NodeConfig, planner: Planner, asks: VLMPlanner | None
) -> dict[str, Any]:
    """All that decides the decisions."""
    model, prompt = None, None
    if asks is not None:
        model = {"name": asks.vlm.name, "revision": asks.vlm.revision}
        prompt = {"name": asks.dialogue.config.name, "digest": asks.dialogue.digest}
    topics = [[topic.name, topic.type_name, topic.count] for topic in bag.topics]
    span = {"start_us": bag.start_us, "end_us": bag.end_us}
    return {
        "bag": {"path": str(bag.path.resolve()), **span, "topics": topics},
        "parameters": values_of(config),
        "planners": [planner.name],
        "models": {"vlm": model},
        "prompt": prompt,
    }


def _page_facts(facts: Mapping[str, Any], bag: Bag, anchor: str) -> dict[str, str]:
    """What stands at the head of the page."""
    (start,), identity = facts["starts"], facts["identity"]
    model, prompt = identity["models"]["vlm"], identity["prompt"]
    span_s = (bag.end_us - bag.start_us) / 1e6
    return {
        "command": " ".join(start["command"]),
        "started": start["started"],
        "commit": commit_words(start["git"]),
        "bag": f"{bag.path}, {span_s:.1f} s, decided on at the pictures of {anchor}",
        "model": f"{model['name']} ({model['revision'][:24].strip()})" if model else "none",
        "prompt": f"{prompt['name']} ({prompt['digest'][:12]})" if prompt else "none",
        "parameters": "parameters.yaml, beside this page",
    }
