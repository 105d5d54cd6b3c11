"""No future reaches a prompt: everything after decision time is changed, the bytes stay equal."""

import json
import shutil
from pathlib import Path

import pytest
from flat_world import flat_root

from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.dialogue.blocks import BlockConfig
from drivevlm.dialogue.dialogue import Dialogue, PromptConfig
from drivevlm.evaluate.expert import examples_from
from drivevlm.planner import VLMPlanner, no_examples
from drivevlm.vlm.scripted import ScriptedVLM

PROMPTS = Path(__file__).parents[1] / "prompts"
SCENE = "scene-2001"
NOW = 4  # the clip that is looked at, with four before it and four after
EMPTY = "DETECT: {verdicts} | none\nSCENE: none | Clear.\nSPATIAL: none\n"
EMPTY += "DECIDE: track_speed / keep_lane\nPLAN: "
EMPTY += " ".join(f"{2 * k}.00,0.00" for k in range(1, 7))


@pytest.fixture(scope="module")
def changed(tmp_path_factory) -> Path:
    """The recording with all poses and boxes of the scene after decision time moved away."""
    root = tmp_path_factory.mktemp("changed") / "data"
    shutil.copytree(flat_root(), root)
    tables = root / "v1.0-flat"
    read = {
        name: json.loads((tables / f"{name}.json").read_text())
        for name in ("scene", "sample", "ego_pose", "sample_annotation")
    }
    scene = next(row["token"] for row in read["scene"] if row["name"] == SCENE)
    samples = sorted(
        (row["timestamp"], row["token"]) for row in read["sample"] if row["scene_token"] == scene
    )
    (now_us, _), (end_us, _) = samples[NOW], samples[-1]
    late = {token for stamp, token in samples if stamp > now_us}
    for pose in read["ego_pose"]:
        if now_us < pose["timestamp"] <= end_us:
            pose["translation"] = [pose["translation"][0] + 9.0, 77.0, 0.0]
    for box in read["sample_annotation"]:
        if box["sample_token"] in late:
            box["translation"] = [v + 6.0 for v in box["translation"]]
    for name, rows in read.items():
        (tables / f"{name}.json").write_text(json.dumps(rows))
    return root


def requests(root: Path, prompt: PromptConfig, command: str = "none") -> list[str]:
    """Digests of the requests of the scene's clips up to NOW, with the planner's memory."""
    config = NuScenesConfig(
        root=str(root), version="v1.0-flat", frames=3, proposals="oracle", command=command
    )
    recording = NuScenesRecording(config)
    dialogue = Dialogue.of(prompt, BlockConfig(), PROMPTS)
    examples = no_examples
    if dialogue.example_count:
        examples = examples_from(recording, count=1, seed=0)  # type: ignore[assignment]
    planner = VLMPlanner("vlm", ScriptedVLM([]), dialogue, examples)
    scene = next(s for s in recording.scenes() if s.name == SCENE)
    digests = []
    for token in scene.tokens[: NOW + 1]:
        clip = planner.recall(recording.clip(token))
        request = dialogue.ask(clip, planner.examples(clip))
        digests.append(request.digest)
        ids = [box.id for box in clip.proposals.boxes] if clip.proposals else []
        verdicts = " ".join(f"{name}=kept" for name in ids) or "none"
        text = EMPTY.format(verdicts=verdicts)
        planner.remember(clip, dialogue.format.parse(text, clip))
    return digests


@pytest.mark.parametrize("name", ["base", "few_shot"])
def test_the_future_changes_no_byte_of_a_prompt(changed, name):
    prompt = PromptConfig(name=name, examples=1 if name == "few_shot" else -1)
    assert requests(flat_root(), prompt) == requests(changed, prompt)


def test_the_leaking_command_does_change_it_so_this_test_can_fail(changed):
    before, after = (requests(root, PromptConfig(), "gt_future") for root in (flat_root(), changed))
    assert before != after
