"""What came of a soak: bounds that are kept or not, tables, and all of it as JSON."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from soaking.episodes import LOSS
from soaking.heard import Soak
from soaking.node import Memory, Sent

LEAST_SHARE, MOST_AGE_S, MOST_RECOVERY_S, MOST_SILENCE_S, MOST_GROWTH_MB = 0.95, 1.0, 2.0, 0.5, 8.0
LATE_S = 0.25
"""By the wall. What lags more gives a node no time at all for its plans."""
YOUNGEST_S = -0.05
"""A clock may step back by some milliseconds; a plan of a later moment than this is none."""
SHOWN, SAID = 20, 3
"""Examples in the file, and on the screen."""


@dataclass(frozen=True, slots=True)
class Bound:
    """One number, and whether it keeps its limit."""

    what: str
    value: float
    limit: str
    kept: bool


def settle(soak: Soak) -> None:
    """Find the first valid plan after each fault; faults that never came are forgotten."""
    soak.episodes = [episode for episode in soak.episodes if not math.isnan(episode.over_s)]
    stamps = {stamp_us for stamp_us, tick in soak.ticks.items() if tick.published}
    valid_s = np.sort([sent.wall_s for sent in soak.sent if sent.stamp_us in stamps])
    for episode in soak.episodes:
        after = int(np.searchsorted(valid_s, episode.over_s))
        if after < len(valid_s):
            episode.recovery_s = float(valid_s[after] - episode.over_s) * soak.rate


def bounds(soak: Soak) -> list[Bound]:
    """All that a node must keep."""
    calm = [tick.published for tick in soak.ticks.values() if not tick.fault]
    share = sum(calm) / max(1, len(calm))
    late = len(_untimely_s(soak))
    losses = [episode for episode in soak.episodes if episode.kind == LOSS]
    silence_s = [episode.told_s - episode.last_picture_s for episode in losses]
    recovery_s = [episode.recovery_s for episode in soak.episodes]
    growth_mb = _slope_mb_per_s(soak.memory) * _kept_s(soak.memory)
    about = f"of {len(calm)} ticks without a fault, those with a valid plan"
    return [
        Bound(about, share, f">= {LEAST_SHARE:g}", share >= LEAST_SHARE),
        _none("invalid plans", len(soak.invalid)),
        _none(f"plans older than {MOST_AGE_S:g} s, or of the future", late),
        _none("exceptions", len(soak.raised)),
        _most("a valid plan again after a fault, at latest, s", recovery_s, MOST_RECOVERY_S),
        _most("a silent anchor is told, at latest, s by the wall", silence_s, MOST_SILENCE_S),
        _most("memory grew by, MB", [growth_mb], MOST_GROWTH_MB),
    ]


def _none(what: str, count: int) -> Bound:
    return Bound(what, count, "0", count == 0)


def _most(what: str, values: Sequence[float], limit: float) -> Bound:
    """What is not a number never came."""
    worst = max((math.inf if math.isnan(value) else value for value in values), default=0.0)
    return Bound(what, worst, f"<= {limit:g}", worst <= limit)


def _ages_s(soak: Soak) -> list[float]:
    return [_age_s(sent) for sent in soak.sent]


def _age_s(sent: Sent) -> float:
    """When it was sent, or when the node looked at the clock last, if it was in time then.

    No node can tell that the clock jumps between that look and the wire. One that looks before the
    message is made, which takes its time, has not looked.
    """
    seen_us = [us for us in (sent.now_us, sent.looked_us) if us is not None]
    ages_s = [(us - sent.stamp_us) / 1e6 for us in seen_us]
    return next((age_s for age_s in ages_s if _timely(age_s)), ages_s[0])


def _timely(age_s: float) -> bool:
    return YOUNGEST_S <= age_s <= MOST_AGE_S


def _untimely_s(soak: Soak) -> list[float]:
    return [age_s for age_s in _ages_s(soak) if not _timely(age_s)]


def _kept(memory: Sequence[Memory]) -> Sequence[Memory]:
    return memory[len(memory) // 5 :]


def _kept_s(memory: Sequence[Memory]) -> float:
    kept = _kept(memory)
    return kept[-1].wall_s - kept[0].wall_s if kept else 0.0


def _slope_mb_per_s(memory: Sequence[Memory]) -> float:
    """By least squares, after the first fifth."""
    kept = _kept(memory)
    if len(kept) < 2:
        return 0.0
    at_s = np.array([one.wall_s for one in kept]) - kept[0].wall_s
    return float(np.polyfit(at_s, [one.rss_mb for one in kept], 1)[0])


def told(soak: Soak, command: str) -> dict[str, Any]:
    """All of it as JSON values. ``settle`` comes first."""
    kinds = sorted({episode.kind for episode in soak.episodes})
    calm = Counter(tick.outcome for tick in soak.ticks.values() if not tick.fault)
    ages_s = np.percentile(_ages_s(soak) or [math.nan], [50, 99, 100])
    rss_mb = [one.rss_mb for one in soak.memory] or [math.nan]
    return {
        "command": command,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "bounds": [asdict(bound) for bound in bounds(soak)],
        "kinds": {kind: _of_kind(kind, soak) for kind in kinds},
        "ticks without a fault": dict(calm.most_common()),
        "plans": {"sent": len(soak.sent), "heard": soak.heard},
        "age_s": dict(zip(("median", "p99", "worst"), map(float, ages_s), strict=True)),
        "memory_mb": {"begin": rss_mb[0], "end": rss_mb[-1], "most": max(rss_mb)},
        "memory_mb_by_second": [round(mb, 1) for mb in rss_mb],
        "memory_mb_per_hour": _slope_mb_per_s(soak.memory) * 3600,
        "false_alarms": len(soak.false_alarms),
        "replay_late_s": soak.late_s,
        "untimely": [f"{age_s:.3f} s old" for age_s in _untimely_s(soak)[:SHOWN]],
        "alarms": soak.false_alarms[:SHOWN],
        "invalid": soak.invalid[:SHOWN],
        "raised": soak.raised[:SHOWN],
    }


def _of_kind(kind: str, soak: Soak) -> dict[str, float]:
    recovery_s = [e.recovery_s for e in soak.episodes if e.kind == kind]
    plans = [tick.published for tick in soak.ticks.values() if tick.fault == kind]
    worst_s = max(math.inf if math.isnan(value) else value for value in recovery_s)
    return {
        "faults": len(recovery_s),
        "ticks": len(plans),
        "plans": sum(plans),
        "recovery_median_s": median(recovery_s),
        "recovery_worst_s": worst_s,
    }


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print it."""
    kinds = Table("fault", "times", "ticks", "plans", "plan again after: median", "worst")
    for kind, one in result["kinds"].items():
        counts = (str(one[name]) for name in ("faults", "ticks", "plans"))
        times = (f"{one[name]:.2f} s" for name in ("recovery_median_s", "recovery_worst_s"))
        kinds.add_row(kind, *counts, *times)
    kept = Table("bound", "found", "limit", "")
    for one in result["bounds"]:
        verdict = "kept" if one["kept"] else "BROKEN"
        kept.add_row(one["what"], f"{one['value']:.4g}", one["limit"], verdict)
    console.print(f"python {result['command']}", highlight=False)
    console.print(kinds)
    console.print(kept)
    for line in _lines(result):
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def _lines(result: Mapping[str, Any]) -> Iterator[str]:
    plans, age_s, memory = result["plans"], result["age_s"], result["memory_mb"]
    calm = result["ticks without a fault"].items()
    yield f"ticks without a fault: {', '.join(f'{what} {count}' for what, count in calm)}"
    yield (
        f"plans: {plans['sent']} sent, {plans['heard']} heard; when sent {age_s['median']:.2f} s "
        f"old (median), {age_s['p99']:.2f} s (99 %), {age_s['worst']:.2f} s (worst)"
    )
    yield (
        f"memory of the node: {memory['begin']:.0f} to {memory['end']:.0f} MB, "
        f"{result['memory_mb_per_hour']:+.1f} MB an hour after the first fifth"
    )
    yield f"an anchor that spoke was called silent {result['false_alarms']} times"
    late_s = result["replay_late_s"]
    busy = ": this machine is too busy to tell" if late_s > LATE_S else ""
    yield (
        f"the replay itself lagged up to {late_s:.2f} s on {result['cores']} cores, load "
        f"{result['load']:.1f}{busy}"
    )
    for kind in ("untimely", "alarms", "invalid", "raised"):
        yield from (f"{kind}: {what[:200]}" for what in result[kind][:SAID])
