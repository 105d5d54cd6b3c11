"""A node lives through a bag: every picture of its anchor becomes a decision, or a reason."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from drivevlm.drive.bus import Message
from drivevlm.drive.messages.fields import BadMessageError
from drivevlm.drive.messages.odometry import odometry_sample
from drivevlm.drive.node import MakePlanner, Node
from drivevlm.drive.node_config import NodeConfig
from drivevlm.drive.offline.bag import Bag, BagError, UnreadableError
from drivevlm.drive.offline.bus import PlayBus
from drivevlm.drive.offline.feed import feeding
from drivevlm.drive.offline.path import DrivenPath
from drivevlm.drive.offline.witness import Witness
from drivevlm.drive.publish import Ended
from drivevlm.drive.topics import KINEMATIC_STATE, Names
from drivevlm.planner import Planner
from drivevlm.world.clip import Clip
from drivevlm.world.pose import Pose3

RUN_OUT_US = 1_000_000
"""After the last message, for a picture that still waits for others of its rig."""


@dataclass(frozen=True, slots=True, eq=False)
class Tick:
    """One picture of the anchor.

    Attributes:
        at_us: On the bag's clock, when it was decided on or given up.
        ended: What became of it.
        clip: As the planner was shown it; None where it was not asked.
    """

    at_us: int
    ended: Ended
    clip: Clip | None


@dataclass(frozen=True, slots=True, eq=False)
class Driven:
    """Where the ego was really driven after a picture of the anchor.

    Attributes:
        t0_us: The picture's stamp.
        poses: ``fixed_from_ego`` by microseconds after it, as far as they are known.
    """

    t0_us: int
    poses: Mapping[int, Pose3]


class OfflineDrive:
    """A node, unchanged, in this thread: the bag stands still while its planner thinks."""

    def __init__(
        self,
        bag: Bag,
        names: Names,
        config: NodeConfig,
        values: Mapping[str, object],
        make_planner: MakePlanner,
        *,
        after_us: Sequence[int],
    ) -> None:
        """Check the bag's topics, and load the planner, which may take minutes.

        Args:
            bag: What is played.
            names: Of the node's topics.
            config: What the values make.
            values: The node's parameters.
            make_planner: As for a node.
            after_us: So long after each picture the driven path is told, in increasing order.

        Raises:
            BagError: The bag lacks a topic that is needed, or the node cannot be configured.
        """
        self._path, self._after_us = DrivenPath(config.drive.odometry), after_us
        self._waiting = deque[int]()
        self._said: Sequence[str] = ()
        self._bag, self._config = bag, config
        self._topics = feeding(bag.topics, names, config)
        bag.check(self._topics)
        self._ended: list[Ended] = []
        self._witness: Witness | None = None
        self._unreadable: dict[str, tuple[int, str]] = {}
        self._bus = PlayBus(bag.start_us, use_sim_time=config.use_sim_time)
        state = KINEMATIC_STATE
        self._bus.subscribe(names.of(state), state.type_name, state.qos, self._on_odometry)

        def load(config: NodeConfig) -> Witness:
            self._witness = Witness(make_planner(config))
            return self._witness

        self._node = Node(self._bus, load, names=names, lockstep=True, ended=self._ended.append)
        if not self._node.configure(values):
            raise BagError(f"the node cannot be configured: {self._node.failure}")

    @property
    def planner(self) -> Planner:
        """Who decides."""
        assert self._witness is not None  # the node is configured
        return self._witness.planner

    @property
    def unusable(self) -> Mapping[str, tuple[int, str]]:
        """Messages that could not be used, by topic: how many, and what is wrong with the last."""
        notices = self._node.notices
        counts, last = notices.counts(), notices.last()
        told = {name: (counts[name], last[name]) for name in counts}
        for name, (count, why) in self._unreadable.items():
            told[name] = told.get(name, (0, ""))[0] + count, why
        return told

    @property
    def said(self) -> Sequence[str]:
        """What the node told to the end: calibrations that it lacks, lenses that bend."""
        return self._said

    def run(self, is_stopped: Callable[[], bool] = lambda: False) -> Iterator[Tick | Driven]:
        """Play the bag, once: each picture of the anchor as soon as it is done with.

        Its driven path follows as soon as it is known, in the same order.
        """
        self._node.activate()
        for recorded in self._bag.recorded(self._topics):
            if is_stopped():
                break
            try:
                message = recorded.message()
            except UnreadableError as error:
                count, _ = self._unreadable.get(recorded.topic, (0, ""))
                self._unreadable[recorded.topic] = count + 1, str(error)
                continue
            self._bus.play(recorded.at_us, recorded.topic, message)
            yield from self._taken()
        else:
            self._bus.run_out(RUN_OUT_US)
            yield from self._taken()
        self._said = self._node.notices.lasting()
        self._node.shutdown()
        yield from map(self._driven, self._waiting)

    def _taken(self) -> Iterator[Tick | Driven]:
        ended, self._ended[:] = list(self._ended), []
        assert self._witness is not None  # the node is configured
        for one in ended:
            self._waiting.append(one.t0_us)
            yield Tick(self._bus.at_us, one, self._witness.taken(one.t0_us))
        last_us = self._after_us[-1]
        while self._waiting and self._path.is_over(self._waiting[0], after_us=last_us):
            yield self._driven(self._waiting.popleft())

    def _driven(self, t0_us: int) -> Driven:
        return Driven(t0_us, self._path.poses(t0_us, after_us=self._after_us))

    def _on_odometry(self, message: Message) -> None:
        try:
            self._path.add(odometry_sample(message, base_frame=self._config.base_frame))
        except BadMessageError:
            return  # the node hears it too, and tells of it
