"""Everything that ``drivevlm replay`` can be told beside the settings of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from drivevlm.drive.node_config import ObjectsType
from drivevlm.drive.replay.config import LockstepConfig, ReplayConfig
from drivevlm.drive.replay.faults import FaultsConfig

FASTEST = 1000.0
_STREAM = ReplayConfig()


class To(str, Enum):
    """Where a replay goes."""

    TOPICS = "topics"
    BAG = "bag"


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """How a recording is replayed. All else is as for eval: data, out, and the rows beside.

    A node decides: planner names the rows that stand beside it. Give prompt, vlm and block as the
    node was given them; its prompt is told in its diagnostics, and the page shows a request only
    where it is the same.

    Attributes:
        to: ``topics`` plays it to a node; ``bag`` writes it into ``bag``.
        bag: The bag to write: one file where it ends in .mcap, else a folder as of ROS.
        rate: So many seconds of the recording pass in one of the wall. What the node does not
            answer in time is lost, as on a vehicle. A node gives its model max_latency_ms by the
            wall: at rate=0.25 let that be four times as long.
        lockstep: Go on only after each answer: every clip gets its decision, as in eval.
        name: Of the node.
        namespace: Its topics lie below it.
        remap: New names of topics, as in ~/input/objects:=/objects; ``autoware`` stands for all
            those of an Autoware vehicle.
        domain: Peers of one domain hear each other; empty for ROS_DOMAIN_ID, or 0.
        loopback: Keep to this machine; the node must do so too.
        plain: The node runs under a ROS without Autoware's packages: its reasoning is a String.
        objects: Which message tells of the proposals: predicted_objects, which has no word for
            cones and construction vehicles, detection3d, which tells no speeds, or none.
        odometry_hz: Odometry comes at least so often, and at every recorded pose.
        clock_hz: /clock comes so often; 0 leaves it out of a bag, for a player that makes its own.
        base_frame: The ego frame.
        wait: How long, in seconds: ``wait.node_s`` for a node, and in lockstep ``wait.answer_s``
            for an answer; so many clips in a row without one end it: ``wait.silent``.
        faults: What goes wrong on the way, as in faults.faults=[{kind: drop, share: 0.1}], drawn
            by faults.seed. Kinds: drop, delay, duplicate, reorder, corrupt, jump, loss; also
            ``what`` (a pattern such as CAM_BACK/* or kinematic_state), ``from_s``, ``for_s`` and
            ``by_s``.
    """

    to: To = To.TOPICS
    bag: str = ""
    rate: float = 1.0
    lockstep: bool = False
    name: str = "drivevlm"
    namespace: str = "/"
    remap: tuple[str, ...] = ()
    domain: int | None = None
    loopback: bool = False
    plain: bool = False
    objects: ObjectsType = _STREAM.objects
    odometry_hz: float = _STREAM.odometry_hz
    clock_hz: float = _STREAM.clock_hz
    base_frame: str = _STREAM.base_frame
    wait: LockstepConfig = field(default_factory=LockstepConfig)
    faults: FaultsConfig = field(default_factory=FaultsConfig)

    def __post_init__(self) -> None:
        self.stream(anchor=_STREAM.anchor)  # checks what is its own
        to_bag = self.to is To.BAG
        if to_bag != bool(self.bag):
            raise ValueError(
                "to=bag needs bag=FILE.mcap, or bag=FOLDER"
                if to_bag
                else f"bag={self.bag} is written with to=bag, got to={self.to.value}"
            )
        if not 0 < self.rate <= FASTEST:
            raise ValueError(f"rate lies in (0, {FASTEST:g}], got {self.rate:g}")
        if to_bag and (self.lockstep or self.rate != 1):
            raise ValueError("to=bag has no node and its own pace: leave out lockstep and rate")
        if self.lockstep and self.rate != 1:
            raise ValueError(
                f"rate={self.rate:g} with lockstep=true: its clock waits for each answer, leave "
                "out one of them"
            )
        if not to_bag and not self.clock_hz:
            raise ValueError("clock_hz=0 is for to=bag: a node takes the recording's time")

    def stream(self, *, anchor: str) -> ReplayConfig:
        """What is published of a recording that was opened with this anchor camera."""
        return ReplayConfig(anchor, self.odometry_hz, self.clock_hz, self.objects, self.base_frame)
