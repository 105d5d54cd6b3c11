"""Laws of the planner that a node's parameters name."""

from __future__ import annotations

import json

import pytest
from dialogue_cases import camera, png
from drive_cases import SPEED_MPS, START_US, straight

from drivevlm.app import composed
from drivevlm.build.node_planner import chosen_of, node_planner
from drivevlm.build.settings import SettingError
from drivevlm.build.table import Chosen
from drivevlm.drive.node_config import NodeConfig, PlannerConfig
from drivevlm.drive.parameters import node_config
from drivevlm.planner import VLMPlanner, plan_next
from drivevlm.world.camera import CameraSequence, Frame
from drivevlm.world.clip import Clip
from drivevlm.world.ego import EgoStatus
from drivevlm.world.sets import Provenance

WORDS = [
    (),
    ("prompt=native", "prompt.images.width_px=64", "prompt.sections=[SCENE,PLAN]"),
    ("vlm=hf", "vlm.model=a/b", "vlm.threads=2", "vlm.dtype=float32", "run.deadline_s=null"),
    ("vlm=native", "block.cameras=off", "block.prior=blank", "run.seed=3", "run.deadline_s=0.5"),
    ("planner=constant_velocity", "prompt=plan_only", "prompt.dt_s=0.25", "prompt.steps=12"),
    ("prompt=few_shot", "prompt.examples=0", "prompt.codec=control"),
    ("vlm=untrained", "block.command=off"),
    ("block.prior=on", "prompt.sections=[PLAN]"),
]


def told(*settings: str, model_path: str = "embedded", **values: object) -> NodeConfig:
    named = {"planner.settings": list(settings) or [""], "planner.model_path": model_path}
    return node_config(named | {key.replace("__", "."): value for key, value in values.items()})


def refused(text: str):
    return pytest.raises(SettingError, match=rf"^[^\n]*{text}[^\n]*$")


def clip() -> Clip:
    frame = Frame(START_US, (64, 36), png(7))
    return Clip(
        token="t",
        scene="s",
        t0_us=START_US,
        cameras=(CameraSequence(camera("CAM_FRONT", 0.0), (frame,)),),
        status=EgoStatus(
            speed_mps=SPEED_MPS,
            acceleration_mps2=None,
            yaw_rate_radps=None,
            provenance=Provenance.ODOMETRY,
        ),
    )


@pytest.mark.parametrize("words", WORDS, ids=str)
def test_words_mean_to_a_node_what_they_mean_after_eval(words):
    alone = ("vlm.batch_size=1",) if composed([*words])[1]["vlm"] == "native" else ()
    by_hydra = Chosen.of(*composed([*words, *alone, "run.scenes_in_flight=2"]))
    found = chosen_of(PlannerConfig(settings=words))
    assert found.vlm == by_hydra.vlm
    assert found.prompt == by_hydra.prompt
    assert found.settings.block == by_hydra.settings.block
    assert found.settings.run == by_hydra.settings.run
    planner = by_hydra.settings.planner if "planner=constant_velocity" in words else ("vlm",)
    assert found.settings.planner == planner


def test_a_motion_needs_no_model():
    planner = node_planner(told("planner=constant_velocity"))
    assert planner.name == "constant_velocity"
    plan = plan_next(planner, clip()).plan
    assert plan is not None
    assert plan.xy_ego_m == pytest.approx(straight().xy_ego_m)


def test_the_model_that_ships_answers_as_it_was_taught_without_any_word():
    said: list[str] = []
    planner = node_planner(told("run.seed=5"), said.append)
    assert isinstance(planner, VLMPlanner)
    assert planner.vlm.name == "tiny"
    assert (planner.seed, planner.dialogue.most_proposals) == (5, 0)
    decision = plan_next(planner, clip())
    assert decision.plan is not None
    assert decision.reply.startswith("DETECT: ")
    assert said == []


def test_who_asks_the_model_that_ships_otherwise_is_told_so():
    said: list[str] = []
    node_planner(told("prompt.images.width_px=64"), said.append)
    assert "was taught with prompt.images.width_px=448, not 64" in said[0]


def test_a_reply_has_room_for_the_proposals_that_the_node_can_be_told_of():
    planner = node_planner(told("vlm=untrained", objects__type="detection3d", sync__top_k=3))
    assert isinstance(planner, VLMPlanner)
    assert planner.dialogue.most_proposals == 3


@pytest.mark.parametrize(("kind", "engine"), [("drivevlm", "native"), ("smolvlm", "hf")])
def test_a_models_folder_tells_which_engine_serves_it(tmp_path, kind, engine):
    folder = tmp_path / "my model: 2"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    name, settings = chosen_of(PlannerConfig(str(folder))).vlm
    assert (name, settings.model) == (engine, str(folder))
    other = PlannerConfig(str(folder), ("vlm=hf", "vlm.threads=1"))
    assert chosen_of(other).vlm[0] == "hf"


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (("prompt",), "expected key=value, got 'prompt'"),
        (("prompt=bse",), "prompt=bse does not exist: there are base"),
        (("prompt.step=8",), "prompt.step is no setting of a node, did you mean prompt.steps"),
        (("data=nuscenes",), "data is no setting of a node"),
        (("protocol=[exact]",), "protocol is no setting of a node"),
        (("run.shard=0/2",), "run.shard is no setting of a node"),
        (("prompt=base", "prompt.images=3"), "prompt.images is no setting of a node"),
        (("prompt.steps=[",), r"prompt.steps: '\[' is no value"),
        (("prompt.steps=many",), "prompt.steps takes a value of type int"),
        (("planner=[vlm,stop]",), "a node has one, got vlm, stop"),
        (("planner=expert",), "planner=expert needs a recording"),
        (("planner=ego_mlp",), "planner=ego_mlp needs a recording"),
        (("planner=best",), "planner: 'best' is none"),
        (("prompt=few_shot",), "prompt few_shot shows examples .* prompt.examples=0"),
        (("block.cameras=swap",), "block.cameras=swap takes the contents of other clips"),
        (("prompt.images.cameras=[CAM_TOP]",), "no camera CAM_TOP, sync.cameras has CAM_FRONT"),
    ],
)
def test_a_setting_that_a_node_cannot_have_is_refused_in_one_line(settings, why):
    with refused(why):
        node_planner(told(*settings))


def test_a_folder_without_a_model_is_refused_by_its_name(tmp_path):
    with refused("planner.model_path=/no/such holds no model: .*No such file"):
        node_planner(told(model_path="/no/such"))
    with refused("name one model"):
        node_planner(told("vlm.model=b", model_path=str(tmp_path)))
    with refused("vlm.model is no setting of a node"):
        node_planner(told("vlm=untrained", model_path=str(tmp_path)))
