"""The law of replay: a node that lives through a recording decides as an evaluation that reads it.

What is asked of the model is compared to the last pixel and word, by the requests' digests.
"""

import pytest
from drive_cases import bundled
from replay_cases import (
    ANCHOR,
    LoopBus,
    active_node,
    cut,
    planned,
    real_with_stand_ins,
)

from drivevlm.drive.node_config import ObjectsType
from drivevlm.drive.replay.answers import records
from drivevlm.drive.replay.config import LockstepConfig, ReplayConfig
from drivevlm.drive.replay.event import CLOCK, Line
from drivevlm.drive.replay.feed import Feed
from drivevlm.drive.replay.listener import Listener
from drivevlm.drive.replay.lockstep import lockstep
from drivevlm.drive.replay.stream import lines_of, scene_stream
from drivevlm.drive.topics import COMPRESSED, KINEMATIC_STATE, Names

NAMES = Names()
PREDICTED = ReplayConfig(objects=ObjectsType.PREDICTED)
DETECTION = ReplayConfig(objects=ObjectsType.DETECTION)


def said(answered) -> dict[str, tuple[str, str]]:
    found = {}
    for record in records(answered, planner="node"):
        assert record.decision.failure is None, record.decision.failure
        found[record.clip] = record.decision.request_digest, record.decision.reply
    return found


def in_process(recording, scenes, config, frames: int) -> dict[str, tuple[str, str]]:
    bus = LoopBus()
    listener, feed = Listener(bus, NAMES), Feed(bus, NAMES, lines_of(recording.cameras, config))
    node = active_node(bus, recording, config, frames=frames, lockstep=True)
    streams = [scene_stream(recording, scene, config) for scene in scenes]
    found = said(lockstep(streams, feed, listener, LockstepConfig(), sleep=bus.sleep))
    assert node.shutdown()
    return found


def over_dds(recording, scenes, config, frames: int) -> dict[str, tuple[str, str]]:
    pytest.importorskip("cyclonedds")
    from wire_cases import loopback

    from drivevlm.drive.wire.config import DdsConfig
    from drivevlm.drive.wire.dds import DdsBus

    domain = loopback()
    simulated = DdsConfig(domain.domain_id, loopback=True, use_sim_time=True)
    with DdsBus(domain) as bus, DdsBus(simulated) as wire:
        listener, feed = Listener(bus, NAMES), Feed(bus, NAMES, lines_of(recording.cameras, config))
        node = active_node(wire, recording, config, frames=frames)
        needed = [Line(COMPRESSED, ANCHOR), Line(KINEMATIC_STATE), Line(CLOCK)]
        feed.wait_heard(needed, bus.peers, timeout_s=10.0)
        streams = (scene_stream(recording, scene, config) for scene in scenes)
        found = said(lockstep(streams, feed, listener, LockstepConfig()))
        assert node.shutdown()
    return found


WAYS = {"in_process": in_process, "dds": over_dds}


@pytest.fixture
def real(tmp_path):
    def opened(*scenes: str):
        return real_with_stand_ins(tmp_path, scenes=scenes, frames=3)

    return opened


@pytest.mark.parametrize("way", WAYS)
def test_the_bundled_worlds_get_the_same_decisions_in_lockstep(way):
    recording = bundled()
    scenes = cut(recording, scene_2001=16, scene_2004=5)
    expected = planned(recording, scenes, PREDICTED)
    assert len(expected) == 21
    assert WAYS[way](recording, scenes, PREDICTED, frames=2) == expected


@pytest.mark.parametrize("way", WAYS)
def test_real_scenes_get_the_same_decisions_in_lockstep(way, real):
    recording = real("scene-0103")
    scenes = cut(recording, scene_0103=8)
    expected = planned(recording, scenes, DETECTION)
    assert WAYS[way](recording, scenes, DETECTION, frames=3) == expected


@pytest.mark.slow
@pytest.mark.parametrize("config", [PREDICTED, DETECTION], ids=["predicted", "detection"])
@pytest.mark.parametrize("way", WAYS)
def test_all_bundled_worlds_get_the_same_decisions_in_lockstep(way, config):
    recording = bundled()
    scenes = list(recording.scenes())
    expected = planned(recording, scenes, config)
    assert WAYS[way](recording, scenes, config, frames=2) == expected


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_all_real_scenes_get_the_same_decisions_in_lockstep(way, real):
    recording = real()
    scenes = list(recording.scenes())
    expected = planned(recording, scenes, DETECTION)
    assert WAYS[way](recording, scenes, DETECTION, frames=3) == expected
