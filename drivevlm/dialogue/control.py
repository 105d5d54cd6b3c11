"""The ``control`` codec: a start speed, then an acceleration and a curvature per step.

Plans are feasible by construction: the tokens drive a unicycle. The start speed is written out,
so that a plan can be read without the ego status (which a prompt may hide).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from drivevlm.dialogue.codecs import check_rate
from drivevlm.dialogue.spelling import AnswerError
from drivevlm.world.kinematics import distance_run, unicycle
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Floats, wrap_rad

SPEEDS_MPS: Floats = np.round(np.arange(-2.0, 40.01, 0.2), 3)
"""``<v0>`` ... Start speeds, every 0.2 m/s from -2 to 40."""
ACCELERATIONS_MPS2: Floats = np.round(np.arange(-9.0, 6.01, 0.25), 3)
"""``<a0>`` ... Every 0.25 m/s2 from -9 to 6."""
_BEND = np.linspace(-1.0, 1.0, 63)
CURVATURES_RADPM: Floats = np.round(0.22 * np.sinh(5.0 * _BEND) / np.sinh(5.0), 6)
"""``<k0>`` ... 63 curvatures to +-0.22 1/m (a radius of 4.5 m), finest around straight."""
ROUND_TRIP_M = 0.35
"""Published error: no waypoint of a recorded future is farther off after a round trip.
Median 0.042 m, 95 % 0.173 m, largest 0.322 m over the 102 futures of three nuScenes mini scenes
(``tests/test_dialogue_codecs.py`` measures it again). The largest are no drives: one keyframe's
stamp lies beside the 2 Hz grid, so that the path jumps from 8 to 9.5, 6.5 and 8 m/s. Random drives
with at most 8 m/s2 along and 5 across reach 0.24 m (1,000 drives, median 0.07 m)."""

MAX_TURN_RAD = 3.0
"""A step turns by no more: a tighter bend is driven as the tightest one that turns less. A turn of
more than half a circle could not be told from one the other way."""
BEAM = 24
NEAR = 16  # accelerations tried per beam: those whose distance lies nearest to the next waypoint's
_KNOWN_HEADING_M2 = 4.0  # a heading error of 1 rad weighs like 2 m
_TANGENT_M2 = 1.0  # a bare path tells its headings less well
_SPEED_WEIGHT_S2 = 0.03  # a speed error of 1 m/s weighs like 0.17 m: it is the next step's start
_HARSH_WEIGHT = 1e-3  # gentle tokens win where they fit as well
_EXACT_M = 1e-6
_STANDS_M = 0.1
CODEC_TOKENS = tuple(
    f"<{kind}{k}>"
    for kind, table in (("v", SPEEDS_MPS), ("a", ACCELERATIONS_MPS2), ("k", CURVATURES_RADPM))
    for k in range(len(table))
)
"""All that the codec writes, one token each for a model that has them in its vocabulary."""
_TOKEN = re.compile(r"<([vak])([0-9]{1,3})>")


@dataclass(frozen=True, slots=True)
class ControlCodec:
    """``<v63><a36><k31><a36><k32>...``: 1 + 2 x steps tokens."""

    steps: int = 6
    dt_s: float = 0.5
    name: str = "control"

    def render(self, plan: Plan) -> str:
        """The tokens whose drive lies nearest to the plan (a beam search, deterministic).

        A plan that was read from tokens gives one canonical text for the same drive.
        """
        check_rate(plan, steps=self.steps, dt_s=self.dt_s)
        xy, yaw = plan.xy_ego_m[: self.steps], plan.headings_ego_rad()[: self.steps]
        codes = None if plan.yaw_ego_rad is None else self._exact(xy, yaw)
        if codes is None:
            weight_m2 = _TANGENT_M2 if plan.yaw_ego_rad is None else _KNOWN_HEADING_M2
            driven = self._drive(self._nearest(xy, yaw, weight_m2))
            codes = self._exact(driven.xy_ego_m, driven.headings_ego_rad())
            if codes is None:
                raise AssertionError("a driven plan must have exact tokens")  # a bug of this codec
        start, *rest = codes
        pairs = zip(rest[::2], rest[1::2], strict=True)
        return f"<v{start}>" + "".join(f"<a{a}><k{k}>" for a, k in pairs)

    def rule(self) -> str:
        """One start speed and exactly ``steps`` pairs of existing tokens."""
        step = "acceleration curvature"
        return "\n".join(
            [
                "plan: speed " + " ".join([step] * self.steps),
                "speed: " + _alternatives("v", len(SPEEDS_MPS)),
                "acceleration: " + _alternatives("a", len(ACCELERATIONS_MPS2)),
                "curvature: " + _alternatives("k", len(CURVATURES_RADPM)),
            ]
        )

    def read(self, text: str) -> Plan:
        """The driven path, with its headings."""
        found = _TOKEN.findall(text)
        kinds = "".join(kind for kind, _ in found)
        spelled = "".join(f"<{kind}{int(number)}>" for kind, number in found)
        if kinds != "v" + "ak" * self.steps or spelled != text:
            raise AnswerError(
                f"PLAN: expected <v..> and {self.steps} times <a..><k..>, got {text[:80]!r}"
            )
        sizes = {"v": len(SPEEDS_MPS), "a": len(ACCELERATIONS_MPS2), "k": len(CURVATURES_RADPM)}
        for kind, number in found:
            if int(number) >= sizes[kind]:
                raise AnswerError(f"PLAN: there is no token <{kind}{number}>")
        return self._drive([int(number) for _, number in found])

    def longest_bytes(self) -> int:
        """Three digits for a speed, two for the rest."""
        return len("<v210>") + self.steps * len("<a60><k62>")

    def facts(self) -> Mapping[str, float]:
        """How numbers become tokens: index = per unit x value + the index of zero."""
        return {
            "speeds_per_mps": _per_unit(SPEEDS_MPS),
            "speed_zero": _index_of_zero(SPEEDS_MPS),
            "last_speed": len(SPEEDS_MPS) - 1,
            "accelerations_per_mps2": _per_unit(ACCELERATIONS_MPS2),
            "acceleration_zero": _index_of_zero(ACCELERATIONS_MPS2),
            "last_acceleration": len(ACCELERATIONS_MPS2) - 1,
            "straight": _index_of_zero(CURVATURES_RADPM),
            "last_curvature": len(CURVATURES_RADPM) - 1,
            "tightest_m": 1 / float(CURVATURES_RADPM[-1]),
        }

    def _drive(self, codes: list[int]) -> Plan:
        speed_mps, accelerations = float(SPEEDS_MPS[codes[0]]), ACCELERATIONS_MPS2[codes[1::2]]
        bends, speed = np.array(codes[2::2]), speed_mps
        for k, acceleration in enumerate(accelerations):
            run_m, speed = distance_run(speed, float(acceleration), self.dt_s)
            bends[k] = np.clip(bends[k], *_bends_within(run_m))
        xy_ego_m, yaw_ego_rad, _ = unicycle(
            speed_mps=speed_mps,
            acceleration_mps2=accelerations,
            curvature_radpm=CURVATURES_RADPM[bends],
            dt_s=self.dt_s,
        )
        return Plan(xy_ego_m, dt_s=self.dt_s, yaw_ego_rad=yaw_ego_rad)

    def _exact(self, xy_ego_m: Floats, yaw_ego_rad: Floats) -> list[int] | None:
        """The tokens that drive exactly this path; None where none do.

        Of several start speeds the one with the gentlest accelerations is taken, so that the
        answer depends on the path alone.
        """
        runs_m = _signed_runs_m(xy_ego_m, yaw_ego_rad)
        if runs_m is None:
            return None
        turns = wrap_rad(np.diff(yaw_ego_rad, prepend=0.0))
        bends = np.divide(turns, runs_m, out=np.zeros_like(turns), where=np.abs(runs_m) > _EXACT_M)
        curvatures = _nearest_index(CURVATURES_RADPM, bends)
        speed, codes = SPEEDS_MPS.copy(), np.zeros((len(runs_m), len(SPEEDS_MPS)), dtype=np.int64)
        for k, run_m in enumerate(runs_m):
            codes[k] = _nearest_index(ACCELERATIONS_MPS2, _acceleration(speed, run_m, self.dt_s))
            driven_m, speed = _step(speed, ACCELERATIONS_MPS2[codes[k]], self.dt_s)
            speed = np.where(np.abs(driven_m - run_m) < _EXACT_M, speed, np.nan)
        fits = np.flatnonzero(np.isfinite(speed))
        if not len(fits):
            return None
        harsh = np.abs(ACCELERATIONS_MPS2[codes[:, fits]]).max(axis=0)
        start = int(fits[np.argmin(np.round(harsh, 6))])
        tokens = [start, *np.stack([codes[:, start], curvatures], axis=1).ravel().tolist()]
        off_m = np.abs(self._drive(tokens).xy_ego_m - xy_ego_m).max()
        return tokens if off_m < 10 * _EXACT_M else None

    def _nearest(self, xy_ego_m: Floats, yaw_ego_rad: Floats, weight_m2: float) -> list[int]:
        """Beam search over tokens for the drive nearest to a path, in position and heading."""
        starts = np.arange(len(SPEEDS_MPS))
        first_mps = float(np.hypot(*xy_ego_m[0])) / self.dt_s * np.sign(xy_ego_m[0, 0] or 1.0)
        starts = starts[np.argsort(np.abs(SPEEDS_MPS - first_mps), kind="stable")][:BEAM]
        beams = _Beams(
            np.zeros((len(starts), 2)),
            np.zeros(len(starts)),
            SPEEDS_MPS[starts],
            np.zeros(len(starts)),
            starts[:, None],
        )
        speeds = _passing_speeds_mps(xy_ego_m, yaw_ego_rad, self.dt_s)
        for target in zip(xy_ego_m, yaw_ego_rad, speeds, strict=True):
            beams = beams.advanced(_Target(*target, weight_m2=weight_m2), self.dt_s)
        best: list[int] = beams.codes[0].tolist()
        return best


@dataclass(frozen=True, slots=True, eq=False)
class _Target:
    """Where a step should end: position (2,), heading and its weight, speed."""

    xy_m: Floats
    yaw_rad: float
    speed_mps: float
    weight_m2: float


@dataclass(frozen=True, slots=True, eq=False)
class _Beams:
    """B partial drives, best first: position (B, 2), heading, speed, cost (B,), codes (B, n)."""

    xy_m: Floats
    yaw_rad: Floats
    speed_mps: Floats
    cost: Floats
    codes: np.ndarray[tuple[int, int], np.dtype[np.int64]]

    def advanced(self, target: _Target, dt_s: float) -> _Beams:
        """Every beam with every pair of promising tokens, the best of them kept."""
        run_m, speed = _step(self.speed_mps[:, None], ACCELERATIONS_MPS2[None], dt_s)
        ahead_m = np.hypot(*(target.xy_m - self.xy_m).T)[:, None]
        # Among those that stand still alike, the gentlest.
        off_m = np.abs(np.abs(run_m) - ahead_m) + 1e-6 * np.abs(ACCELERATIONS_MPS2)
        near = np.argsort(off_m, axis=1, kind="stable")[:, :NEAR]
        run_m, speed = np.take_along_axis(run_m, near, 1), np.take_along_axis(speed, near, 1)
        turn = run_m[:, :, None] * CURVATURES_RADPM
        middle = self.yaw_rad[:, None, None] + turn / 2
        chord_m = run_m[:, :, None] * np.sinc(turn / (2 * np.pi))
        x_m = self.xy_m[:, 0, None, None] + chord_m * np.cos(middle)
        y_m = self.xy_m[:, 1, None, None] + chord_m * np.sin(middle)
        yaw = self.yaw_rad[:, None, None] + turn
        off_m2 = (x_m - target.xy_m[0]) ** 2 + (y_m - target.xy_m[1]) ** 2
        off_rad2 = wrap_rad(yaw - target.yaw_rad) ** 2
        off_mps2 = ((speed - target.speed_mps) ** 2)[:, :, None]
        harsh = ACCELERATIONS_MPS2[near][:, :, None] ** 2 + (10 * CURVATURES_RADPM) ** 2
        cost = self.cost[:, None, None] + off_m2 + target.weight_m2 * off_rad2
        cost = cost + _SPEED_WEIGHT_S2 * off_mps2 + _HARSH_WEIGHT * harsh
        cost = np.where(np.abs(turn) > MAX_TURN_RAD, np.inf, cost)
        best = _smallest(cost.ravel(), BEAM)
        b, a, k = np.unravel_index(best, cost.shape)
        return _Beams(
            np.stack([x_m[b, a, k], y_m[b, a, k]], axis=1),
            yaw[b, a, k],
            speed[b, a],
            cost[b, a, k],
            np.concatenate([self.codes[b], np.stack([near[b, a], k], axis=1)], axis=1),
        )


def speed_token(speed_mps: float) -> str:
    """The token of the nearest start speed."""
    return f"<v{int(_nearest_index(SPEEDS_MPS, np.array(speed_mps)))}>"


def acceleration_token(acceleration_mps2: float) -> str:
    """The token of the nearest acceleration."""
    return f"<a{int(_nearest_index(ACCELERATIONS_MPS2, np.array(acceleration_mps2)))}>"


def driven_tokens(xy_m: Floats, yaw_rad: Floats, stamp_s: Floats) -> list[str]:
    """Mean speed and bend of each step of a driven path, e.g. ``<v63><k31>``.

    Args:
        xy_m: (N, 2) places, in any fixed frame.
        yaw_rad: (N,) headings there.
        stamp_s: (N,) when, increasing.
    """
    steps_m, turns = np.diff(xy_m, axis=0), wrap_rad(np.diff(yaw_rad))
    middle = yaw_rad[:-1] + turns / 2
    along_m = steps_m[:, 0] * np.cos(middle) + steps_m[:, 1] * np.sin(middle)
    runs_m = np.copysign(np.linalg.norm(steps_m, axis=1), along_m)
    # Noise of a standing car would turn it on the spot.
    far = np.abs(runs_m) > _STANDS_M
    bends = np.divide(turns, runs_m, out=np.zeros_like(turns), where=far)
    speeds = _nearest_index(SPEEDS_MPS, runs_m / np.diff(stamp_s))
    curvatures = _nearest_index(CURVATURES_RADPM, bends)
    return [f"<v{v}><k{k}>" for v, k in zip(speeds, curvatures, strict=True)]


def _passing_speeds_mps(xy_ego_m: Floats, yaw_ego_rad: Floats, dt_s: float) -> Floats:
    """(T,) signed speed at each waypoint: the mean of the steps before and after it."""
    steps_m = np.diff(xy_ego_m, axis=0, prepend=np.zeros((1, 2)))
    along_m = steps_m[:, 0] * np.cos(yaw_ego_rad) + steps_m[:, 1] * np.sin(yaw_ego_rad)
    runs_m = np.copysign(np.linalg.norm(steps_m, axis=1), along_m)
    after_m = np.append(runs_m[1:], runs_m[-1])
    return np.asarray((runs_m + after_m) / (2 * dt_s))


def _step(speed_mps: Floats, acceleration_mps2: Floats, dt_s: float) -> tuple[Floats, Floats]:
    """``kinematics.distance_run`` for arrays: signed distance and speed after a step."""
    after = speed_mps + acceleration_mps2 * dt_s
    run_m = speed_mps * dt_s + 0.5 * acceleration_mps2 * dt_s**2
    flips = np.sign(speed_mps) * np.sign(after) < 0
    stops = flips | ((speed_mps == 0) & (acceleration_mps2 < 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        to_standstill_m = np.where(speed_mps == 0, 0.0, -0.5 * speed_mps**2 / acceleration_mps2)
    return np.where(stops, to_standstill_m, run_m), np.where(stops, 0.0, after)


def _acceleration(speed_mps: Floats, run_m: float, dt_s: float) -> Floats:
    """What drives ``run_m`` in a step: evenly, or braking to standstill before its end."""
    even = 2 * (run_m - speed_mps * dt_s) / dt_s**2
    if abs(run_m) < _EXACT_M:
        return np.where(np.abs(speed_mps) < 1e-9, 0.0, np.nan)
    to_standstill = -0.5 * speed_mps**2 / run_m
    stops = speed_mps * (speed_mps + even * dt_s) < -1e-9
    return np.asarray(np.where(stops, to_standstill, even))


def _signed_runs_m(xy_ego_m: Floats, yaw_ego_rad: Floats) -> Floats | None:
    """(T,) arc lengths of the steps, negative when reversing; None where they are no arcs."""
    steps_m = np.diff(xy_ego_m, axis=0, prepend=np.zeros((1, 2)))
    before = np.concatenate([[0.0], yaw_ego_rad[:-1]])
    turns = wrap_rad(yaw_ego_rad - before)
    middle = before + turns / 2
    along_m = steps_m[:, 0] * np.cos(middle) + steps_m[:, 1] * np.sin(middle)
    across_m = steps_m[:, 1] * np.cos(middle) - steps_m[:, 0] * np.sin(middle)
    if np.abs(across_m).max() > _EXACT_M:
        return None
    return np.asarray(along_m / np.sinc(turns / (2 * np.pi)))


def _bends_within(run_m: float) -> tuple[int, int]:
    """First and last curvature token whose turn over this distance is not too much."""
    allowed = np.flatnonzero(np.abs(CURVATURES_RADPM * run_m) <= MAX_TURN_RAD)
    return int(allowed[0]), int(allowed[-1])


def _nearest_index(table: Floats, values: Floats) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Index of the nearest entry; 0 for NaN, which the caller rejects by its result."""
    known = np.nan_to_num(np.asarray(values), nan=table[0])
    return np.asarray(np.abs(known[..., None] - table).argmin(axis=-1))


def _per_unit(table: Floats) -> int:
    return round(1 / float(table[1] - table[0]))


def _index_of_zero(table: Floats) -> int:
    return int(np.flatnonzero(table == 0)[0])


def _smallest(values: Floats, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Indices of the smallest values, in order; the earlier one wins a tie."""
    limit = np.partition(values, count)[count]
    found = np.flatnonzero(values <= limit)
    return np.asarray(found[np.argsort(values[found], kind="stable")][:count])


def _alternatives(kind: str, count: int) -> str:
    return " | ".join(f'"<{kind}{k}>"' for k in range(count))
