"""Decisions as JSON and back, without loss: floats are written so that they read back equal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from drivevlm.world.boxes import Box3, Detection
from drivevlm.world.decision import CriticalObject, Decision, Failure, Usage
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Floats
from drivevlm.world.sets import (
    FailureKind,
    LaneRelation,
    Lateral,
    Longitudinal,
    MetaDecision,
    Signal,
    Verdict,
)

Json = dict[str, Any]


def decision_to_json(decision: Decision) -> Json:
    """A decision as plain JSON values."""
    meta, failure = decision.meta, decision.failure
    return {
        "plan": None if decision.plan is None else _plan_to_json(decision.plan),
        "detections": [
            {"verdict": d.verdict.value, "box": _box_to_json(d.box)} for d in decision.detections
        ],
        "critical": [
            {"id": c.id, "lane": c.lane.value, "gap_m": c.gap_m, "ttc_s": c.ttc_s}
            for c in decision.critical
        ],
        "signal": None if decision.signal is None else decision.signal.value,
        "summary": decision.summary,
        "meta": None if meta is None else [meta.longitudinal.value, meta.lateral.value],
        "failure": None if failure is None else [failure.kind.value, failure.detail],
        "reply": decision.reply,
        "request_digest": decision.request_digest,
        "usage": [decision.usage.prompt_tokens, decision.usage.reply_tokens],
        "timings_ms": dict(decision.timings_ms),
    }


def decision_from_json(value: Mapping[str, Any]) -> Decision:
    """The decision that was written. Raises KeyError or ValueError for anything else."""
    meta, failure = value["meta"], value["failure"]
    return Decision(
        plan=None if value["plan"] is None else _plan_from_json(value["plan"]),
        detections=tuple(
            Detection(_box_from_json(d["box"]), Verdict(d["verdict"])) for d in value["detections"]
        ),
        critical=tuple(
            CriticalObject(c["id"], LaneRelation(c["lane"]), c["gap_m"], c["ttc_s"])
            for c in value["critical"]
        ),
        signal=None if value["signal"] is None else Signal(value["signal"]),
        summary=value["summary"],
        meta=None if meta is None else MetaDecision(Longitudinal(meta[0]), Lateral(meta[1])),
        failure=None if failure is None else Failure(FailureKind(failure[0]), failure[1]),
        reply=value["reply"],
        request_digest=value["request_digest"],
        usage=Usage(*value["usage"]),
        timings_ms=value["timings_ms"],
    )


def _plan_to_json(plan: Plan) -> Json:
    return {
        "xy_ego_m": plan.xy_ego_m.tolist(),
        "dt_s": plan.dt_s,
        "yaw_ego_rad": _list_or_none(plan.yaw_ego_rad),
    }


def _plan_from_json(value: Mapping[str, Any]) -> Plan:
    xy_ego_m = np.asarray(value["xy_ego_m"], dtype=np.float64)
    return Plan(xy_ego_m, value["dt_s"], _array_or_none(value["yaw_ego_rad"]))


def _box_to_json(box: Box3) -> Json:
    return {
        "id": box.id,
        "category": box.category,
        "center_ego_m": box.center_ego_m.tolist(),
        "size_lwh_m": box.size_lwh_m.tolist(),
        "yaw_ego_rad": box.yaw_ego_rad,
        "velocity_ego_mps": _list_or_none(box.velocity_ego_mps),
        "score": box.score,
    }


def _box_from_json(value: Mapping[str, Any]) -> Box3:
    return Box3(
        np.asarray(value["center_ego_m"], dtype=np.float64),
        np.asarray(value["size_lwh_m"], dtype=np.float64),
        value["yaw_ego_rad"],
        value["category"],
        _array_or_none(value["velocity_ego_mps"]),
        value["score"],
        value["id"],
    )


def _list_or_none(array: Floats | None) -> list[float] | None:
    return None if array is None else array.tolist()


def _array_or_none(values: list[float] | None) -> Floats | None:
    return None if values is None else np.asarray(values, dtype=np.float64)
