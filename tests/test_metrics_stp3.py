"""ST-P3's and AD-MLP's protocols: roads checked by hand, and values of the peers' own code."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import reference
from metrics_cases import One, cells_of, judged_path, on_grid
from reference.public import split
from reference.tables import truths
from reference.worlds import pose, quaternion

from drivevlm.metrics.admlp import stopped_if_creeping
from drivevlm.metrics.cases import Cases
from drivevlm.metrics.explain import explained
from drivevlm.metrics.planning import PlanningProtocol
from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.metrics.stp3 import WITHOUT_SCENES, drawn_later, now_from_later, warped
from drivevlm.metrics.surface import Paths
from drivevlm.world.pose import Pose3
from drivevlm.world.truth import LabelledBoxes, Truth, TruthStep

PROTOCOL = {"stp3": PROTOCOLS["stp3"], "admlp_pytorch": PROTOCOLS["admlp"]}
BOTH = pytest.mark.parametrize("key", PROTOCOL)
KEYFRAMES = range(-2, 7)
NEVER_THERE = 0


@dataclass(frozen=True)
class Thing:
    """A standing 2 x 2 m box, 1 m high, in the axes of the ego of now."""

    x_m: float
    y_m: float
    category: str = "vehicle.car"
    visibility: tuple[int, ...] = (4,) * 9  # by keyframe; NEVER_THERE: not annotated


def road(*things: Thing, speed_mps: float = 4.0, past: int = 2, scene: str = "scene-0001") -> Truth:
    """A straight drive along x, with a lidar 0.94 m ahead of the ego's origin."""
    return Truth(
        "clip",
        scene,
        {
            k: TruthStep(
                k * 500_000,
                pose(quaternion(0.0), [speed_mps * 0.5 * k, 0.0, 0.0]),
                pose(quaternion(-np.pi / 2), [0.94, 0.0, 1.84]),
                labels(things, at=k + 2),
            )
            for k in KEYFRAMES
            if k >= -past
        },
    )


def labels(things: tuple[Thing, ...], *, at: int) -> LabelledBoxes:
    there = [(str(i), t) for i, t in enumerate(things) if t.visibility[at] != NEVER_THERE]
    n, names = len(there), tuple(name for name, _ in there)
    return LabelledBoxes(
        np.array([[t.x_m, t.y_m, 0.5] for _, t in there]).reshape(-1, 3),
        np.tile([2.0, 2.0, 1.0], (n, 1)),
        np.tile([1.0, 0, 0, 0], (n, 1)),
        tuple(t.category for _, t in there),
        names,
        tuple(f"{name}@{at}" for name in names),
        ("",) * n,
        *(np.full(n, 9) for _ in range(2)),
        np.array([t.visibility[at] for _, t in there], dtype=np.int64),
    )


def with_egos(truth: Truth, later: Pose3) -> Truth:
    """The same clip, its future egos standing elsewhere."""
    moved = {k: replace(s, global_from_ego=later) for k, s in truth.steps.items() if k > 0}
    return replace(truth, steps={**truth.steps, **moved})


def drawn(truth: Truth) -> np.ndarray:
    return cells_of(PROTOCOL["stp3"].prepare([truth]))


def block(grid: np.ndarray) -> tuple[int, int, int, int] | None:
    """First and last row, first and last column of a full block of cells; None where empty."""
    rows, columns = np.nonzero(grid)
    if not len(rows):
        return None
    edges = (int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max()))
    assert grid[edges[0] : edges[1] + 1, edges[2] : edges[3] + 1].all()
    return edges


def test_a_standing_car_stays_where_it_is_seen_from_now():
    """20 m ahead, 3 m left: row (20 + 50) / 0.5, column (3 + 50) / 0.5, two cells each way."""
    truth = road(Thing(20.0, 3.0))
    for step, grid in enumerate(drawn(truth)):
        assert block(grid) == (138, 142, 104, 108)
        nearer = 4 * (step + 1)  # the ego drives 2 m, four cells, in a step
        assert block(drawn_later(truth)[step]) == (138 - nearer, 142 - nearer, 104, 108)


@pytest.mark.parametrize(
    ("visibility", "steps_drawn"),
    [
        ((4, 4, 4, 4, 4, 4, 4, 4, 4), 6),
        ((1, 1, 1, 4, 4, 4, 4, 4, 4), 0),  # hidden so far
        ((2, 1, 1, 1, 1, 1, 1, 1, 1), 6),  # seen once, a second ago
        ((1, 1, 2, 1, 1, 1, 1, 1, 1), 6),  # seen now only
        ((0, 0, 0, 4, 4, 4, 4, 4, 4), 0),  # appears later
        ((4, 4, 0, 0, 0, 4, 4, 4, 4), 4),  # away for a while
        ((4, 0, 0, 0, 0, 0, 0, 0, 4), 1),
    ],
)
def test_only_who_was_seen_so_far_is_drawn(visibility: tuple[int, ...], steps_drawn: int):
    grids = drawn(road(Thing(20.0, 3.0, visibility=visibility)))
    assert grids.any(axis=(1, 2)).sum() == steps_drawn


@pytest.mark.parametrize(
    ("category", "is_drawn"),
    [
        ("vehicle.car", True),
        ("vehicle.emergency.police", True),
        ("human.pedestrian.adult", True),
        ("human.pedestrian.stroller", True),
        ("animal", False),
        ("movable_object.barrier", False),
        ("static_object.bicycle_rack", False),
    ],
)
def test_vehicles_and_humans_are_drawn_of_every_kind(category: str, is_drawn: bool):
    assert drawn(road(Thing(20.0, 3.0, category))).any() == is_drawn


def test_a_clip_needs_a_second_of_past_and_a_scene_with_can_data():
    protocol = PROTOCOL["stp3"]
    assert len(protocol.prepare([road()])) == 1
    assert protocol.prepare([road(past=1)]).left_out == {"clip": "the recorded past is under 1 s"}
    for scene in ("scene-0419", "scene-0161", "scene-0168", "scene-0176", "scene-0314"):
        assert protocol.prepare([road(scene=scene)]).left_out == {
            "clip": f"stp3 leaves {scene} out"
        }
    for scene in ("scene-0160", "scene-0169", "scene-0177", "scene-0308", "scene-0315"):
        assert len(protocol.prepare([road(scene=scene)])) == 1
    assert len(WITHOUT_SCENES) == 22
    steps = road().steps
    shorter = replace(road(), steps={k: steps[k] for k in range(-2, 6)})
    assert len(protocol.prepare([shorter])) == 0


def test_the_ego_is_level_whatever_its_pitch():
    """40 m ahead stay 40 m; turned with the pitch of 0.2 rad they would be 39.2 m, or 178.4."""
    truth = with_egos(road(Thing(40.0, 0.0)), pose(quaternion(0.0, pitch=0.2), [0.0, 0.0, 0.0]))
    assert block(drawn_later(truth)[0]) == (178, 182, 98, 102)


def test_what_leaves_one_of_the_two_grids_is_lost():
    far = road(Thing(58.0, 0.0), speed_mps=16.0)  # later 34 m ahead, 50 m is the border of now
    assert drawn_later(far)[2].any()
    assert not drawn(far).any()
    behind = road(Thing(-45.0, 0.0), speed_mps=16.0)  # 8 m a step
    assert not drawn_later(behind)[0].any()
    assert not drawn(behind)[0].any()


def test_a_turn_on_the_spot_is_undone():
    """20 m ahead of now is 20 m to the right of the later ego, and back: about one cell's loss."""
    truth = with_egos(road(Thing(20.0, 0.0)), pose(quaternion(np.pi / 2), [0.0, 0.0, 0.0]))
    assert block(drawn_later(truth)[0]) == (98, 102, 58, 62)
    assert block(drawn(truth)[0]) == (137, 141, 98, 102)


def test_a_shift_to_the_left_is_added_where_it_should_be_taken_off():
    """The later ego stands 4 m to the left, so a car straight ahead is 4 m to its right.

    Carried back it should be straight ahead again; it lands 8 m to the right.
    """
    truth = with_egos(road(Thing(20.0, 0.0)), pose(quaternion(0.0), [0.0, 4.0, 0.0]))
    assert block(drawn_later(truth)[0]) == (138, 142, 90, 94)
    assert block(drawn(truth)[0]) == (138, 142, 82, 86)


def test_the_warp_takes_what_torch_takes():
    """Random cells under random motions; a centre between two cells may go to either."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    rng = np.random.default_rng(5)
    for _ in range(4):
        grids = rng.random((6, 200, 200)) < 0.3
        egos = [
            pose(quaternion(rng.normal(0, 0.8)), [*rng.normal(0, 12, 2), 0.0]) for _ in range(7)
        ]
        steps = {k: replace(road().steps[k], global_from_ego=egos[k]) for k in range(7)}
        flow = now_from_later(Truth("clip", "scene", steps))
        cos, sin = flow[:, 0, 0], flow[:, 1, 0]
        theta = np.stack([cos, -sin, flow[:, 1, 3] / 50, sin, cos, -flow[:, 0, 3] / 50], axis=-1)
        image = torch.tensor(grids[:, None], dtype=torch.float32)
        where = functional.affine_grid(
            torch.tensor(theta.reshape(6, 2, 3)), list(image.shape), align_corners=False
        )
        theirs = functional.grid_sample(image, where, mode="nearest", align_corners=False)
        assert (warped(grids, flow) != (theirs[:, 0].numpy() > 0)).sum() <= 6


def path_score(protocol: PlanningProtocol, cases: Cases, xy_m: np.ndarray) -> One:
    score = judged_path(protocol, cases, xy_m)
    assert score is not None
    return score


def path(x_m: float, y_m: float) -> np.ndarray:
    """Six times the same place: x right, y ahead."""
    return np.tile([x_m, y_m], (6, 1))


def test_the_lidars_path_is_scored_round_the_rear_axle():
    """The block ends 2.5 m ahead of the axle; the true front is at 0.94 + 0.5 + 2.04 m. So a car
    from 3 m on is not touched, one from 2 m on is. The block never turns, and the rule says so."""
    assert "ego's box: never turns" in explained(PROTOCOL["stp3"].rule)
    for x_m, touches in ((4.0, False), (3.0, True)):
        cases = PROTOCOL["stp3"].prepare([road(Thing(x_m, 0.0), speed_mps=0.0)])
        assert path_score(PROTOCOL["stp3"], cases, path(0.0, 0.0)).hit.tolist() == [touches] * 6


def test_admlp_sees_left_as_right():
    truth = road(Thing(20.0, 6.0))  # to the left
    for key, x_m, touches in (
        ("stp3", -6.0, True),
        ("stp3", 6.0, False),
        ("admlp_pytorch", -6.0, False),
        ("admlp_pytorch", 6.0, True),
    ):
        score = path_score(PROTOCOL[key], PROTOCOL[key].prepare([truth]), path(x_m, 20.0))
        assert score.hit.tolist() == [touches] * 6


def test_admlp_takes_a_creeping_plan_for_a_stop():
    """To creep back moves the block a whole cell back, off the car; a stop does not."""
    truth = road(Thing(3.0, 0.0), speed_mps=0.0)
    for key, x_m, y_m, touches, distance_m in (
        ("stp3", 0.0, -0.09, False, 0.09),
        ("admlp_pytorch", 0.0, -0.09, True, 0.0),
        ("admlp_pytorch", 0.0, -0.11, False, 0.11),
        ("admlp_pytorch", 0.11, -0.05, False, np.hypot(0.11, 0.05)),
    ):
        score = path_score(PROTOCOL[key], PROTOCOL[key].prepare([truth]), path(x_m, y_m))
        assert score.hit.tolist() == [touches] * 6
        np.testing.assert_allclose(score.distance_m, distance_m, atol=1e-12)


def test_each_plan_is_stopped_for_itself():
    xy_m = np.stack([path(0.05, 0.05), path(0.05, 5.0)])
    np.testing.assert_array_equal(stopped_if_creeping(xy_m), [0 * xy_m[0], xy_m[1]])


def test_a_plan_that_creeps_for_a_second_is_stopped_at_one_second_only():
    protocol = PROTOCOL["admlp_pytorch"]
    xy_m = np.array([[[0.0, y] for y in (0.04, 0.09, 0.2, 0.3, 0.4, 0.5)]])
    paths = Paths(xy_m, np.zeros((1, 6)))
    scores = protocol.judge_paths(protocol.prepare([road(speed_mps=0.0)]), paths)
    l2 = protocol.summarise(scores).strict.figures["l2_m"]
    assert [l2[at].mean for at in ("1s", "2s", "3s")] == pytest.approx([0.0, 0.63 / 4, 1.53 / 6])


# Agreement with the peers' own code.


@pytest.fixture(scope="module")
def public() -> Any:
    return split()


@lru_cache(maxsize=2)
def tables(version_folder: Path) -> dict[str, Truth]:
    return truths(version_folder)


@lru_cache(maxsize=2)
def prepared(dataroot: str, key: str) -> Cases:
    return PROTOCOL[key].prepare(tables(Path(dataroot) / "v1.0-mini").values())


def flags(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=bool)


@BOTH
def test_the_same_clips_are_counted(public: Any, key: str):
    counted = prepared(public.dataroot, key).tokens
    assert len(counted) == public.aggregate(key)["n_samples"] == 144
    assert set(counted) == {t for t in public.tokens if public.expected(t, key) is not None}


def test_every_cell_is_right_before_and_after_the_warp(public: Any):
    """All 864 grids, the border included; single precision decides eight cells of them."""
    cases = prepared(public.dataroot, "stp3")
    found = tables(Path(public.dataroot) / "v1.0-mini")
    for clip, token in enumerate(cases.tokens):
        expected = public.expected(token, "stp3")
        for grids, name, sums in (
            (drawn_later(found[token]), "stp3_unwarped", "occ_unwarped_crc32"),
            (cells_of(cases, clip), "stp3", "occ_crc32"),
        ):
            np.testing.assert_array_equal(grids, public.occ(name, token).astype(bool))
            ours = [zlib.crc32(np.packbits(grid.ravel()).tobytes()) for grid in grids]
            assert ours == expected[sums]


@BOTH
def test_flags_from_the_stored_grids_are_exact(public: Any, key: str):
    for token in prepared(public.dataroot, key).tokens:
        expected = public.expected(token, key)
        recorded = np.array(public.expected(token)["gt_lidar_stp3"])[:, :2]
        grid = public.occ("stp3", token).astype(bool)
        cases = on_grid(PROTOCOL[key], grid, recorded)
        score = path_score(PROTOCOL[key], cases, public.pred(token)[0])
        np.testing.assert_array_equal(score.collision, flags(expected["step_obj_box_col"]))
        np.testing.assert_allclose(score.distance_m, expected["step_L2"], atol=1e-4)
        if key == "stp3":
            np.testing.assert_array_equal(score.gt_hit, flags(expected["gt_box_col"]))
            np.testing.assert_array_equal(score.hit, flags(expected["pred_box_col_raw"]))


@BOTH
def test_from_tables_to_scores(public: Any, key: str):
    """Two of ST-P3's 864 flags differ: the recorded path goes straight to 1e-12 m there, along
    the border between two cells, and the peer's rounding noise takes it to the other."""
    cases = prepared(public.dataroot, key)
    xy_m = np.array([public.pred(token)[0] for token in cases.tokens], dtype=np.float64)
    scores = PROTOCOL[key].judge_paths(cases, Paths(xy_m, np.zeros(xy_m.shape[:2])))
    expected = [public.expected(token, key) for token in cases.tokens]
    agents = scores.touched["agents"]
    collision = agents.hit & ~agents.excused
    differs = collision != flags([e["step_obj_box_col"] for e in expected])
    assert differs.sum() == (2 if key == "stp3" else 0)
    if key == "stp3":
        np.testing.assert_array_equal(agents.hit, flags([e["pred_box_col_raw"] for e in expected]))
        gt_differs = agents.recorded != flags([e["gt_box_col"] for e in expected])
        np.testing.assert_array_equal(gt_differs, differs)
        assert (cases.recorded.xy_m[differs][:, 0] == 0.0).all()
    np.testing.assert_allclose(scores.distance_m, [e["step_L2"] for e in expected], atol=1e-4)


@BOTH
def test_the_split_sums_up_to_the_peers_figures(public: Any, key: str):
    """But for ST-P3's collisions at 3 s, where two steps differ as above."""
    cases = prepared(public.dataroot, key)
    xy_m = np.array([public.pred(token)[0] for token in cases.tokens], dtype=np.float64)
    scores = PROTOCOL[key].judge_paths(cases, Paths(xy_m, np.zeros(xy_m.shape[:2])))
    figures = PROTOCOL[key].summarise(scores).strict.figures
    wanted = public.aggregate(key)
    for k, horizon in ((1, "1s"), (2, "2s"), (3, "3s")):
        off = 2 / 864 if key == "stp3" and k == 3 else 0.0
        collision = wanted[f"plan_obj_box_col_{horizon}"]
        assert figures["collision"][horizon].mean == pytest.approx(collision - off, abs=1e-6)
        l2 = wanted[f"plan_L2_{horizon}"]
        assert figures["l2_m"][horizon].mean == pytest.approx(l2, abs=1e-4)


def test_cases_without_a_dataset_are_exact(public: Any):
    cases = public.metric_level_0p5m()
    assert len(cases) == 144
    for case in cases:
        for key, protocol in PROTOCOL.items():
            expected = case["expected"][key]
            given = on_grid(protocol, case["occ"].astype(bool), case["gt"])
            score = path_score(protocol, given, case["pred"])
            np.testing.assert_array_equal(score.collision, flags(expected["obj_box_col"]))
            np.testing.assert_allclose(score.distance_m, expected["L2"], atol=1e-4)


def test_real_keyframes_with_past_and_future_are_counted_and_the_expert_is_right():
    """120 keyframes of three scenes: six lack the future in each and two the past.

    What is left of L2 is the vehicle's pitch and roll, which move a lidar at 1.84 m, not a plan.
    Its mirror image does touch something: AD-MLP's expert collides once.
    """
    found = tables(reference("nuscenes_mini_real") / "v1.0-mini")
    for key, protocol in PROTOCOL.items():
        cases = protocol.prepare(found.values())
        scores = protocol.judge(cases, [found[token].future_plan() for token in cases.tokens])
        figures = protocol.summarise(scores).strict.figures
        assert len(cases) == 96
        assert all(v.mean is not None and v.mean <= 0.03 for v in figures["l2_m"].values())
        collisions = figures["collision"]["3s"].mean
        assert collisions == pytest.approx(0.0 if key == "stp3" else 1 / 576)
