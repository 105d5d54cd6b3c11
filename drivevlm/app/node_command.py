"""The verb of the node."""

from __future__ import annotations

from dataclasses import fields

import yaml
from rich.console import Console

from drivevlm import verbs
from drivevlm.app.settings import changed
from drivevlm.app.verb import Verb
from drivevlm.build.settings import SettingError

OWN = frozenset(part.name for part in fields(verbs.NodeSettings))


def _node(words: list[str]) -> int:
    own = [word for word in words if word.partition("=")[0] in OWN]
    settings = changed(verbs.NodeSettings(), own, "setting of node")
    return verbs.run_node(settings, _parameters([w for w in words if w not in own]), Console())


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
}
