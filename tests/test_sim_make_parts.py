"""The machinery of making worlds: jobs, parts that are whole or absent, shares, places."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from drivevlm.build.assets import asset_folder
from drivevlm.build.settings import settings_from
from drivevlm.world.pose import Pose2, Pose3
from drivevlm.world.sets import Command
from drivevlm_sim.curve import Curve
from drivevlm_sim.keyframes import Annotation, Keyframe, Shot
from drivevlm_sim.made_once import WorldError
from drivevlm_sim.make.keyframe_part import keyframes_of, members_of
from drivevlm_sim.make.part_file import read_part, write_part
from drivevlm_sim.make.places import joined, placed
from drivevlm_sim.make.plan import PairOffer, SceneOffer, dealt, films, shard_of, traffic_jobs
from drivevlm_sim.make.recipe import WorldRecipe
from drivevlm_sim.make.stage import do_stage
from drivevlm_sim.make.workers import done_jobs
from drivevlm_sim.map_layers import Lane, MapLayers
from drivevlm_sim.traffic.families import Family as SceneFamily
from drivevlm_sim.twins.budget import Offer
from drivevlm_sim.twins.twin_pair import Family

SHIPPED = ("demo", "small", "train", "val", "test")


def shipped(name: str) -> WorldRecipe:
    values = yaml.safe_load((asset_folder("configs") / "world" / f"{name}.yaml").read_text())
    values.pop("defaults")
    return settings_from(WorldRecipe, values)


@dataclass(frozen=True)
class Square:
    """A job for tests: a number to square."""

    number: int
    name: str = ""


def squared(folder: Path, job: Square) -> dict[str, bytes]:
    (folder / f"{job.number}.log").open("a").write("x")
    return {"square": str(job.number**2).encode()}


def slept(job: int) -> int:
    if job < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    if job == 99:
        raise WorldError("no town for 99")
    return job * job


def jobs(count: int) -> list[Square]:
    return [Square(k, f"job-{k}") for k in range(count)]


def test_the_shipped_recipes_share_no_town_or_scene_seed():
    seeds = {name: set(shipped(name).seeds()) for name in SHIPPED}
    for a in SHIPPED:
        assert seeds[a] <= set(range(9000))
        for b in SHIPPED:
            assert a == b or seeds[a].isdisjoint(seeds[b]), (a, b)
        assert {shipped(a).town(k).seed for k in range(shipped(a).towns)} <= seeds[a]


def test_the_shipped_recipes_have_the_size_that_is_promised():
    train, val, test = (shipped(name) for name in ("train", "val", "test"))
    assert train.towns >= 12
    assert train.scenes >= 200
    assert train.pairs >= 1500
    assert train.approaching >= 300
    for held_out in (val, test):
        assert (held_out.towns, held_out.scenes) == (3, 60)
        assert held_out.pairs >= 300
        assert held_out.choice.value == "random"
    assert len(set(test.weathers) - set(train.weathers) - set(val.weathers)) == 1
    signalised = [train.town(k).rule.value != "priority" for k in range(train.towns)]
    assert sum(signalised) >= 8
    for name in SHIPPED:
        shipped(name).wish()


def test_towns_are_never_divided_between_splits():
    recipe = WorldRecipe(towns=4, splits=("a", "b"), shares=(0.75, 0.25))
    assert [recipe.split_of(k) for k in range(4)] == ["a", "a", "a", "b"]


def test_equal_parts_are_equal_bytes(tmp_path):
    members = {"a": b"1", "folder/b": b"2" * 1000}
    write_part(tmp_path / "x.part", members)
    write_part(tmp_path / "y.part", members)
    assert (tmp_path / "x.part").read_bytes() == (tmp_path / "y.part").read_bytes()
    assert read_part(tmp_path / "x.part") == members
    assert read_part(tmp_path / "x.part", "a") == {"a": b"1"}


def test_a_damaged_part_is_told_in_one_line(tmp_path):
    (tmp_path / "x.part").write_bytes(b"nothing of a zip")
    with pytest.raises(WorldError, match=r"x\.part: not a part of a world"):
        read_part(tmp_path / "x.part")


def test_keyframes_come_back_as_they_were_and_moved(tmp_path):
    held = io.BytesIO()
    Image.new("RGB", (8, 4)).save(held, "JPEG")
    pose = Pose3.from_pose2(Pose2(3.0, 4.0, 0.3))
    box = Annotation("car", "vehicle.car", "", (1.0, 2.0, 0.5), (4.0, 2.0, 1.5), 0.1, 4, None)
    cloud = np.arange(10, dtype=np.float32).reshape(2, 5)
    frames = [
        Keyframe(0, pose, (Shot("CAM", 0, pose, held.getvalue()),), (box,), cloud),
        Keyframe(500_000, pose, (Shot("CAM", 500_000, pose, None),), (), None),
    ]
    back = list(keyframes_of(members_of(frames, "a/"), "a/", moved_m=(10.0, 20.0), later_us=7))
    assert [frame.stamp_us for frame in back] == [7, 500_007]
    assert [frame.shots[0].jpeg for frame in back] == [held.getvalue(), None]
    np.testing.assert_array_equal(back[0].cloud, cloud)
    assert back[1].cloud is None
    assert back[0].annotations == (replace(box, center_global_m=(11.0, 22.0, 0.5)),)
    np.testing.assert_array_equal(back[0].global_from_ego.translation_m, [13.0, 24.0, 0.0])
    np.testing.assert_array_equal(back[0].global_from_ego.rotation, pose.rotation)


def test_a_stage_makes_only_what_is_missing(tmp_path):
    told = []
    do_stage("s", squared, jobs(2), tmp_path, processes=1)
    spent = do_stage(
        "s", squared, jobs(4), tmp_path, processes=1, progress=lambda *words: told.append(words)
    )
    assert spent.made == 2
    assert told == [("s", 2, 4), ("s", 3, 4), ("s", 4, 4)]
    assert [(tmp_path / f"{k}.log").read_text() for k in range(4)] == ["x"] * 4
    assert read_part(tmp_path / "job-3.part") == {"square": b"9"}


def test_several_processes_do_every_job_once():
    assert dict(done_jobs(slept, range(7), processes=3)) == {k: k * k for k in range(7)}


def test_a_job_that_cannot_be_done_ends_in_its_one_line():
    with pytest.raises(WorldError, match="no town for 99"):
        list(done_jobs(slept, [1, 99, 2, 3], processes=2))


def test_a_job_with_which_every_process_dies_is_given_up():
    with pytest.raises(WorldError, match="3 processes died at -1 "):
        list(done_jobs(slept, [1, -1, 2, 3], processes=2))


def dies_once(path):
    """The first process that tries it dies."""
    if not path.exists():
        path.write_text("")
        os._exit(9)
    return path.name


def test_a_job_whose_process_died_is_tried_again(tmp_path, caplog):
    paths = [tmp_path / name for name in "abc"]
    assert sorted(name for _, name in done_jobs(dies_once, paths, processes=2)) == ["a", "b", "c"]
    assert sum("it is tried again" in record.message for record in caplog.records) == 3


def test_processes_end_when_their_parent_is_killed(tmp_path):
    """Nothing is left over after kill -9: a worker sees that nobody is at the other end."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_sim_make_parts import endless\n"
        "from drivevlm_sim.make.workers import done_jobs\n"
        "if __name__ == '__main__':\n"
        "    for _ in done_jobs(endless, [sys.argv[2]] * 100, processes=2): pass\n"
    )
    (tmp_path / "run.py").write_text(script)
    command = [sys.executable, str(tmp_path / "run.py"), str(Path(__file__).parent), str(tmp_path)]
    run = subprocess.Popen(command)
    until = time.monotonic() + 60
    while len(pids := list(tmp_path.glob("pid-*"))) < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    run.kill()
    run.wait()
    while any(Path(f"/proc/{path.name[4:]}").exists() for path in pids):
        assert time.monotonic() < until, "a worker outlived its parent"
        time.sleep(0.05)


def endless(folder: str) -> None:
    (Path(folder) / f"pid-{os.getpid()}").touch()
    time.sleep(0.2)


def offers(count: int, family: str, town: int) -> list[SceneOffer]:
    return [
        SceneOffer(f"traffic-{town}", f"{family}-{town}-{k}", family, town) for k in range(count)
    ]


def test_families_and_towns_take_turns():
    given = [*offers(50, "red", 0), *offers(3, "jay", 0), *offers(50, "red", 1)]
    chosen = dealt(given, 10, seed=1)
    assert [offer.family for offer in chosen].count("jay") == 3
    assert sorted(offer.town for offer in chosen) == [0] * 5 + [1] * 5
    assert dealt(reversed(given), 10, seed=1) == chosen
    assert len(set(chosen)) == 10


def pair_offers(count: int, family: Family) -> list[PairOffer]:
    return [
        PairOffer(
            "traffic-0",
            0,
            Offer(f"{family.value}-{k}", family, "grid-0", Command.FOLLOW, 20.0 + k, 8.0),
        )
        for k in range(count)
    ]


def test_every_pair_film_has_spares_of_its_own():
    pairs = [offer for family in Family for offer in pair_offers(12, family)]
    planned = films(WorldRecipe(scenes=1, pairs=14), offers(3, "red", 0), pairs)
    lines = [job.candidates for job in planned.jobs if job.is_pair]
    everyone = [name for line in lines for _, name in line]
    assert len(lines) == 14
    assert len(set(everyone)) == len(everyone) == 12 * len(Family)
    assert planned.missing == ()


def test_shards_are_the_whole_without_overlap():
    planned = films(WorldRecipe(scenes=5, pairs=0), offers(9, "red", 0), []).jobs
    shares = [shard_of(planned, f"{k}/3") for k in range(3)]
    assert sorted(job.name for share in shares for job in share) == [
        f"scene-{k:04d}" for k in range(5)
    ]
    for wrong in ("3/3", "1", "a/b", "-1/2"):
        with pytest.raises(WorldError, match=r"run\.shard is i/n"):
            shard_of(planned, wrong)


def test_a_family_that_no_town_hosts_is_an_impossible_recipe():
    recipe = WorldRecipe(
        scenes=2, pairs=0, families=(SceneFamily.RED_LIGHT, SceneFamily.ROUNDABOUT)
    )
    with pytest.raises(WorldError, match="impossible recipe: no town of this world hosts round"):
        films(recipe, offers(9, "red_light", 0), [])


def test_what_is_missing_is_said():
    assert films(WorldRecipe(scenes=9, pairs=0), offers(4, "red", 0), []).missing == (
        "4 scenes of 9",
    )
    assert len(traffic_jobs(WorldRecipe(towns=3, runs=2))) == 6


def test_impossible_recipes_are_refused():
    for wrong in (
        {"scenes": 0, "pairs": 0},
        {"pairs": 5000},
        {"keyframes": 11},
        {"shares": (0.5,)},
        {"weathers": ()},
    ):
        with pytest.raises(ValueError, match=r"."):
            WorldRecipe(**wrong)
    with pytest.raises(WorldError, match="impossible recipe"):
        WorldRecipe(pairs=20, approaching=20).wish()


def test_towns_lie_apart_and_left_hand_ones_in_singapore():
    towns = [(f"t{k}", k % 3 == 0, (600.0, 450.5)) for k in range(12)]
    places = placed(towns)
    for name, left_hand, _ in towns:
        assert places[name].location.startswith("singapore") == left_hand
    corners = [(place.location, *place.offset_m) for place in places.values()]
    for a in range(12):
        for b in range(a):
            same = corners[a][0] == corners[b][0]
            apart = max(
                abs(corners[a][1] - corners[b][1]) - 600, abs(corners[a][2] - corners[b][2]) - 450.5
            )
            assert not same or apart >= 20
    with pytest.raises(WorldError, match="does not fit on the maps with right-hand traffic"):
        placed([(f"t{k}", False, (900.0, 900.0)) for k in range(30)])


def test_joined_maps_keep_every_lane_where_its_town_lies():
    def town(name: str, left_hand: bool) -> tuple[str, MapLayers, object]:
        lane = Lane("a", Curve.of(Pose2(5.0, 5.0, 0.0), (20.0, 0.0)), 3.0)
        return (name, MapLayers("boston-seaport", (40.0, 30.0), lanes=(lane,)), left_hand)

    places = placed([(name, False, (40.0, 30.0)) for name in ("x", "y")])
    layers = joined(
        "boston-seaport", [(name, town(name, False)[1], places[name]) for name in ("x", "y")]
    )
    assert [lane.name for lane in layers.lanes] == ["x/a", "y/a"]
    starts = [lane.curve.arcs[0].start.x_m for lane in layers.lanes]
    assert starts == [5.0, 5.0 + places["y"].offset_m[0]]
