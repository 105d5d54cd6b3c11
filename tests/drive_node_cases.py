"""A node on a car that drives straight on, on a bus within one process."""

from __future__ import annotations

from dataclasses import dataclass, field

from dialogue_cases import camera, png
from drive_bus import (
    ODOMETRY,
    LocalBus,
    image_topic,
    output,
)
from drive_cases import DELAY_US, SPEED_MPS, START_US, Puppet, straight

from drivevlm.drive.health import Level
from drivevlm.drive.node import Node
from drivevlm.drive.node_config import NodeConfig
from drivevlm.drive.parameters import node_config
from drivevlm.drive.topics import Names
from drivevlm.world.boxes import Box3, Detection
from drivevlm.world.decision import Decision
from drivevlm.world.plan import Plan
from drivevlm.world.sets import Verdict

CAR = Box3.typical("car", x_ego_m=40.0, y_ego_m=5.0, id="p1")
GOOD = Decision(
    plan=straight(), detections=(Detection(CAR, Verdict.KEPT),), request_digest="d" * 64
)
BACK = Decision(plan=Plan(-straight().xy_ego_m))
RIG = ("CAM_FRONT", "CAM_BACK")
RANKS = {0: Level.OK, 1: Level.WARN, 2: Level.ERROR}
LENS = camera("CAM_FRONT", 0.0)
AHEAD = (-0.5, 0.5, -0.5, 0.5)
GIVEN = {
    "size_px": list(LENS.size_px),
    "intrinsics": LENS.intrinsics.ravel().tolist(),
    "translation_m": [1.0, 0.0, 1.5],
    "quaternion_xyzw": list(AHEAD),
}
ANSWER = "SCENE: none | Clear.\nPLAN: " + " ".join(f"{4 * k}.00,0.00" for k in range(1, 7))
RIG_OF_ONE = {"calibration.CAM_FRONT." + name: value for name, value in GIVEN.items()}
RIG_OF_TWO = {
    "sync.cameras": list(RIG),
    **RIG_OF_ONE,
    **{"calibration.CAM_BACK." + name: value for name, value in GIVEN.items()},
}


@dataclass
class Car:
    """A node on a vehicle that drives straight along x of the map, at 8 m/s."""

    planner: Puppet = field(default_factory=lambda: Puppet([GOOD]))
    values: dict[str, object] = field(default_factory=lambda: dict(RIG_OF_ONE))
    bus: LocalBus = field(default_factory=LocalBus)
    names: Names = field(default_factory=Names)
    lockstep: bool = True
    fails: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.configs: list[NodeConfig] = []
        self.node = Node(self.bus, self.load, names=self.names, lockstep=self.lockstep)

    def load(self, config: NodeConfig) -> Puppet:
        self.configs.append(config)
        if self.fails:
            raise self.fails.pop(0)
        return self.planner

    def start(self) -> Car:
        assert self.node.configure(self.values)
        assert self.node.activate()
        return self

    def drive(self, until_s: float, *, from_s: float = 0.0, rest_ns: int = 0) -> Car:
        """Every 50 ms odometry, every 100 ms a picture and a beat of the watchdog."""
        rig = node_config(self.values).drive.sync.cameras
        for k in range(round(from_s * 20), round(until_s * 20) + 1):
            stamp_us = START_US + k * 50_000
            self.bus.clock.now_us = stamp_us + DELAY_US
            self.bus.send(ODOMETRY, self.bus.odometry(stamp_us, SPEED_MPS * k * 0.05))
            if k % 2 == 0:
                for name in rig:
                    picture = self.bus.compressed(stamp_us, png(k % 256), rest_ns)
                    self.bus.send(image_topic(name), picture)
                self.bus.tick(us=0)
        return self

    @property
    def told(self) -> tuple[Level, str]:
        return RANKS[self.bus.told.level], self.bus.told.message

    @property
    def values_told(self) -> dict[str, str]:
        return {pair.key: pair.value for pair in self.bus.told.values}

    def sent(self, name: str) -> list:
        return self.bus.sent[output(name)]


def car(*answers, **values) -> Car:
    named = {name.replace("__", "."): value for name, value in values.items()}
    return Car(Puppet(list(answers) or [GOOD]), RIG_OF_ONE | named)
