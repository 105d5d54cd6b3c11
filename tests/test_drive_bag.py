"""Bags that lack something, break off, or are none; and the parts that play them."""

from __future__ import annotations

import shutil
import sys
from contextlib import suppress
from dataclasses import replace

import pytest

pytest.importorskip("rosbags", reason="bags need rosbags (the extra [dds])")
pytest.importorskip("mcap")

import numpy as np
from bag_cases import (
    BACK,
    CLIPS,
    CTRV,
    ODOMETRY,
    WRITTEN,
    bag_of,
    changed_bag,
    driven,
    refused,
    said,
    ticks_of,
    written,
)
from drive_cases import bundled, sample
from replay_cases import cut

from drivevlm.app import main
from drivevlm.drive.config import OdometryConfig
from drivevlm.drive.offline.bag import Bag, BagError
from drivevlm.drive.offline.bus import PlayBus
from drivevlm.drive.offline.feed import feeding
from drivevlm.drive.offline.path import DrivenPath
from drivevlm.drive.parameters import node_config
from drivevlm.drive.topics import Names
from drivevlm.drive.wire.store import typestore


@pytest.fixture(scope="module")
def scene():
    return cut(bundled(), scene_2001=CLIPS)[0]


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    return bag_of(tmp_path_factory.mktemp("bags") / "drive", scene_2001=CLIPS)


@pytest.fixture(scope="module")
def expected(bag):
    return said(ticks_of(bag))


def test_topics_are_found_under_the_names_they_are_remapped_to(bag, tmp_path, capsys):
    renamed = changed_bag(
        bag, tmp_path / "bag", lambda e: [("/odom" if e[0] == ODOMETRY else e[0], *e[1:])]
    )
    line = refused(capsys, f"bag={renamed}", f"out={tmp_path / 'out'}", CTRV)
    assert line == (
        f"drivevlm drive: the bag lacks {ODOMETRY} (nav_msgs/msg/Odometry), which the node needs: "
        "it has /odom of that type, as in remap=[~/input/kinematic_state:=/odom]"
    )
    assert not (tmp_path / "out").exists()
    counted = driven(renamed, tmp_path / "out", "remap=[~/input/kinematic_state:=/odom]")
    assert counted["lost"] == {}


def test_a_topic_that_is_missing_is_told_beside_all_that_the_bag_has(bag, tmp_path, capsys):
    blind = changed_bag(bag, tmp_path / "bag", lambda e: [] if "image" in e[0] else [e])
    assert main(["drive", f"bag={blind}", CTRV, f"out={tmp_path / 'out'}"]) == 2
    told = capsys.readouterr()
    assert "the bag lacks /drivevlm/input/CAM_FRONT/image/compressed, " in told.err
    assert "and nothing of that type" in told.err
    with Bag(blind) as opened:
        for topic in opened.topics:
            assert f"{topic.count}  {topic.name}  {topic.type_name}" in told.out


def test_what_the_settings_tell_need_not_be_in_the_bag(bag, tmp_path):
    def change(entry):
        return (
            [] if entry[1] == "sensor_msgs/msg/CameraInfo" or entry[0] == "/tf_static" else [entry]
        )

    bare = changed_bag(bag, tmp_path / "bag", change)
    words = ["sync.cameras=[CAM_FRONT]"]
    with Bag(bare) as opened, pytest.raises(BagError, match=r"CAM_FRONT/camera_info .*tf_static "):
        feeding(opened.topics, Names(), node_config({"sync.cameras": ["CAM_FRONT"]}))
    counted = driven(bare, tmp_path / "unknown", *words, "camera.calibrated=false")
    assert counted["lost"] == {}
    told = ["size_px=[448,252]", "intrinsics=[300,0,224,0,300,126,0,0,1]"]
    told += ["translation_m=[1.5,0,1.5]", "quaternion_xyzw=[-0.5,0.5,-0.5,0.5]"]
    words += [f"calibration.CAM_FRONT.{word}" for word in told]
    assert driven(bare, tmp_path / "out", *words)["lost"] == {}


def test_a_topic_of_another_type_is_told_with_the_parameter_that_takes_it(bag, tmp_path, capsys):
    raw = changed_bag(
        bag,
        tmp_path / "bag",
        lambda e: [(e[0], "sensor_msgs/msg/Image", *e[2:]) if e[0] == BACK else e],
    )
    line = refused(capsys, f"bag={raw}", CTRV)
    assert f"{BACK}: expected sensor_msgs/msg/CompressedImage, the bag has" in line
    assert line.endswith("set camera.transport=raw)")


def test_messages_that_cannot_be_used_are_counted_and_named(bag, scene, tmp_path, capsys):
    t0_ns = bundled().clip(scene.tokens[4]).t0_us * 1000

    def change(entry):
        topic, kind, time_ns, cdr = entry
        if topic == ODOMETRY and time_ns == t0_ns:
            yield topic, kind, time_ns, cdr[: len(cdr) // 2]
            yield topic, kind, time_ns, b"\x07\x07 no CDR"
        if topic == BACK and time_ns == t0_ns:
            cdr = bytes(_without_a_picture(cdr, kind))
        yield topic, kind, time_ns, cdr

    counted = driven(changed_bag(bag, tmp_path / "bag", change), tmp_path / "out")
    assert counted["unusable"][ODOMETRY]["count"] == 2
    assert counted["unusable"][BACK]["count"] == 1
    assert counted["lost"]["refused_camera"]["count"] == 1
    assert "that cannot be used" in " ".join(capsys.readouterr().out.split())


def _without_a_picture(cdr: bytes, kind: str) -> bytes:
    message = typestore().deserialize_cdr(cdr, kind)
    empty = replace(message, data=np.zeros(0, dtype=np.uint8))
    return bytes(typestore().serialize_cdr(empty, kind))


@pytest.mark.parametrize("how", WRITTEN)
def test_a_bag_that_breaks_off_is_driven_up_to_there(how, bag, expected, tmp_path, capsys):
    whole = written(bag, tmp_path / "whole.mcap", how).read_bytes()
    cut_off = tmp_path / "cut.mcap"
    cut_off.write_bytes(whole[: int(len(whole) * 0.6)])
    found = said(ticks_of(cut_off))
    assert found == expected[: len(found)]
    assert 3 <= len(found) < CLIPS
    counted = driven(cut_off, tmp_path / "out")
    assert counted["ticks"] == len(found)
    assert f"{cut_off} breaks off: its first " in capsys.readouterr().out


@pytest.mark.parametrize("how", WRITTEN)
def test_wherever_a_file_breaks_off_its_beginning_is_read_or_nothing_is(how, bag, tmp_path):
    path = written(bag, tmp_path / "cut.mcap", how)
    whole, everything, read = path.read_bytes(), _messages(path), list[int]()
    chunks = list(_chunk_ends(whole))[:3]
    after = [end + more for end in chunks for more in (0, 40, 400)]  # in the midst of their indexes
    ends = [0, 5, 9, 40, 3000, *after, *np.linspace(1e5, len(whole) - 1, 9)]
    for end in sorted(int(end) for end in ends):
        path.write_bytes(whole[:end])
        found = []
        with suppress(BagError):
            found = _messages(path)
        assert found == everything[: len(found)]
        read.append(len(found))
    assert read == sorted(read)
    assert len(set(read)) >= 9
    assert read[-1] == len(everything)  # what is missing is the end alone


def _chunk_ends(whole: bytes):
    at = 8
    while at + 9 <= len(whole) - 8:
        kind, at = whole[at], at + 9 + int.from_bytes(whole[at + 1 : at + 9], "little")
        if kind == 6:
            yield at


def _messages(path) -> list[tuple[int, str, bytes]]:
    with Bag(path) as opened:
        names = [topic.name for topic in opened.topics]
        found = [(r.at_us, r.topic, bytes(r.cdr)) for r in opened.recorded(names)]
        assert len(found) == sum(topic.count for topic in opened.topics)
        assert len(opened.damage) <= 1  # that it breaks off
        return found


def test_what_is_damaged_within_ends_the_reading_there_and_is_told(bag, tmp_path, capsys):
    path = written(bag, tmp_path / "bad.mcap")
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2 : len(whole) // 2 + 100] = bytes(100)
    path.write_bytes(whole)
    counted = driven(path, tmp_path / "out")
    assert 0 < counted["ticks"] < CLIPS
    assert "s into the bag, and read up to there" in capsys.readouterr().out


def test_messages_that_an_index_promises_and_nobody_finds_are_told(bag, tmp_path):
    path = tmp_path / "holes.mcap"
    shutil.copy(next(bag.glob("*.mcap")), path)
    whole = bytearray(path.read_bytes())
    whole[300_000:600_000] = bytes(300_000)  # read as empty records, for there is no checksum
    path.write_bytes(whole)
    with Bag(path) as opened:
        names = [topic.name for topic in opened.topics]
        promised = sum(topic.count for topic in opened.topics)
        found = len(list(opened.recorded(names)))
        assert opened.damage == [f"{path} lacks {promised - found} of {promised} messages"]
    assert 0 < found < promised


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "is no bag: it has no metadata.yaml, and no .mcap or .db3"),
        (lambda path: path.write_text("hello"), "is no bag: expected a folder with metadata.yaml"),
    ],
)
def test_what_is_no_bag_ends_in_one_line(make, why, tmp_path, capsys):
    make(tmp_path / "x")
    assert why in refused(capsys, f"bag={tmp_path / 'x'}", CTRV)


@pytest.mark.parametrize("name", ["x.mcap", "x.db3"])
def test_a_file_of_something_else_ends_in_one_line(name, tmp_path, capsys):
    (tmp_path / name).write_bytes(b"something else" * 40)
    assert "cannot be read: " in refused(capsys, f"bag={tmp_path / name}", CTRV)


def test_other_words_that_cannot_be_end_in_one_line(bag, tmp_path, capsys):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "run.json").write_text("{}")
    assert "exists: choose another out=" in refused(
        capsys, f"bag={bag}", CTRV, f"out={tmp_path / 'there'}"
    )
    assert "bag is not set" in refused(capsys, CTRV)
    assert "did you mean sync.tolerance_ms?" in refused(capsys, f"bag={bag}", "sync.tolerance=3")
    assert "page is not negative, got -1" in refused(capsys, f"bag={bag}", "page=-1")
    line = refused(capsys, f"bag={bag}", "planner.settings=[planner=expert]", f"out={tmp_path}/o")
    assert "the node cannot be configured: SettingError: planner=expert needs a recording" in line
    assert not (tmp_path / "o").exists()


def test_without_the_extra_one_line_says_what_to_install(bag, monkeypatch, capsys):
    typestore.cache_clear()
    monkeypatch.setitem(sys.modules, "rosbags.typesys", None)
    line = refused(capsys, f"bag={bag}", CTRV)
    assert line.endswith("pip install 'drivevlm[dds]'")


# The parts.


def test_timers_beat_on_the_bags_time_and_not_for_hours_where_nothing_was_recorded():
    bus, beats = PlayBus(1_000_000), []
    bus.every(0.1, lambda: beats.append(bus.now_us()))
    for at_us in (1_250_000, 1_200_000, 1_300_000):
        bus.play(at_us, "/x", None)
    assert beats == [1_000_000, 1_100_000, 1_200_000, 1_300_000]
    assert bus.now_us() == 1_300_000
    bus.play(7_200_000_000, "/x", None)
    assert 9 <= len(beats) - 4 <= 11
    assert beats[-1] == 7_200_000_000


def test_a_driven_path_ends_where_the_pose_jumps_and_waits_where_it_does_not():
    path, second = DrivenPath(OdometryConfig()), 1_000_000
    for k in range(41):
        path.add(sample(k * 50_000, 8 * 0.05 * k))
    half = (0, second // 2, 3 * second)
    assert list(path.poses(second, after_us=half)) == [0, second // 2]
    assert not path.is_over(second, after_us=3 * second)
    path.add(sample(2 * second + 50_000, 100.0))
    assert path.is_over(second, after_us=3 * second)
    assert list(path.poses(second, after_us=half)) == [0, second // 2]
    assert not path.is_over(2 * second + 50_000, after_us=second)
    for k in range(2, 42):
        path.add(sample(2 * second + 50_000 * k, 100.0 + 8 * 0.05 * (k - 1)))
    assert path.is_over(2 * second + 50_000, after_us=second)
