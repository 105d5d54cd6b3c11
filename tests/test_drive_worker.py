"""Laws of the one thread that decides."""

import threading
import time
from dataclasses import dataclass

import pytest
from drive_cases import Clock

from drivevlm.drive.worker import Desk, Lost, Worker, one_line


@dataclass(frozen=True)
class Task:
    name: str
    deadline_us: int = 10**18


class Office:
    """A worker that holds each task until it is let go."""

    def __init__(self, kind=Worker):
        self.clock, self.begun, self.go = Clock(), threading.Semaphore(0), threading.Semaphore(0)
        self.delivered, self.lost, self.left_s = [], [], []
        self.changed = threading.Condition()
        self.desk = kind(self.decide, self.deliver, self.lose, self.clock)

    def decide(self, task, left_s):
        self.left_s.append(left_s)
        self.begun.release()
        if isinstance(self.desk, Worker):
            assert self.go.acquire(timeout=5.0)
        if task.name.startswith("bad"):
            raise KeyError("no such\nlane")
        return task.name.upper()

    def deliver(self, task, result):
        with self.changed:
            self.delivered.append(result)
            self.changed.notify_all()

    def lose(self, task, why, detail):
        with self.changed:
            self.lost.append((task.name, why, detail))
            self.changed.notify_all()

    def done(self, count):
        with self.changed:
            ended = lambda: len(self.delivered) + len(self.lost) >= count  # noqa: E731
            assert self.changed.wait_for(ended, timeout=5.0)


@pytest.fixture
def office():
    office = Office()
    office.desk.start()
    yield office
    for _ in range(10):
        office.go.release()
    assert office.desk.stop()


def test_who_hands_over_never_waits_and_the_newest_wins(office):
    office.desk.put(Task("a"))
    assert office.begun.acquire(timeout=5.0)
    began = time.monotonic()
    for name in "bcd":
        office.desk.put(Task(name))
    assert time.monotonic() - began < 1.0
    assert [(name, why) for name, why, _ in office.lost] == [("b", Lost.BUSY), ("c", Lost.BUSY)]
    office.go.release()
    office.go.release()
    office.done(4)
    assert office.delivered == ["A", "D"]


def test_the_deadline_travels_with_the_task_and_what_comes_later_is_thrown_away(office):
    now_us = office.clock.now_us
    office.desk.put(Task("late", now_us + 200_000))
    assert office.begun.acquire(timeout=5.0)
    assert office.left_s == [pytest.approx(0.2)]
    office.clock.now_us = now_us + 200_001
    office.desk.put(Task("hopeless", now_us + 200_001))
    office.go.release()
    office.done(2)
    assert [(name, why) for name, why, _ in office.lost] == [
        ("late", Lost.LATE),
        ("hopeless", Lost.LATE),
    ]
    assert len(office.left_s) == 1  # nothing was begun in vain


def test_an_exception_is_one_line_and_the_thread_goes_on(office):
    for _ in range(3):
        office.go.release()
    office.desk.put(Task("bad"))
    office.done(1)
    office.desk.put(Task("good"))
    office.done(2)
    assert office.lost == [("bad", Lost.CRASHED, "KeyError: 'no such\\nlane'")]
    assert office.delivered == ["GOOD"]


def test_a_publisher_that_fails_does_not_end_the_thread_either():
    ended = threading.Event()

    def deliver(task, result):
        if task.name == "bad":
            raise RuntimeError("no publisher")
        ended.set()

    def lose(task, why, detail):
        lost.append(why)
        begun.set()
        raise RuntimeError("still no publisher")

    lost, begun = [], threading.Event()
    worker = Worker(lambda task, left_s: 0, deliver, lose, Clock())
    worker.start()
    worker.put(Task("bad"))
    assert begun.wait(5.0)
    worker.put(Task("good"))
    assert ended.wait(5.0)
    assert lost == [Lost.CRASHED]
    assert worker.stop()


def test_stopping_ends_the_thread_loses_what_waits_and_cancels_what_is_on_its_way():
    office = Office()
    office.desk.start()
    office.desk.put(Task("a"))
    assert office.begun.acquire(timeout=5.0)
    office.desk.put(Task("b"))
    assert office.desk.stop(give_up=office.go.release)
    office.desk.put(Task("c"))
    assert [lost[:2] for lost in office.lost] == [(name, Lost.STOPPED) for name in "bac"]
    assert office.desk.stop()
    with pytest.raises(RuntimeError, match="once"):
        office.desk.start()


def test_a_worker_that_hangs_is_told():
    office = Office()
    office.desk.start()
    office.desk.put(Task("a"))
    assert office.begun.acquire(timeout=5.0)
    assert not office.desk.stop(timeout_s=0.05)
    office.go.release()
    assert office.desk.stop()
    assert office.delivered == []


@pytest.mark.parametrize("kind", [Worker, Desk])
def test_what_is_decided_on_when_the_worker_is_stopped_is_not_delivered(kind):
    office = Office(kind)
    if kind is Desk:  # in lockstep only the decision itself can stop it
        office.desk._decide = lambda task, left_s: office.desk.stop()
    office.desk.start()
    office.desk.put(Task("a"))
    if kind is Worker:
        assert office.begun.acquire(timeout=5.0)
        assert office.desk.stop(give_up=office.go.release)
    assert office.delivered == []
    assert office.lost == [("a", Lost.STOPPED, "the worker was stopped while it was decided on")]
    office.desk.put(Task("b"))
    assert office.lost[1][:2] == ("b", Lost.STOPPED)


def test_in_lockstep_the_result_is_there_when_put_returns():
    office = Office(Desk)
    office.desk.start()
    office.desk.put(Task("a"))
    office.desk.put(Task("bad"))
    assert office.delivered == ["A"]
    assert office.lost[0][1] is Lost.CRASHED
    assert office.desk.stop()


def test_an_error_is_told_in_one_line():
    assert one_line(ValueError("a\n  b")) == "ValueError: a b"
    assert one_line(ValueError()) == "ValueError"
