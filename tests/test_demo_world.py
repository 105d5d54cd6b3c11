"""The worlds inside the wheel: packed, unpacked, and read by the unmodified nuScenes devkit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivevlm.app import main
from drivevlm.app.settings import SIM_MAKE, composed
from drivevlm.build.make_settings import MakeSettings
from drivevlm_sim.bundle import BUNDLE, pack, unpacked
from drivevlm_sim.made_once import WorldError, recipe_text

MOST_BYTES = 12_000_000
VERSIONS = ("v1.0-synth", "v1.0-twins")
NOT_FOR_READING = ("libsumo", "sumolib", "sumo", "moderngl", "mapbox_earcut", "imageio_ffmpeg")


@cache
def home() -> Path:
    return Path(tempfile.gettempdir()) / "drivevlm-tests" / "worlds"


@cache
def root() -> Path:
    return unpacked(home())


@cache
def devkit(version: str) -> Any:
    from nuscenes.nuscenes import NuScenes

    return NuScenes(version, str(root()), verbose=False)


def a_root(folder: Path) -> Path:
    (folder / "samples").mkdir(parents=True)
    (folder / "recipe.json").write_text(recipe_text({"world": "small"}))
    (folder / "a.json").write_text("[]")
    (folder / "samples" / "b.jpg").write_bytes(bytes(range(256)) * 400)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_was_packed_is_unpacked_and_equal_roots_give_equal_bundles(tmp_path: Path):
    for name in ("one", "two"):
        os.utime(a_root(tmp_path / name) / "a.json", (len(name), ord(name[0])))
        pack(tmp_path / name, tmp_path / f"{name}.tar.xz")
    assert (tmp_path / "one.tar.xz").read_bytes() == (tmp_path / "two.tar.xz").read_bytes()
    found = unpacked(tmp_path / "home", tmp_path / "one.tar.xz")
    assert tree(found) == tree(tmp_path / "one")


def test_many_unpack_at_once_and_one_does_it(tmp_path: Path):
    bundle = tmp_path / "one.tar.xz"
    pack(a_root(tmp_path / "one"), bundle)
    with ThreadPoolExecutor(8) as crew:
        found = set(crew.map(lambda _: unpacked(tmp_path / "home", bundle), range(8)))
    (only,) = found
    assert tree(only) == tree(tmp_path / "one")
    before = (only / "a.json").stat().st_ctime_ns
    assert (unpacked(tmp_path / "home", bundle) / "a.json").stat().st_ctime_ns == before


def test_another_bundle_goes_into_another_folder(tmp_path: Path):
    one = a_root(tmp_path / "one")
    pack(one, tmp_path / "x.tar.xz")
    before = unpacked(tmp_path / "home", tmp_path / "x.tar.xz")
    (one / "a.json").write_text("[1]")
    pack(one, tmp_path / "x.tar.xz")
    after = unpacked(tmp_path / "home", tmp_path / "x.tar.xz")
    assert before != after
    assert [(found / "a.json").read_text() for found in (before, after)] == ["[]", "[1]"]


def test_what_is_no_world_or_no_bundle_is_told_in_one_line(tmp_path: Path):
    with pytest.raises(WorldError, match="make demo-world"):
        unpacked(tmp_path, tmp_path / "none.tar.xz")
    with pytest.raises(WorldError, match=r"has no recipe\.json"):
        pack(tmp_path, tmp_path / "one.tar.xz")


def test_the_bundle_is_small_and_made_of_the_shipped_recipe():
    assert BUNDLE.stat().st_size <= MOST_BYTES
    recipe = json.loads((root() / "recipe.json").read_text())
    values, _ = composed(["world=demo", "out=x"], SIM_MAKE)
    assert recipe == json.loads(recipe_text(MakeSettings.of(values).world.facts()))
    made = json.loads((root() / "made.json").read_text())
    assert (made["scenes"], made["pairs"], made["images"]) == (6, 4, (6 * 16 + 4 * 2 * 3) * 6)
    assert len({scene["description"].split(": ")[1] for scene in devkit("v1.0-synth").scene}) == 6


def test_scenes_and_pairs_are_read_without_traffic_and_graphics(tmp_path: Path):
    chosen = ["planner=[constant_velocity,expert]", "page.clips=0", f"data.root={home().parent}"]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({NOT_FOR_READING}))\n"
        "from drivevlm.app import main; sys.exit(main(sys.argv[1:]))"
    )
    root()
    words = ["eval", "data=demo_twins", *chosen, "protocol=[exact]", f"out={tmp_path}/run"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    planners = json.loads((tmp_path / "run" / "results.json").read_text())["planners"]
    pairs = {name: planner["twins"]["pair"] for name, planner in planners.items()}
    assert pairs == {"constant_velocity": 0.0, "expert": 1.0}
    assert "unpacking" not in done.stdout


def test_making_a_world_needs_what_reading_does_not():
    """Else the test above would block nothing."""
    blocked = f"import sys; sys.modules.update(dict.fromkeys({NOT_FOR_READING}))\n"
    code = blocked + "from drivevlm_sim.traffic.sumo import load_libsumo; load_libsumo()"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 1


@pytest.mark.part
@pytest.mark.parametrize("version", VERSIONS)
def test_the_devkit_finds_every_sample_sensor_file_map_and_message(version: str):
    from nuscenes.can_bus.can_bus_api import NuScenesCanBus
    from nuscenes.map_expansion.map_api import NuScenesMap
    from nuscenes.utils.splits import get_scenes_of_split
    from PIL import Image

    nusc = devkit(version)
    names = [scene["name"] for scene in nusc.scene]
    assert sorted(get_scenes_of_split("demo", nusc)) == sorted(names)
    pictures = 0
    for sample in nusc.sample:
        for channel, token in sample["data"].items():
            row = nusc.get("sample_data", token)
            path = Path(nusc.get_sample_data(token)[0])
            if channel.startswith("CAM") and path.exists():
                with Image.open(path) as image:
                    image.load()
                    assert image.size == (row["width"], row["height"]) == (448, 252)
                pictures += 1
    assert pictures == {"v1.0-synth": 6 * 16 * 6, "v1.0-twins": 4 * 2 * 3 * 6}[version]
    for location in {log["location"] for log in nusc.log}:
        world = NuScenesMap(dataroot=str(root()), map_name=location)
        assert world.get_records_in_patch((0.0, 0.0, *world.canvas_edge), ["lane"])["lane"]
    can_bus = NuScenesCanBus(dataroot=str(root()))
    assert all(can_bus.get_messages(name, "pose") for name in names)


@pytest.mark.part
def test_the_ego_drives_on_the_drivable_area():
    from nuscenes.map_expansion.map_api import NuScenesMap

    on = []
    for version in VERSIONS:
        nusc = devkit(version)
        maps = {
            log["location"]: NuScenesMap(dataroot=str(root()), map_name=log["location"])
            for log in nusc.log
        }
        for sample in nusc.sample:
            scene = nusc.get("scene", sample["scene_token"])
            world = maps[nusc.get("log", scene["log_token"])["location"]]
            lidar = nusc.get("sample_data", sample["data"]["LIDAR_TOP"])
            x_m, y_m, _ = nusc.get("ego_pose", lidar["ego_pose_token"])["translation"]
            on.append(bool(world.layers_on_point(x_m, y_m, ["drivable_area"])["drivable_area"]))
    assert np.mean(on) >= 0.995


@pytest.mark.part
def test_the_devkit_scores_detections_of_the_custom_split(tmp_path: Path):
    from nuscenes.eval.common.config import config_factory
    from nuscenes.eval.detection.evaluate import DetectionEval

    words = ["planner=[expert]", "protocol=[exact]", "page.clips=0", "data.proposals=none"]
    where = [f"data.root={home().parent}", f"out={tmp_path}/run"]
    assert main(["eval", "data=demo", *words, *where]) == 0
    official = DetectionEval(
        devkit("v1.0-synth"),
        config_factory("detection_cvpr_2019"),
        str(tmp_path / "run" / "detections-expert.json"),
        "demo",
        str(tmp_path / "out"),
        verbose=False,
    )
    metrics, _ = official.evaluate()
    ours = json.loads((tmp_path / "run" / "results.json").read_text())
    told = ours["planners"]["expert"]["detection"]["nuscenes"]
    assert told["map"] == pytest.approx(metrics.mean_ap, abs=1e-9)
    assert metrics.mean_ap > 0.05  # without proposals the expert adds what it has room for


@pytest.mark.part
def test_the_devkits_prediction_helper_follows_every_road_user():
    from nuscenes.prediction.helper import PredictHelper

    nusc = devkit("v1.0-synth")
    helper = PredictHelper(nusc)
    for sample in nusc.sample:
        past = helper.get_past_for_sample(sample["token"], seconds=2, in_agent_frame=True)
        future = helper.get_future_for_sample(sample["token"], seconds=3, in_agent_frame=True)
        assert (
            set(past)
            == set(future)
            == {nusc.get("sample_annotation", token)["instance_token"] for token in sample["anns"]}
        )
        assert all(np.isfinite(path).all() for path in (*past.values(), *future.values()))


@pytest.mark.part
@pytest.mark.parametrize("version", VERSIONS)
def test_the_devkit_renders_a_sample_of_every_scene(version: str, tmp_path: Path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    nusc = devkit(version)
    for scene in nusc.scene:
        token = scene["first_sample_token"]
        while not Path(
            nusc.get_sample_data(nusc.get("sample", token)["data"]["CAM_FRONT"])[0]
        ).exists():
            token = nusc.get("sample", token)["next"]
        path = tmp_path / f"{scene['name']}.png"
        nusc.render_sample(token, out_path=str(path), verbose=False)
        pyplot.close("all")
        assert path.stat().st_size > 10_000
