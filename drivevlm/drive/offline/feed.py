"""Which topics of a bag feed a node, and what it lacks, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from drivevlm.drive.inputs import heard_topics
from drivevlm.drive.listen import is_needed
from drivevlm.drive.node_config import NodeConfig, Transport
from drivevlm.drive.offline.bag import BagError, BagTopic
from drivevlm.drive.replay.event import CLOCK
from drivevlm.drive.topics import CAMERA, COMPRESSED, IMAGE, TF_STATIC, Names, Topic

MOST_NAMED = 6
"""So many topics that might be meant are named."""


def feeding(bag: Sequence[BagTopic], names: Names, config: NodeConfig) -> tuple[str, ...]:
    """Full names of the bag's topics that the node hears.

    Raises:
        BagError: One that no decision is made without is missing, or carries another type; with the
            topics of the bag that could stand in its place, and how that is said.
    """
    there = {topic.name: topic for topic in bag}
    heard = [(topic, camera or "") for topic, camera in heard_topics(config)]
    if config.use_sim_time:
        heard.append((CLOCK, ""))
    missing, found = list[tuple[Topic, str]](), list[str]()
    for topic, camera in heard:
        name = names.of(topic, camera or None)
        if name not in there:
            if is_needed(topic, camera, config) or _is_needed_too(topic, config):
                missing.append((topic, camera))
        elif there[name].type_name != topic.type_name:
            hint = _transport_hint(there[name].type_name)
            raise BagError(
                f"{name}: expected {topic.type_name}, the bag has {there[name].type_name}{hint}"
            )
        else:
            found.append(name)
    if missing:
        raise BagError("; ".join(_lines(missing, bag, names, found)))
    return tuple(found)


def _is_needed_too(topic: Topic, config: NodeConfig) -> bool:
    """What a recorder must have caught, while a node on the wire may still wait for it."""
    if topic is CLOCK:
        return True
    known = [config.calibration_of(name).translation_m for name in config.drive.sync.cameras]
    return topic is TF_STATIC and config.camera.calibrated and not all(known)


def _lines(
    missing: Sequence[tuple[Topic, str]], bag: Sequence[BagTopic], names: Names, found: list[str]
) -> Iterator[str]:
    """By type of message: what is missing, and what else of that type there is."""
    for type_name in dict.fromkeys(topic.type_name for topic, _ in missing):
        mine = [(topic, camera) for topic, camera in missing if topic.type_name == type_name]
        wanted = [names.of(topic, camera or None) for topic, camera in mine]
        line = f"the bag lacks {_some(wanted)} ({type_name}), which the node needs"
        free = [t.name for t in bag if t.type_name == type_name and t.name not in found]
        if mine[0][0] is CLOCK:
            line += ": set use_sim_time=false to take the times at which messages were recorded"
        elif mine[0][0] is TF_STATIC:
            line += ": give each camera its pose, calibration.CAMERA.translation_m and the like"
        elif free:
            old = mine[0][0].name.replace(CAMERA, mine[0][1])
            line += f": it has {_some(free)} of that type, as in remap=[{old}:={free[0]}]"
        else:
            line += f", and nothing of that type{_instead(type_name, bag)}"
        yield line


def _some(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _instead(type_name: str, bag: Sequence[BagTopic]) -> str:
    other = {COMPRESSED.type_name: IMAGE.type_name, IMAGE.type_name: COMPRESSED.type_name}
    wanted = other.get(type_name)
    return _transport_hint(wanted or "") if any(t.type_name == wanted for t in bag) else ""


def _transport_hint(type_name: str) -> str:
    """How pictures of this type are asked for."""
    hints = {IMAGE.type_name: Transport.RAW, COMPRESSED.type_name: Transport.COMPRESSED}
    if type_name not in hints:
        return ""
    return f" (for {type_name}, set camera.transport={hints[type_name].value})"
