"""Laws of bags: what was published is what is read, by two readers that know nothing of us."""

from collections import Counter, defaultdict

import pytest

pytest.importorskip("mcap")
pytest.importorskip("rosbags")

import numpy as np
from drive_bus import LocalBus
from drive_cases import bundled
from mcap.reader import make_reader
from replay_cases import cut
from rosbags.rosbag2 import Reader

from drivevlm.drive.bus import Qos
from drivevlm.drive.replay.bag import BagBus, write_bag
from drivevlm.drive.replay.config import ReplayConfig
from drivevlm.drive.replay.source import ReplayError
from drivevlm.drive.replay.stream import lines_of, scene_stream
from drivevlm.drive.topics import Names
from drivevlm.drive.wire.store import typestore

CONFIG, NAMES = ReplayConfig(), Names()


@pytest.fixture(scope="module")
def stream():
    (scene,) = cut(bundled(), scene_2001=2)
    return scene_stream(bundled(), scene, CONFIG)


@pytest.fixture(scope="module")
def folder(stream, tmp_path_factory):
    path = tmp_path_factory.mktemp("bags") / "drive"
    feed = write_bag([stream], path, NAMES, lines_of(bundled().cameras, CONFIG))
    assert feed.sent == Counter(event.line.name for event in stream.events)
    return path


def full(event) -> str:
    return NAMES.of(event.line.topic, event.line.camera or None)


def test_rosbags_reads_the_messages_that_were_published(folder, stream):
    store, bus = typestore(), LocalBus()
    expected = defaultdict(list)
    for event in stream.events:
        kind = event.line.topic.type_name
        cdr = bytes(store.serialize_cdr(event.message(bus), kind))
        expected[full(event)].append((event.at_us * 1000, kind, cdr))
    read = defaultdict(list)
    with Reader(folder) as reader:
        for connection, time_ns, cdr in reader.messages():
            read[connection.topic].append((time_ns, connection.msgtype, bytes(cdr)))
    assert read == expected


def test_mcap_finds_channels_schemas_counts_and_times(folder, stream):
    counts = Counter(full(event) for event in stream.events)
    kinds = {full(event): event.line.topic.type_name for event in stream.events}
    (path,) = folder.glob("*.mcap")
    with path.open("rb") as file:
        reader = make_reader(file)
        summary = reader.get_summary()
        told = {channel.topic: channel for channel in summary.channels.values()}
        for topic, kind in kinds.items():
            schema = summary.schemas[told[topic].schema_id]
            assert (schema.name, schema.encoding) == (kind, "ros2msg")
            assert told[topic].message_encoding == "cdr"
        found = {
            summary.channels[k].topic: count
            for k, count in summary.statistics.channel_message_counts.items()
            if count
        }
        assert found == counts
        assert summary.statistics.message_start_time == stream.events[0].at_us * 1000
        assert summary.statistics.message_end_time == stream.events[-1].at_us * 1000
        times = [message.log_time for _, _, message in reader.iter_messages()]
    assert times == sorted(event.at_us * 1000 for event in stream.events)


def test_a_schema_says_all_that_is_needed_to_read_a_message(folder, stream):
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    (path,) = folder.glob("*.mcap")
    store = get_typestore(Stores.EMPTY)
    with path.open("rb") as file:
        reader = make_reader(file)
        for schema in reader.get_summary().schemas.values():
            store.register(get_types_from_msg(schema.data.decode(), schema.name))
        topic = "/drivevlm/input/objects"
        _, channel, message = next(reader.iter_messages(topics=[topic]))
    assert channel.topic == topic
    read = store.deserialize_cdr(message.data, "autoware_perception_msgs/msg/PredictedObjects")
    clip = bundled().clip(cut(bundled(), scene_2001=1)[0].tokens[0])
    assert len(read.objects) == len(clip.proposals.boxes)
    assert read.objects[0].shape.dimensions.x == clip.proposals.boxes[0].size_lwh_m[0]


def test_latched_topics_are_latched_when_the_bag_is_played(folder):
    with Reader(folder) as reader:
        (static,) = [c for c in reader.connections if c.topic == "/tf_static"]
        (state,) = [c for c in reader.connections if c.topic.endswith("/kinematic_state")]
    (latched,), (plain,) = static.ext.offered_qos_profiles, state.ext.offered_qos_profiles
    assert latched.durability.name == "TRANSIENT_LOCAL"
    assert latched.reliability.name == "RELIABLE"
    assert (plain.durability.name, plain.reliability.name) == ("VOLATILE", "BEST_EFFORT")
    assert plain.depth == 50


def test_a_bag_is_never_written_over_another(folder):
    with pytest.raises(ReplayError, match=r"^[^\n]*exists: remove it, or choose another bag=$"):
        BagBus(folder)


def test_a_node_may_speak_on_a_bag_and_hears_nothing_there(tmp_path):
    qos = Qos(reliable=True, depth=1)
    with BagBus(tmp_path / "bag") as bus:
        assert bus.knows("autoware_planning_msgs/msg/Trajectory")
        assert not bus.knows("no_msgs/msg/Such")
        bus.every(0.1, pytest.fail)
        bus.subscribe("/words", "std_msgs/msg/String", qos, pytest.fail)()
        send = bus.publisher("/words", "std_msgs/msg/String", qos)
        for us in (7, 9):
            bus.set_now_us(us)
            assert bus.now_us() == us
            send(bus.make("std_msgs/msg/String", data=f"at {us}"))
    with Reader(tmp_path / "bag") as reader:
        read = [(time_ns, bytes(cdr)) for _, time_ns, cdr in reader.messages()]
    assert [time_ns for time_ns, _ in read] == [7000, 9000]
    assert np.frombuffer(read[1][1][8:12], np.uint8).tobytes() == b"at 9"


def test_a_bag_that_broke_off_is_not_taken_for_a_whole_one(tmp_path):
    with pytest.raises(ZeroDivisionError), BagBus(tmp_path / "bag"):
        raise ZeroDivisionError
    assert not (tmp_path / "bag" / "metadata.yaml").exists()
