"""The CAN bus expansion of a scene: what the vehicle's own sensors said of its motion.

Sensor noise lives here and nowhere else. The tables stay exact: pictures, boxes, map and the
recorded future are all placed by ``ego_pose``, so noise there would blur the truth itself, while
nobody measures speed, acceleration or yaw rate from the tables who could read them here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivevlm.world.pose import Floats
from drivevlm_sim.scene_log import Lamps

# S: steps of the track. M: messages. N: points of the route.
Message = dict[str, Any]
Stamps = NDArray[np.int64]

RATES_HZ = {
    "ms_imu": 100,
    "pose": 50,
    "steeranglefeedback": 100,
    "vehicle_monitor": 2,
    "zoe_veh_info": 100,
    "zoesensors": 100,
}
"""As in nuScenes, but for zoesensors: 960 Hz there, of three numbers that change slowly."""
META_NAMES = {
    "ms_imu": "MS_IMU",
    "pose": "POSE",
    "steeranglefeedback": "SteerAngleFeedback",
    "vehicle_monitor": "VEHICLE_MONITOR",
    "zoe_veh_info": "ZOE_VEH_INFO",
    "zoesensors": "ZoeSensors",
}
"""How ``meta`` calls the kinds of messages."""
SPEED_NOISE_MPS, ACCELERATION_NOISE_MPS2 = 0.03, 0.1
YAW_RATE_NOISE_RADPS, POSITION_NOISE_M = 0.005, 0.02
GRAVITY_MPS2 = 9.81
WHEELBASE_M, TRACK_M, WHEEL_RADIUS_M = 2.588, 1.51, 0.302
STEERING_RATIO = 16.0
"""Degrees of the steering wheel for one of the front wheels."""
STEERS_FROM_MPS = 0.5
"""Slower than this, the steering wheel stays as it was: yaw rate tells nothing of it."""
STEER_OFFSET_DEG = -12.3
COASTING_MPS2 = -0.8
"""Deceleration without the brake pedal."""
BRAKE_BAR_PER_MPS2, THROTTLE_PER_MPS2 = 8.0, 200.0
MOST_BRAKE_BAR, MOST_THROTTLE = 126, 1000


@dataclass(frozen=True, slots=True, eq=False)
class DrivenTrack:
    """How the ego moved, on even steps; its origin is the rear axle.

    Attributes:
        stamps_us: (S,) at least two.
        xy_global_m: (S, 2).
        yaw_global_rad: (S,).
        speed_mps, acceleration_mps2: (S,); an acceleration is that of the step that ends there.
        lamps: (S,) bits of ``Lamps``.
        route_global_m: (N, 2) the navigation route.
        seed: Of the sensor noise. Tracks of one seed that start together share their noise.
    """

    stamps_us: Stamps
    xy_global_m: Floats
    yaw_global_rad: Floats
    speed_mps: Floats
    acceleration_mps2: Floats
    lamps: NDArray[np.uint8]
    route_global_m: Floats
    seed: int

    def __post_init__(self) -> None:
        columns = (self.xy_global_m, self.yaw_global_rad, self.speed_mps, self.lamps)
        lengths = {len(column) for column in (*columns, self.acceleration_mps2)}
        if lengths != {len(self.stamps_us)} or len(self.stamps_us) < 2:
            raise ValueError(
                f"a track has two steps or more and columns of one length, got "
                f"{len(self.stamps_us)} stamps and columns of {sorted(lengths)}"
            )


def write_can_bus(
    root: Path, scene: str, track: DrivenTrack, kinds: Sequence[str] = tuple(RATES_HZ)
) -> None:
    """Write ``can_bus/SCENE_*.json``: messages of some kinds, their ``meta``, and the ``route``."""
    folder = root / "can_bus"
    folder.mkdir(parents=True, exist_ok=True)
    messages = can_messages(track)
    chosen = {kind: messages[kind] for kind in kinds}
    meta = {META_NAMES[kind]: _statistics(rows) for kind, rows in chosen.items()}
    route = np.round(track.route_global_m, 4).tolist()
    for name, content in {**chosen, "meta": meta, "route": route}.items():
        text = json.dumps(content, separators=(",", ":"))
        (folder / f"{scene}_{name}.json").write_text(text, encoding="utf-8")


def can_messages(track: DrivenTrack) -> dict[str, list[Message]]:
    """All messages by kind, each in the order of its stamps."""
    sensed = _Sensed.of(track)
    return {
        "ms_imu": _ms_imu(sensed.every(RATES_HZ["ms_imu"])),
        "pose": _pose(sensed.every(RATES_HZ["pose"])),
        "steeranglefeedback": _steering(sensed.every(RATES_HZ["steeranglefeedback"])),
        "vehicle_monitor": _vehicle_monitor(sensed.every(RATES_HZ["vehicle_monitor"])),
        "zoe_veh_info": _zoe_veh_info(sensed.every(RATES_HZ["zoe_veh_info"])),
        "zoesensors": _zoesensors(sensed.every(RATES_HZ["zoesensors"])),
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Sensed:
    """Measured values at ``BASE_HZ``; all (M,) but the positions (M, 2)."""

    stamp_us: Stamps
    xy_m: Floats
    yaw_rad: Floats
    speed_mps: Floats
    along_mps2: Floats
    across_mps2: Floats
    up_mps2: Floats
    yaw_rate_radps: Floats
    steering_rad: Floats
    lamps: NDArray[np.uint8]
    driven_m: Floats

    @classmethod
    def of(cls, track: DrivenTrack) -> _Sensed:
        first, last = int(track.stamps_us[0]), int(track.stamps_us[-1])
        stamp_us = np.arange(first, last + 1, 1_000_000 // BASE_HZ, dtype=np.int64)
        since_s = (track.stamps_us - first) / 1e6
        now_s = (stamp_us - first) / 1e6
        yaw = np.unwrap(track.yaw_global_rad)
        # The step that a moment lies in ends at this row: rates are those of the step's own past.
        ends = np.maximum(np.searchsorted(track.stamps_us, stamp_us, side="left"), 1)
        rate = (np.diff(yaw) / np.diff(since_s))[ends - 1]
        noise = np.random.default_rng([track.seed, 0xCA]).standard_normal((len(stamp_us), 7))
        speed = np.interp(now_s, since_s, track.speed_mps)
        gone = np.cumsum(np.hypot(*np.diff(track.xy_global_m, axis=0).T))
        xy = np.stack([np.interp(now_s, since_s, x) for x in track.xy_global_m.T], axis=1)
        return cls(
            stamp_us=stamp_us,
            xy_m=xy + POSITION_NOISE_M * noise[:, 4:6],
            yaw_rad=np.interp(now_s, since_s, yaw),
            speed_mps=np.maximum(speed + SPEED_NOISE_MPS * noise[:, 0] * (speed > 0), 0.0),
            along_mps2=track.acceleration_mps2[ends] + ACCELERATION_NOISE_MPS2 * noise[:, 1],
            across_mps2=speed * rate + ACCELERATION_NOISE_MPS2 * noise[:, 2],
            up_mps2=GRAVITY_MPS2 + ACCELERATION_NOISE_MPS2 * noise[:, 3],
            yaw_rate_radps=rate + YAW_RATE_NOISE_RADPS * noise[:, 6],
            steering_rad=_steering_rad(speed, rate),
            lamps=track.lamps[np.searchsorted(track.stamps_us, stamp_us, side="right") - 1],
            driven_m=np.interp(now_s, since_s, np.concatenate([[0.0], gone])),
        )

    def every(self, rate_hz: int) -> _Sensed:
        """The values at a lower rate."""
        step = BASE_HZ // rate_hz
        return _Sensed(*(getattr(self, name)[::step] for name in self.__slots__))

    def rows(self, **columns: NDArray[Any]) -> list[Message]:
        """One message a moment, its keys in order; the stamp comes last unless it is given."""
        given = columns if "utime" in columns else {**columns, "utime": self.stamp_us}
        lists = {name: column.tolist() for name, column in given.items()}
        return [
            dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)
        ]


BASE_HZ = max(RATES_HZ.values())


def _steering_rad(speed_mps: Floats, yaw_rate_radps: Floats) -> Floats:
    """(M,) angle of the steering wheel, left positive."""
    moving = speed_mps >= STEERS_FROM_MPS
    curvature = np.where(moving, yaw_rate_radps / np.maximum(speed_mps, STEERS_FROM_MPS), 0.0)
    newest = np.maximum.accumulate(np.where(moving, np.arange(len(moving)), 0))
    angle = STEERING_RATIO * np.arctan(WHEELBASE_M * curvature[newest])
    return np.asarray(angle, dtype=np.float64)


def _rounded(values: Floats, digits: int) -> Floats:
    return np.asarray(np.round(values, digits), dtype=np.float64)


def _wxyz(yaw_rad: Floats) -> Floats:
    zero = np.zeros_like(yaw_rad)
    return _rounded(np.stack([np.cos(yaw_rad / 2), zero, zero, np.sin(yaw_rad / 2)], axis=1), 6)


def _ms_imu(s: _Sensed) -> list[Message]:
    return s.rows(linear_accel=_accelerations(s), q=_wxyz(s.yaw_rad), rotation_rate=_rates(s))


def _accelerations(s: _Sensed) -> Floats:
    return _rounded(np.stack([s.along_mps2, s.across_mps2, s.up_mps2], axis=1), 4)


def _rates(s: _Sensed) -> Floats:
    zero = np.zeros_like(s.yaw_rate_radps)
    return _rounded(np.stack([zero, zero, s.yaw_rate_radps], axis=1), 5)


def _pose(s: _Sensed) -> list[Message]:
    zero = np.zeros_like(s.speed_mps)
    return s.rows(
        accel=_accelerations(s),
        orientation=_wxyz(s.yaw_rad),
        pos=np.round(np.column_stack([s.xy_m, zero]), 4),
        rotation_rate=_rates(s),
        utime=s.stamp_us,
        vel=np.round(np.stack([s.speed_mps, zero, zero], axis=1), 4),
    )


def _steering(s: _Sensed) -> list[Message]:
    return s.rows(utime=s.stamp_us, value=np.round(s.steering_rad, 5))


def _pedals(s: _Sensed) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Brake in bar, and throttle in thousandths."""
    brake = (COASTING_MPS2 - s.along_mps2) * BRAKE_BAR_PER_MPS2 * (s.speed_mps > 0)
    throttle = s.along_mps2 * THROTTLE_PER_MPS2
    return (
        np.clip(np.round(brake), 0, MOST_BRAKE_BAR).astype(np.int64),
        np.clip(np.round(throttle), 0, MOST_THROTTLE).astype(np.int64),
    )


def _rpm(speed_mps: Floats) -> Floats:
    return _rounded(np.maximum(speed_mps, 0.0) / WHEEL_RADIUS_M * 60 / (2 * np.pi), 4)


def _vehicle_monitor(s: _Sensed) -> list[Message]:
    brake, throttle = _pedals(s)
    half_turn_mps = s.yaw_rate_radps * TRACK_M / 2
    steering_deg = np.degrees(s.steering_rad)
    speed_of_steering = np.diff(steering_deg, prepend=steering_deg[0]) * RATES_HZ["vehicle_monitor"]
    whole = np.ones(len(s.stamp_us), dtype=np.int64)
    return s.rows(
        available_distance=70 * whole,
        battery_level=80 * whole,
        brake=brake,
        brake_switch=np.where(brake > 0, 2, 1),
        gear_position=7 * whole,
        left_signal=(s.lamps & Lamps.LEFT > 0).astype(np.int64),
        rear_left_rpm=_rpm(s.speed_mps - half_turn_mps),
        rear_right_rpm=_rpm(s.speed_mps + half_turn_mps),
        right_signal=(s.lamps & Lamps.RIGHT > 0).astype(np.int64),
        steering=np.round(steering_deg, 1),
        steering_speed=np.round(speed_of_steering, 1),
        throttle=throttle,
        utime=s.stamp_us,
        vehicle_speed=np.round(s.speed_mps * 3.6, 2),
        yaw_rate=np.round(np.degrees(s.yaw_rate_radps), 1),
    )


def _zoe_veh_info(s: _Sensed) -> list[Message]:
    brake, throttle = _pedals(s)
    half_turn_mps = s.yaw_rate_radps * TRACK_M / 2
    left, right = _rpm(s.speed_mps - half_turn_mps), _rpm(s.speed_mps + half_turn_mps)
    steering_deg = np.degrees(s.steering_rad)
    torque = np.round(s.along_mps2 * 60 * 2) / 2
    none = np.zeros(len(s.stamp_us), dtype=np.int64)
    return s.rows(
        FL_wheel_speed=left,
        FR_wheel_speed=right,
        RL_wheel_speed=left,
        RR_wheel_speed=right,
        left_solar=none,
        longitudinal_accel=np.round(np.round(s.along_mps2 / 0.05) * 0.05, 2),
        meanEffTorque=torque,
        odom=np.asarray(np.floor(s.driven_m * 100) % 125, dtype=np.int64),
        odom_speed=np.round(s.speed_mps * 3.6),
        pedal_cc=throttle.astype(np.float64),
        regen=np.where((brake == 0) & (s.along_mps2 < -0.3), 59.0, 0.0),
        requestedTorqueAfterProc=torque,
        right_solar=none,
        steer_corrected=np.round(steering_deg, 4),
        steer_offset_can=np.full(len(none), STEER_OFFSET_DEG),
        steer_raw=np.round(steering_deg + STEER_OFFSET_DEG, 1),
        transversal_accel=np.round(s.across_mps2, 3),
    )


def _zoesensors(s: _Sensed) -> list[Message]:
    """Raw sensor values, in the ranges that nuScenes documents for them."""
    brake, throttle = _pedals(s)
    return s.rows(
        brake_sensor=np.round(np.clip(0.184 + 0.0147 * brake, 0.166, 0.631), 5),
        steering_sensor=np.round(
            np.clip(0.188 - 0.00032 * np.degrees(s.steering_rad), 0.176, 0.252), 5
        ),
        throttle_sensor=np.round(np.clip(0.12 + 0.00062 * throttle, 0.105, 0.411), 5),
    )


def _statistics(rows: Sequence[Mapping[str, Any]]) -> Message:
    """What ``meta`` says of a kind; like nuScenes, differences run along the last axis."""
    span_s = (rows[-1]["utime"] - rows[0]["utime"]) / 1e6
    return {
        "message_count": len(rows),
        "message_freq": len(rows) / span_s if span_s else 0.0,
        "timespan": span_s,
        "var_stats": {
            name: _spread(np.array([row[name] for row in rows])) for name in sorted(rows[0])
        },
    }


def _spread(values: NDArray[Any]) -> Message:
    differences = np.diff(values) if values.shape[-1] > 1 else np.zeros(1)
    spread: Message = {}
    for ending, numbers in (("", values), ("_diff", differences)):
        for name in ("max", "mean", "min", "std"):
            spread[name + ending] = getattr(np, name)(numbers).item()
    return dict(sorted(spread.items()))
