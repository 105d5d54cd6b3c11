"""A small world is made whole: resumed after a kill, in shards, and as the devkit wants it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from drivevlm.build.make_settings import MakeSettings
from drivevlm_sim.made_once import WorldError
from drivevlm_sim.make.recipe import WorldRecipe
from drivevlm_sim.render.gl import check_gl
from drivevlm_sim.traffic.sumo import has_sumo

TINY = WorldRecipe(
    towns=1,
    scenes=1,
    pairs=1,
    keyframes=12,
    traffic_s=90.0,
    size_px=(128, 72),
    seed=4,
    splits=("tiny",),
)
RUN = """
import sys
from pathlib import Path
from drivevlm_sim.make.make_world import make_world
from test_sim_make import TINY
if __name__ == "__main__":
    out, shard, processes = sys.argv[1:]
    tell = lambda *words: print(*words, flush=True)
    make_world(Path(out), TINY, shard=shard, processes=int(processes), progress=tell)
"""


def can_render() -> bool:
    try:
        check_gl()
    except WorldError:
        return False
    return True


needs_sumo_and_gl = pytest.mark.skipif(
    not (has_sumo() and can_render()), reason="needs SUMO and EGL: pip install 'drivevlm[sim]'"
)


def making(out: Path, shard: str = "0/1", processes: int = 1) -> subprocess.Popen[str]:
    """A process of its own: traffic and graphics stay out of this one."""
    script = out.parent / "run.py"
    script.write_text(RUN)
    command = [sys.executable, str(script), str(out), shard, str(processes)]
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def made(out: Path, shard: str = "0/1", processes: int = 1) -> Path:
    run = making(out, shard, processes)
    run.communicate(timeout=600)
    assert run.returncode == 0
    return out


def killed_at(out: Path, line: str, delay_s: float) -> None:
    """Make, and kill -9 a while after progress tells of something."""
    run = making(out)
    assert run.stdout is not None
    while told := run.stdout.readline():
        if told.startswith(line):
            time.sleep(delay_s)
            break
    run.send_signal(signal.SIGKILL)
    run.communicate()


def tree(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("whole") / "world")


@needs_sumo_and_gl
@pytest.mark.part
def test_a_killed_making_goes_on_to_the_same_bytes(whole, tmp_path):
    """Killed in traffic, in films, and while all is put together."""
    out = tmp_path / "world"
    for line, delay_s in (("traffic 0", 3.0), ("films 0", 1.0), ("films 1", 0.5), ("films 2", 0.1)):
        killed_at(out, line, delay_s)
        assert not out.exists()
    assert tree(made(out)) == tree(whole)
    assert not (tmp_path / "world.parts").exists()


@needs_sumo_and_gl
@pytest.mark.part
def test_shards_and_several_processes_make_the_same_bytes(whole, tmp_path):
    out = tmp_path / "world"
    made(out, "1/2")
    assert not out.exists()
    made(out, "0/2", processes=2)
    assert tree(out) == tree(whole)


@needs_sumo_and_gl
@pytest.mark.part
def test_the_unmodified_devkit_loads_all_of_it(whole):
    nuscenes = pytest.importorskip("nuscenes.nuscenes")
    maps = pytest.importorskip("nuscenes.map_expansion.map_api")
    can_bus = pytest.importorskip("nuscenes.can_bus.can_bus_api")
    synth = nuscenes.NuScenes("v1.0-synth", str(whole), verbose=False)
    twins = nuscenes.NuScenes("v1.0-twins", str(whole), verbose=False)
    assert [scene["nbr_samples"] for scene in synth.scene] == [12]
    assert len(twins.scene) % 2 == 0 < len(twins.scene)
    for sweep in synth.sample_data:
        path, _, _ = synth.get_sample_data(sweep["token"])
        assert Path(path).is_file()
    for name in ("boston-seaport", "singapore-onenorth", "singapore-hollandvillage"):
        maps.NuScenesMap(str(whole), name)
    location = synth.get("log", synth.scene[0]["log_token"])["location"]
    town = maps.NuScenesMap(str(whole), location)
    for pose in synth.ego_pose:
        x, y = pose["translation"][:2]
        assert town.layers_on_point(x, y)["drivable_area"]
    api = can_bus.NuScenesCanBus(str(whole))
    for scene in synth.scene:
        for kind in api.all_messages:
            assert api.get_messages(scene["name"], kind)
    for scene in twins.scene:
        assert api.get_messages(scene["name"], "pose")
    assert api.list_misaligned_routes() == []
    assert json.loads((whole / "v1.0-synth" / "splits.json").read_text()) == {
        "tiny": ["scene-2001"]
    }


@needs_sumo_and_gl
@pytest.mark.part
def test_the_reader_finds_reasons_and_pairs_that_differ_in_pictures_alone(whole):
    from drivevlm.data.nuscenes.config import NuScenesConfig
    from drivevlm.data.nuscenes.recording import NuScenesRecording
    from drivevlm.data.recording import twins_of

    scenes = NuScenesRecording(NuScenesConfig(root=str(whole), version="v1.0-synth"))
    tokens = [token for scene in scenes.scenes() for token in scene.tokens]
    assert all(scenes.truth(token).labels is not None for token in tokens)
    twins = NuScenesRecording(NuScenesConfig(root=str(whole), version="v1.0-twins", frames=3))
    pairs = twins_of(twins)
    assert pairs
    for pair in pairs:
        a, b = (twins.clip(token) for token in pair.tokens)
        assert a.status == b.status
        np.testing.assert_array_equal(a.history.xy_ego_m, b.history.xy_ego_m)
        now = [[s.frames[-1].digest for s in clip.cameras] for clip in (a, b)]
        assert now[0] != now[1]
        future = [twins.truth(token).future_path()[0] for token in pair.tokens]
        assert np.hypot(*(future[0][-1] - future[1][-1])) == pytest.approx(pair.gap_3s_m, abs=0.01)
        assert pair.gap_3s_m > 3
        assert pair.cause.pixels >= 6


@needs_sumo_and_gl
@pytest.mark.part
def test_what_was_filtered_out_is_counted_with_its_reason(whole):
    told = json.loads((whole / "made.json").read_text())
    assert told["scenes"] == 1
    assert told["wanted"] == {"scenes": 1, "pairs": 1}
    assert told["images"] == len(list((whole / "samples").glob("CAM_*/*.jpg")))
    assert set(told["rejected_traffic"]) == {"scenes", "pairs"}
    assert sum(told["rejected_traffic"]["pairs"].values()) > 0


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    from drivevlm_sim.make.make_world import make_world

    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(WorldError, match="holds something else than the world asked for"):
        make_world(tmp_path, TINY)
    parts = tmp_path / "world.parts"
    parts.mkdir()
    (parts / "recipe.json").write_text("{}\n")
    with pytest.raises(WorldError, match="holds parts of another world"):
        make_world(tmp_path / "world", TINY)


def test_a_folder_that_cannot_be_written_ends_in_one_line(tmp_path):
    from drivevlm_sim.make.make_world import make_world

    (tmp_path / "file").write_text("")
    with pytest.raises(WorldError, match="cannot write a world there"):
        make_world(tmp_path / "file" / "world", TINY)


def test_a_wish_that_no_traffic_can_meet_ends_before_any_work(tmp_path):
    from drivevlm_sim.make.make_world import make_world

    greedy = WorldRecipe(pairs=20, approaching=20)
    with pytest.raises(WorldError, match="impossible recipe"):
        make_world(tmp_path / "world", greedy)
    assert list(tmp_path.iterdir()) == []


def test_out_must_be_said():
    from drivevlm.build.settings import SettingError

    with pytest.raises(SettingError, match=r"out=FOLDER"):
        MakeSettings.of({"out": ""})
