"""Laws of the bus beside its topics: where it joins, its clock, its timers, what it wakes."""

import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("cyclonedds")
pytest.importorskip("rosbags")

from cyclonedds.domain import DomainParticipant
from cyclonedds.idl import IdlStruct
from wire_cases import Peer, Time, loopback, met, until

from drivevlm.drive.wire.config import DdsConfig, loopback_config
from drivevlm.drive.wire.dds import DdsBus
from drivevlm.drive.wire.store import WireError
from drivevlm.drive.wire.timer import Timer, next_beat
from drivevlm.drive.wire.trouble import Trouble

ROOT = Path(__file__).parents[1]


@dataclass
class Clock(IdlStruct, typename="rosgraph_msgs.msg.dds_.Clock_"):
    clock: Time


def test_the_clock_is_that_of_the_system():
    with DdsBus(loopback()) as bus:
        before_us = time.time_ns() // 1000
        assert before_us <= bus.now_us() <= time.time_ns() // 1000


def test_with_simulated_time_the_clock_is_a_topic_and_may_jump_back():
    config = loopback()
    config = DdsConfig(config.domain, loopback=True, use_sim_time=True)
    with DdsBus(config) as bus:
        peer = Peer(config.domain)
        writer = peer.writer("/clock", Clock)
        met(bus, hears=("/clock", writer))
        assert bus.now_us() == 0
        for seconds, nanoseconds, expected_us in ((7, 1_500, 7_000_001), (5, 0, 5_000_000)):
            writer.write(Clock(Time(seconds, nanoseconds)))
            until(lambda expected_us=expected_us: bus.now_us() == expected_us, "the time")


@pytest.mark.parametrize(
    ("beat", "since_s", "following"),
    [(1, 0.10, 2), (1, 0.19, 2), (1, 0.21, 3), (5, 0.95, 10), (2, 0.0, 3)],
)
def test_beats_lie_on_a_grid_and_those_that_passed_are_left_out(beat, since_s, following):
    assert next_beat(beat, since_s=since_s, period_s=0.1) == following


def test_a_timer_does_not_drift_by_what_its_calls_take():
    beats, ten = [], threading.Event()

    def call():
        beats.append(time.monotonic())
        time.sleep(0.03)
        if len(beats) == 10:
            ten.set()

    begun_s = time.monotonic()
    timer = Timer(0.05, call)
    assert ten.wait(5.0)
    timer.stop()
    timer.join(1.0)
    assert 0.5 <= beats[9] - begun_s < 0.7  # 0.8 with what the calls take


def test_a_timer_whose_call_raises_beats_on_and_is_told_once():
    told = []
    with DdsBus(loopback(), tell=told.append) as bus:
        bus.every(0.01, lambda: 1 / 0)
        name = "timer of 0.01 s"
        until(lambda: bus.troubles().get((name, Trouble.CALLBACK), 0) > 2, "three beats")
    assert len(told) == 1
    assert "ZeroDivisionError" in told[0]


def test_a_timer_needs_a_period():
    with pytest.raises(ValueError, match="above 0 s, got 0"):
        Timer(0.0, print)


def test_the_domain_is_that_of_the_environment_unless_one_is_named(monkeypatch):
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    assert DdsConfig().domain == 0
    monkeypatch.setenv("ROS_DOMAIN_ID", "42")
    assert DdsConfig().domain == 42
    assert DdsConfig(7).domain == 7
    for wrong in ("-1", "233", "mine"):
        monkeypatch.setenv("ROS_DOMAIN_ID", wrong)
        with pytest.raises(WireError, match=f"ROS_DOMAIN_ID must be from 0 to 232, got '{wrong}'"):
            DdsBus()
    with pytest.raises(ValueError, match="from 0 to 232, got 233"):
        DdsConfig(233)


def test_two_buses_of_a_process_share_a_loopback_domain():
    config = loopback()
    with DdsBus(config) as first, DdsBus(config) as second:
        assert first.now_us() <= second.now_us()
        with pytest.raises(WireError, match="keeps to this machine in this process"):
            DdsBus(DdsConfig(config.domain))


def test_a_domain_that_is_open_with_other_settings_is_told(monkeypatch):
    monkeypatch.setenv("CYCLONEDDS_URI", loopback_config())
    config = loopback()
    other = DomainParticipant(config.domain)
    with pytest.raises(WireError, match=f"domain {config.domain} cannot be joined .* loopback"):
        DdsBus(config)
    del other
    DdsBus(config).close()


def test_the_settings_for_loopback_ask_for_no_more_than_the_system_grants():
    assert 'SocketReceiveBufferSize max="4MB"' in loopback_config()
    assert "\n" not in loopback_config()


@pytest.mark.parametrize("module", ["drivevlm", "drivevlm.drive", "drivevlm.drive.wire.dds"])
def test_an_import_wakes_no_dds(module):
    code = f"import sys, {module}; sys.exit(bool({{'cyclonedds', 'rosbags'}} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("missing", ["cyclonedds", "rosbags"])
def test_a_missing_package_is_told_in_one_line_with_the_command_that_helps(missing):
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from drivevlm.drive.wire.dds import DdsBus\n"
        "from drivevlm.drive.wire.store import WireError\n"
        "try:\n"
        "    DdsBus()\n"
        "except WireError as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    (line,) = run.stdout.splitlines()
    assert missing in line
    assert line.endswith("pip install 'drivevlm[dds]'")


def test_a_process_that_forgets_to_close_ends_at_once():
    code = (
        "from drivevlm.drive.bus import Qos\n"
        "from drivevlm.drive.wire.config import DdsConfig\n"
        "from drivevlm.drive.wire.dds import DdsBus\n"
        f"bus = DdsBus(DdsConfig({loopback().domain}, loopback=True))\n"
        "bus.subscribe('/a', 'std_msgs/msg/String', Qos(reliable=True, depth=1), print)\n"
        "bus.every(0.01, lambda: None)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], timeout=20.0, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
