"""Every protocol on a committed set of our own, where no reference data are at hand.

The values are those of this code at a time when it agreed with all reference cases; a change that
moves one of them must say why. ``python tests/test_metrics_own_set.py`` writes them again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import shapely
import shapely.affinity
from reference.worlds import world

from drivevlm.metrics.planning import PlanStack
from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.metrics.score import Scores
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Pose3
from drivevlm.world.truth import STEP_S, Truth

OWN_SET = Path(__file__).parent / "golden" / "protocols.json"
WORLDS, PLANS = 6, 4


@lru_cache(maxsize=1)
def truths() -> tuple[Truth, ...]:
    """Driving egos among agents of all kinds, each on a road of its own with side roads."""
    return tuple(on_a_road(with_past(world(seed))) for seed in range(40, 40 + WORLDS))


def with_past(truth: Truth) -> Truth:
    """Two keyframes more before now, from which the ego came straight; nobody else moved."""
    now = truth.now
    step_m = truth.steps[1].global_from_ego.translation_m - now.global_from_ego.translation_m
    past = {
        -k: replace(
            now,
            stamp_us=now.stamp_us - k * 500_000,
            global_from_ego=Pose3(
                now.global_from_ego.rotation, now.global_from_ego.translation_m - k * step_m
            ),
        )
        for k in (1, 2)
    }
    return replace(truth, steps={**past, **truth.steps})


def on_a_road(truth: Truth) -> Truth:
    path = [truth.steps[k].global_from_ego.translation_m[:2] for k in range(7)]
    ahead = path[-1] - path[0]
    ahead = ahead / max(1e-6, float(np.hypot(*ahead)))
    line = shapely.LineString([path[0] - 30 * ahead, *path[1:-1], path[-1] + 30 * ahead])
    side = shapely.affinity.rotate(line, 80, origin=shapely.Point(path[3]))
    road, crossing = line.buffer(5.5, cap_style="flat"), side.buffer(3.5, cap_style="flat")
    layers = {
        "drivable_area": (road, crossing),
        "road_segment": (road, crossing),
        "lane": (line.buffer(1.8, cap_style="flat"),),
    }
    return replace(truth, map_polygons=layers)


def plans() -> Iterator[list[Plan]]:
    """What was driven but a little beside it, slower, faster and round, and anything."""
    rng = np.random.default_rng(7)
    t_s = np.arange(1, 7) * STEP_S
    for kind in range(PLANS):
        made = []
        for truth in truths():
            xy_m, _ = truth.future_path()
            if kind == 0:
                xy_m = xy_m + rng.normal(0, 0.4, 2)
            elif kind == 1:
                xy_m = xy_m * rng.uniform(0.2, 0.7)
            elif kind == 2:
                yaw = rng.choice([-1, 1]) * rng.uniform(0.1, 0.3) * t_s
                xy_m = (rng.uniform(3, 9) * t_s)[:, None] * np.stack([np.cos(yaw), np.sin(yaw)], 1)
            else:
                xy_m = np.cumsum(rng.normal([1.5, 0.0], [1.5, 0.8], (6, 2)), axis=0)
            made.append(Plan(np.round(xy_m, 3)))
        yield made


def told(scores: Scores) -> list[object]:
    """Distances in millimetres and flags, step by step, of each clip."""
    rows = []
    for i in range(len(scores)):
        flags = {
            name: ["".join("01"[int(v)] for v in line) for line in (t.hit[i], t.excused[i])]
            for name, t in scores.touched.items()
        }
        rows.append({"d_mm": np.round(scores.distance_m[i] * 1e3, 1).tolist(), **flags})
    return rows


def scored(name: str) -> list[object]:
    protocol = PROTOCOLS[name]
    cases = protocol.prepare(truths())
    return [
        told(protocol.judge_paths(cases, protocol.paths(cases, PlanStack.of(made))))
        for made in plans()
    ]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_step_is_as_it_was(name: str):
    assert scored(name) == json.loads(OWN_SET.read_text())[name]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_set_holds_hits_and_misses_of_every_kind(name: str):
    rows = [row for made in json.loads(OWN_SET.read_text())[name] for row in made]
    assert len(rows) == WORLDS * PLANS
    for touch in PROTOCOLS[name].rule.touches:
        hits = "".join(row[touch.name][0] for row in rows)
        assert 0.02 < hits.count("1") / len(hits) < 0.9


if __name__ == "__main__":
    OWN_SET.write_text(json.dumps({name: scored(name) for name in PROTOCOLS}) + "\n")
