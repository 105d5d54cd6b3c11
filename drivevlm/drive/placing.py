"""Objects move from the frame in which they are told into the ego frame of their moment."""

from __future__ import annotations

from drivevlm.drive.buffers import MOST_ODOMETRY, Added, Objects, Ring
from drivevlm.drive.config import OdometryConfig
from drivevlm.drive.frames import FrameTree
from drivevlm.drive.messages.fields import BadMessageError
from drivevlm.drive.messages.objects import ToldObjects
from drivevlm.drive.odometry import OdometrySample, Track
from drivevlm.world.pose import Pose3


class Placer:
    """Keeps the odometry of the last seconds, and the newest objects that still wait for it."""

    def __init__(self, config: OdometryConfig, tree: FrameTree, *, base_frame: str) -> None:
        self._tree = tree
        self._base_frame = base_frame
        self._gap_us = int(config.gap_s * 1e6)
        self._ring: Ring[OdometrySample] = Ring(
            span_us=int(config.span_s * 1e6), most=MOST_ODOMETRY
        )
        self._waiting: ToldObjects | None = None

    def moved(self, sample: OdometrySample) -> Objects | None:
        """The ego went on: perhaps the objects that wait can be placed now."""
        newest = self._ring.newest
        elsewhere = newest is not None and newest.frame_id != sample.frame_id
        if elsewhere or self._ring.add(sample.stamp_us, sample) is Added.BACKWARDS:
            self._ring.clear()
            self._ring.add(sample.stamp_us, sample)
        waiting, self._waiting = self._waiting, None
        return None if waiting is None else self.placed(waiting)

    def placed(self, told: ToldObjects) -> Objects | None:
        """Objects in the ego frame; None where they wait for the odometry of their moment.

        Raises BadMessageError where they can never be placed.
        """
        ego_from_frame = self._ego_from_frame(told)
        if ego_from_frame is None:
            self._waiting = told
            return None
        boxes = [(box.category, box.in_ego(ego_from_frame)) for box in told.boxes]
        return Objects(
            told.stamp_us,
            proposals=tuple(box for category, box in boxes if category is not None),
            others=tuple(box for category, box in boxes if category is None),
        )

    def _ego_from_frame(self, told: ToldObjects) -> Pose3 | None:
        fixed = self._tree.between(target=self._base_frame, source=told.frame_id)
        if fixed is not None:
            return fixed
        newest = self._ring.newest
        if newest is None:
            return None
        if told.frame_id != newest.frame_id:
            raise BadMessageError(
                f"header.frame_id: expected {self._base_frame!r}, the odometry's "
                f"{newest.frame_id!r} or one that tf_static joins to the ego, got {told.frame_id!r}"
            )
        if told.stamp_us > newest.stamp_us:
            return None
        samples = tuple(sample for _, sample in self._ring.items())
        then = Track(samples, self._gap_us).at(told.stamp_us)
        if then is None:
            raise BadMessageError(
                f"header.stamp: {(newest.stamp_us - told.stamp_us) / 1e6:.3f} s before the newest "
                "odometry, which knows no pose of then"
            )
        return then.odom_from_ego.inverse()
