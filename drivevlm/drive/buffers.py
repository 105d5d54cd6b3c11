"""What the callbacks store: images, odometry and objects of the last seconds, by stamp."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from drivevlm.drive.config import DriveConfig
from drivevlm.drive.odometry import STEP_US, OdometrySample, Track, jump
from drivevlm.world.boxes import Box3
from drivevlm.world.camera import Camera, Stored
from drivevlm.world.clip import RouteCommand

T = TypeVar("T")
Encoded = bytes | Stored
"""An encoded image (JPEG or PNG), or where it can be read on first use."""
MOST_IMAGES = 200
"""Per camera. A rig at 30 Hz fills them in 6.7 s."""
MOST_ODOMETRY = 2000
MOST_OBJECTS = 10


class Added(Enum):
    """What became of a value that was handed to a ring."""

    STORED = "stored"
    REPEATED = "repeated"  # its stamp was there already: it is left out
    BACKWARDS = "backwards"  # it is older than the newest: time went backwards


class Ring(Generic[T]):
    """Values by increasing stamp, newest last, bounded in time and in number."""

    def __init__(self, *, span_us: int, most: int) -> None:
        if span_us < 0 or most < 1:
            raise ValueError(f"a ring spans some time and holds something, got {span_us}, {most}")
        self._span_us = span_us
        self._most = most
        self._stamps: list[int] = []
        self._values: list[T] = []

    def __len__(self) -> int:
        return len(self._stamps)

    def add(self, stamp_us: int, value: T) -> Added:
        """Keep it unless its stamp is not the newest."""
        if self._stamps and stamp_us <= self._stamps[-1]:
            return Added.REPEATED if stamp_us == self._stamps[-1] else Added.BACKWARDS
        self._stamps.append(stamp_us)
        self._values.append(value)
        old = bisect_left(self._stamps, stamp_us - self._span_us)
        drop = max(old, len(self._stamps) - self._most)
        del self._stamps[:drop], self._values[:drop]
        return Added.STORED

    @property
    def newest_us(self) -> int | None:
        """Stamp of the newest value."""
        return self._stamps[-1] if self._stamps else None

    @property
    def newest(self) -> T | None:
        """The newest value."""
        return self._values[-1] if self._values else None

    def items(self) -> tuple[tuple[int, T], ...]:
        """Stamps and values, newest last."""
        return tuple(zip(self._stamps, self._values, strict=True))

    def clear(self) -> None:
        """Forget all."""
        self._stamps.clear()
        self._values.clear()


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """Objects that a detector told of, in the ego frame of ``stamp_us``.

    Attributes:
        stamp_us: When they were seen.
        proposals: Those with a class, for the planner.
        others: In the way too, and of no class: a proposal would name them wrongly.
    """

    stamp_us: int
    proposals: tuple[Box3, ...]
    others: tuple[Box3, ...] = ()

    @property
    def obstacles(self) -> tuple[Box3, ...]:
        """All, for the gate."""
        return (*self.proposals, *self.others)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """All that was stored at one moment. It does not change any more.

    Attributes:
        images: By camera, stamps and images, newest last.
        cameras: Those whose size (and calibration) is known.
        track: The odometry.
        objects: Newest last.
        command: The router's last word.
    """

    images: Mapping[str, tuple[tuple[int, Encoded], ...]]
    cameras: Mapping[str, Camera]
    track: Track
    objects: tuple[Objects, ...]
    command: RouteCommand | None


class Buffers:
    """Stores what arrives. Time that goes backwards and a pose that jumps clear all history.

    The ``add`` methods return None, or in one line why all was cleared; the value that told so is
    the first of the new history. Calibration and command outlive a clearing.
    """

    def __init__(
        self, config: DriveConfig, count: Callable[[str], None] = lambda what: None
    ) -> None:
        """``count`` is told of stamps that came twice."""
        sync = config.sync
        back_us = (sync.frames - 1) * sync.stride * STEP_US
        self._odometry = config.odometry
        self._count = count
        self._images: dict[str, Ring[Encoded]] = {
            name: Ring(span_us=back_us + 2 * STEP_US, most=MOST_IMAGES) for name in sync.cameras
        }
        span_us = int(config.odometry.span_s * 1e6)
        self._track: Ring[OdometrySample] = Ring(span_us=span_us, most=MOST_ODOMETRY)
        self._objects: Ring[Objects] = Ring(span_us=span_us, most=MOST_OBJECTS)
        self._cameras: dict[str, Camera] = {}
        self._command: RouteCommand | None = None

    def newest_us(self, camera: str) -> int | None:
        """Stamp of a camera's newest image."""
        return self._images[camera].newest_us

    @property
    def odometry_us(self) -> int | None:
        """Stamp of the newest odometry."""
        return self._track.newest_us

    def set_camera(self, camera: Camera) -> None:
        """Size and calibration of a camera, until it is told otherwise."""
        self._cameras[camera.name] = camera

    def set_command(self, command: RouteCommand | None) -> None:
        """The router's word, until it says another."""
        self._command = command

    def add_image(self, camera: str, stamp_us: int, source: Encoded) -> str | None:
        """Keep an image of a camera of the rig."""
        return self._add(self._images[camera], stamp_us, source, f"images of {camera}")

    def add_odometry(self, sample: OdometrySample) -> str | None:
        """Keep an odometry sample."""
        newest = self._track.newest
        if newest is not None and sample.stamp_us > newest.stamp_us:
            why = jump(newest, sample, self._odometry)
            if why is not None:
                self.clear()
                self._track.add(sample.stamp_us, sample)
                return why
        return self._add(self._track, sample.stamp_us, sample, "odometry")

    def add_objects(self, objects: Objects) -> str | None:
        """Keep the objects of one moment."""
        return self._add(self._objects, objects.stamp_us, objects, "objects")

    def seen(self) -> Seen:
        """All that is stored now."""
        return Seen(
            images={name: ring.items() for name, ring in self._images.items()},
            cameras=dict(self._cameras),
            track=self.track(),
            objects=tuple(objects for _, objects in self._objects.items()),
            command=self._command,
        )

    def track(self) -> Track:
        """The odometry that is stored now."""
        samples = tuple(sample for _, sample in self._track.items())
        return Track(samples, int(self._odometry.gap_s * 1e6))

    def clear(self) -> None:
        """Forget all history."""
        for ring in self._images.values():
            ring.clear()
        self._track.clear()
        self._objects.clear()

    def _add(self, ring: Ring[T], stamp_us: int, value: T, what: str) -> str | None:
        newest_us = ring.newest_us
        added = ring.add(stamp_us, value)
        if added is Added.REPEATED:
            self._count("repeated_stamps")
        if newest_us is None or added is not Added.BACKWARDS:
            return None
        self.clear()
        ring.add(stamp_us, value)
        return f"time went backwards: {what} by {(newest_us - stamp_us) / 1e6:.3f} s"
