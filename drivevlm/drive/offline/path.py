"""The path that was driven after a decision: what the odometry of a bag tells later."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from drivevlm.drive.config import OdometryConfig
from drivevlm.drive.odometry import OdometrySample, Track, jump
from drivevlm.world.pose import Pose3

SPAN_US = 10_000_000
"""A decision is looked back at within this, or its path is forgotten."""
MOST_TRACKS = 4


class DrivenPath:
    """The last seconds of odometry: one track as long as nothing jumps or runs backwards."""

    def __init__(self, config: OdometryConfig) -> None:
        self._config = config
        self._tracks: list[list[OdometrySample]] = [[]]

    def add(self, sample: OdometrySample) -> None:
        """Where the ego is now."""
        track = self._tracks[-1]
        step_us = sample.stamp_us - track[-1].stamp_us if track else 1
        if step_us == 0:
            return
        if track and (step_us < 0 or jump(track[-1], sample, self._config) is not None):
            track = []
            self._tracks = [*self._tracks[1 - MOST_TRACKS :], track]
        track.append(sample)
        if track[0].stamp_us < sample.stamp_us - 2 * SPAN_US:
            keep_us = sample.stamp_us - SPAN_US
            del track[: bisect_left(track, keep_us, key=lambda kept: kept.stamp_us)]

    def is_over(self, t0_us: int, *, after_us: int) -> bool:
        """Whether nothing more will be known of the path from ``t0_us`` on, for ``after_us``."""
        found, last = self._track(t0_us), self._tracks[-1]
        if found is None or found.newest is not last[-1]:
            return True
        return last[-1].stamp_us >= t0_us + after_us

    def poses(self, t0_us: int, *, after_us: Sequence[int]) -> Mapping[int, Pose3]:
        """``fixed_from_ego`` so long after ``t0_us``: those that are known, if the one at it is."""
        track = self._track(t0_us)
        if track is None:
            return {}
        found = {us: track.at(t0_us + us) for us in after_us}
        return {us: sample.odom_from_ego for us, sample in found.items() if sample is not None}

    def _track(self, t0_us: int) -> Track | None:
        """The latest on which the ego was at a time."""
        for samples in reversed(self._tracks):
            track = Track(tuple(samples), int(self._config.gap_s * 1e6))
            if track.at(t0_us) is not None:
                return track
        return None
