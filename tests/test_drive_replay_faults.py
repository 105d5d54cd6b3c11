"""Laws of faults: each does what it says, no more, and the same again by its seed."""

from collections import Counter
from dataclasses import replace

import pytest
from dialogue_cases import png
from drive_bus import LocalBus
from hypothesis import given
from hypothesis import strategies as st

from drivevlm.drive.messages.fields import BadMessageError
from drivevlm.drive.messages.images import encoded_of_compressed
from drivevlm.drive.replay.contents import Picture, Tick, Words
from drivevlm.drive.replay.damage import damaged
from drivevlm.drive.replay.event import CLOCK, Event, Line, SceneStream
from drivevlm.drive.replay.faults import Fault, FaultKind, Faults, FaultsConfig
from drivevlm.drive.topics import COMPRESSED, NAVIGATION_COMMAND
from drivevlm.world.camera import Frame

START_US = 5_000_000
LINES = {
    "clock": Line(CLOCK),
    "words": Line(NAVIGATION_COMMAND),
    "front": Line(COMPRESSED, "CAM_FRONT"),
    "back": Line(COMPRESSED, "CAM_BACK"),
}


def drive(seconds: float = 4.0) -> SceneStream:
    """Every 100 ms one message of each line; a clip twice a second."""
    events = []
    for k in range(round(seconds * 10)):
        us = START_US + k * 100_000
        contents = {
            "clock": Tick(),
            "words": Words(f"follow {k}"),
            "back": Picture("CAM_BACK", Frame(us, (64, 36), png(k % 250))),
            "front": Picture("CAM_FRONT", Frame(us, (64, 36), png(k % 250))),
        }
        for name, content in contents.items():
            clip = f"clip-{k}" if name == "front" and k % 5 == 0 else ""
            events.append(Event(us, us, LINES[name], content, clip))
    return SceneStream("scene-1", tuple(events))


def faulty(*faults: Fault, seed: int = 0, stream: SceneStream | None = None):
    done = Faults(FaultsConfig(faults, seed))
    return done.done_to(stream or drive()).events, done.injected


def key(event: Event):
    return event.line.name, event.stamp_us, id(event.content)


def said(events) -> list:
    return [(event.at_us, *key(event), event.clip) for event in events]


def test_no_fault_changes_nothing():
    stream = drive()
    events, injected = faulty(stream=stream)
    assert events == stream.events
    assert not injected


ALL = (
    Fault(FaultKind.DROP, 0.1),
    Fault(FaultKind.DELAY, 0.2, by_s=0.3),
    Fault(FaultKind.DUPLICATE, 0.1),
    Fault(FaultKind.REORDER, 0.1),
    Fault(FaultKind.CORRUPT, 0.1),
    Fault(FaultKind.JUMP, 0.5, from_s=1.0, by_s=-5.0),
    Fault(FaultKind.LOSS, 0.5, what="CAM_BACK/*", from_s=2.0, for_s=1.0),
)


def test_the_same_seed_does_the_same_and_another_one_or_another_scene_does_not():
    def hits(seed: int, scene: str = "scene-1"):
        stream = replace(drive(), scene=scene)
        events, injected = faulty(*ALL, seed=seed, stream=stream)
        return [(event.at_us, event.stamp_us, event.line.name) for event in events], injected

    assert hits(3) == hits(3)
    assert hits(3)[0] != hits(4)[0]
    assert hits(3)[0] != hits(3, "scene-2")[0]


@given(st.integers(0, 10**6))
def test_whatever_the_seed_events_come_in_order_and_all_that_was_done_is_counted(seed):
    stream = drive()
    events, injected = faulty(*ALL, seed=seed, stream=stream)
    assert [event.at_us for event in events] == sorted(event.at_us for event in events)
    by_kind = Counter()
    for (kind, _), count in injected.items():
        by_kind[kind] += count
    lost = by_kind[FaultKind.DROP] + by_kind[FaultKind.LOSS]
    assert len(events) == len(stream.events) - lost + by_kind[FaultKind.DUPLICATE]


def test_a_drop_takes_what_it_is_told_to_and_leaves_all_else():
    stream = drive()
    fault = Fault(FaultKind.DROP, 0.5, what="CAM_BACK/image/*")
    events, injected = faulty(fault, stream=stream)
    gone = [event for event in stream.events if event not in events]
    assert {event.line for event in gone} == {LINES["back"]}
    assert injected == {(FaultKind.DROP, "CAM_BACK/image/compressed"): len(gone)}
    assert 10 <= len(gone) <= 30


def test_a_delay_keeps_the_stamp_and_is_no_longer_than_asked():
    stream = drive()
    events, _ = faulty(Fault(FaultKind.DELAY, 1.0, what="*/image/*", by_s=0.25), stream=stream)
    assert sorted(map(key, events)) == sorted(map(key, stream.events))
    late_us = {event.at_us - event.stamp_us for event in events if "image" in event.line.name}
    assert min(late_us) > 0
    assert max(late_us) <= 250_000
    assert len(late_us) > 20
    assert all(event.at_us == event.stamp_us for event in events if event.line == LINES["words"])


def test_a_duplicate_comes_twice_and_makes_a_decision_due_once():
    events, injected = faulty(Fault(FaultKind.DUPLICATE, 1.0, what="CAM_FRONT/*"))
    front = [event for event in events if event.line == LINES["front"]]
    assert len(front) == 80
    assert injected == {(FaultKind.DUPLICATE, "CAM_FRONT/image/compressed"): 40}
    for one, other in zip(front[::2], front[1::2], strict=True):
        assert key(one) == key(other)
        assert one.at_us == other.at_us
    assert sum(bool(event.clip) for event in front) == 8


def test_a_reordering_swaps_neighbours_of_one_topic():
    stream = drive()
    events, injected = faulty(
        Fault(FaultKind.REORDER, 0.2, what="navigation_command"), stream=stream
    )
    assert sorted(map(key, events)) == sorted(map(key, stream.events))
    stamps = [event.stamp_us for event in events if event.line == LINES["words"]]
    assert stamps != sorted(stamps)
    assert sum(injected.values()) > 2
    others = [event for event in events if event.line != LINES["words"]]
    assert others == [event for event in stream.events if event.line != LINES["words"]]


def test_a_corrupted_picture_is_another_one_and_nothing_else_is_touched():
    stream = drive()
    events, injected = faulty(Fault(FaultKind.CORRUPT), stream=stream)
    assert sum(injected.values()) == 80
    for one, other in zip(stream.events, events, strict=True):
        assert (one.at_us, one.stamp_us, one.line, one.clip) == (
            other.at_us,
            other.stamp_us,
            other.line,
            other.clip,
        )
        if isinstance(one.content, Picture):
            assert one.content.encoded != other.content.encoded
        else:
            assert one.content is other.content


@given(st.binary(max_size=200), st.integers(0, 2**32))
def test_damage_always_shows_and_is_the_same_again(encoded, seed):
    assert damaged(encoded, seed=seed) != encoded
    assert damaged(encoded, seed=seed) == damaged(encoded, seed=seed)


def test_of_damaged_pictures_the_node_refuses_those_without_a_head():
    bus, refused = LocalBus(), 0
    for event in faulty(Fault(FaultKind.CORRUPT))[0]:
        if isinstance(event.content, Picture):
            message = event.message(bus)
            try:
                encoded_of_compressed(message)
            except BadMessageError:
                refused += 1
    assert 0 < refused < 80


def test_a_jump_of_the_clock_moves_all_stamps_of_its_window_and_no_arrival():
    stream = drive()
    fault = Fault(FaultKind.JUMP, from_s=1.0, for_s=2.0, by_s=-5.0)
    events, injected = faulty(fault, stream=stream)
    for one, other in zip(stream.events, events, strict=True):
        inside = 1.0 <= (one.at_us - START_US) / 1e6 < 3.0
        assert other.at_us == one.at_us
        assert other.stamp_us - one.stamp_us == (-5_000_000 if inside else 0)
        assert (other.content, other.clip) == (one.content, one.clip)
    assert injected[FaultKind.JUMP, "/clock"] == 20


def test_a_lost_camera_is_silent_in_its_window_only():
    events, injected = faulty(Fault(FaultKind.LOSS, what="CAM_BACK/*", from_s=1.0, for_s=1.5))
    back = [event.at_us - START_US for event in events if event.line == LINES["back"]]
    assert back == [k * 100_000 for k in range(40) if not 10 <= k < 25]
    assert len([event for event in events if event.line == LINES["front"]]) == 40
    assert injected == {(FaultKind.LOSS, "CAM_BACK/image/compressed"): 15}


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"kind": FaultKind.DROP, "share": 1.5}, r"share lies in \[0, 1\]"),
        ({"kind": FaultKind.DROP, "from_s": -1.0}, "a window begins at from_s >= 0"),
        ({"kind": FaultKind.LOSS, "for_s": 0.0}, "lasts for_s > 0"),
        ({"kind": FaultKind.DELAY}, r"by_s is of a delay \(above 0\)"),
        ({"kind": FaultKind.JUMP}, r"or a jump \(not 0\)"),
        ({"kind": FaultKind.DROP, "by_s": 1.0}, "got 1 for drop"),
        ({"kind": FaultKind.JUMP, "by_s": 1.0, "what": "/clock"}, "a jump of the clock is of all"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(values, why):
    with pytest.raises(ValueError, match=why):
        Fault(**values)
