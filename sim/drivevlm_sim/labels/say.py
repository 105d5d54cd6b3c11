"""Reasons in words, in some twenty sets of paraphrases."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from drivevlm.world.sets import Lateral
from drivevlm_sim.labels.decide import LEADERS, Cause, Reason
from drivevlm_sim.scene_log import Body, SceneLog, Weather

SETS = 20
"""Sets of paraphrases; the last one is kept for validation."""
KEPT_FOR_VALIDATION = SETS - 1
_WEATHER = {
    Weather.DAY: "by day",
    Weather.OVERCAST: "under a grey sky",
    Weather.DUSK: "at dusk",
    Weather.RAIN: "in rain",
    Weather.NIGHT: "at night",
}
GONE_AROUND = frozenset({Cause.BLOCKED, *LEADERS})
"""What one may change lanes for, instead of waiting behind it."""
_ASIDE = (Lateral.CHANGE_LEFT, Lateral.CHANGE_RIGHT)
_WHAT = {Body.SEDAN: "car", Body.SUV: "car"}


def sentences(log: SceneLog, reason: Reason, *, paraphrases: int) -> tuple[str, ...]:
    """What is seen, and what follows. They speak of the cause alone.

    Raises ValueError where there is no such set.
    """
    if not 0 <= paraphrases < SETS:
        raise ValueError(f"there are {SETS} sets of paraphrases, got {paraphrases}")
    phrases = _phrases()[reason.cause.value]
    seen, so = phrases["seen"], phrases["so"]
    if reason.cause in GONE_AROUND and reason.meta.lateral in _ASIDE:
        so = _phrases()[reason.meta.lateral.value]["so"]
    away = "" if reason.away_m is None else f"{max(reason.away_m, 0.0):.0f}"
    first = seen[paraphrases % len(seen)].format(away=away, what=_what(log, reason))
    return first, so[paraphrases // len(seen) % len(so)]


def summary(log: SceneLog, step: int) -> str:
    """The scene in one sentence: how fast, where, in which light."""
    kmh = round(float(log.ego.speed_mps[step]) * 3.6)
    limit = round(float(log.facts["speed_limit_mps"][step]) * 3.6)
    moves = "I stand" if kmh < 2 else f"I drive at {kmh} km/h"
    return f"{moves} in a town with a limit of {limit} km/h {_WEATHER[log.weather]}."


def _what(log: SceneLog, reason: Reason) -> str:
    track = log.others.get(reason.names[0]) if reason.names else None
    return "vehicle" if track is None else _WHAT.get(track.body, track.body.value)


@cache
def _phrases() -> dict[str, Any]:
    text = (files("drivevlm_sim.labels") / "phrases.yaml").read_text(encoding="utf-8")
    phrases: dict[str, Any] = yaml.safe_load(text)
    missing = [cause.value for cause in Cause if cause.value not in phrases]
    if missing:
        raise ValueError(f"phrases.yaml has nothing to say of {missing}")
    return phrases
