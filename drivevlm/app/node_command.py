"""The verbs of the node."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import yaml
from rich.console import Console

from drivevlm import verbs
from drivevlm.app.settings import changed, recorded
from drivevlm.app.verb import Verb
from drivevlm.build.settings import SettingError


def _node(words: list[str]) -> int:
    own, typed = _parted(words, verbs.NodeSettings)
    settings = changed(verbs.NodeSettings(), own, "setting of node")
    return verbs.run_node(settings, typed, Console())


def _drive(words: list[str]) -> int:
    own, typed = _parted(words, verbs.DriveSettings)
    settings = changed(verbs.DriveSettings(), own, "setting of drive")
    return verbs.run_drive(settings, typed, Console())


def _parted(words: list[str], settings: type) -> tuple[list[str], dict[str, object]]:
    """The words of a verb's own settings, and the node's parameters that the others name."""
    names = {part.name for part in fields(settings)}
    own = [word for word in words if word.partition("=")[0] in names]
    return own, _parameters([word for word in words if word not in own])


def _parameters(words: list[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise SettingError(f"expected key=value, got {word!r}")
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise SettingError(f"{key}: {value!r} is no value (lists are written [a,b])") from None
    return found


def _node_score(words: list[str]) -> int:
    settings = changed(verbs.NodeScoreSettings(), words, "setting of node-score")
    if not settings.run:
        raise SettingError("run is not set: drivevlm node-score run=runs/...")
    values, groups = recorded(Path(settings.run), [])
    print(verbs.node_score(settings, values, groups, Console()))
    return 0


NODE_VERBS = {
    "node": Verb(
        "plan on ROS 2 topics with pip alone: the node of ros_nodes/, on the DDS wire",
        (
            "drivevlm node parameters=my_vehicle.yaml",
            "drivevlm node config=my_vehicle.yaml remap=[autoware]",
            "drivevlm node check=true config=my_vehicle.yaml",
            "drivevlm node planner.settings=[planner=constant_velocity] fallback.kind=stop",
        ),
        _node,
        settings=False,
        own=verbs.NodeSettings,
    ),
    "drive": Verb(
        "a recorded ROS 2 bag (MCAP, sqlite3) in, the node's decisions and a page out, offline",
        (
            "drivevlm drive bag=x.mcap config=my_vehicle.yaml out=runs/drive",
            "drivevlm drive bag=/bags/x remap=[autoware] planner.settings=[planner=ctrv]",
            "drivevlm drive bag=/bags/x sync.cameras=[front] sync.anchor=front"
            " remap=[~/input/front/image/compressed:=/cam/front,~/input/kinematic_state:=/odom]",
        ),
        _drive,
        settings=False,
        own=verbs.DriveSettings,
    ),
    "node-score": Verb(
        "what latency costs a run: its plans as a vehicle has them, over artificial latency too",
        (
            "drivevlm node-score run=runs/live",
            "drivevlm node-score run=runs/baselines planner=ctrv",
        ),
        _node_score,
        settings=False,
        own=verbs.NodeScoreSettings,
    ),
}
