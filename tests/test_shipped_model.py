"""Laws of the trained model inside the package: the default, and asked as it was taught."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import yaml
from flat_world import flat_words

from drivevlm.app import composed, main
from drivevlm.app.settings import members
from drivevlm.build.asked import ASKED, UNTAUGHT
from drivevlm.build.parts import Parts
from drivevlm.build.table import Chosen
from drivevlm.dialogue.blocks import Block
from drivevlm.model.config import ProjectorConfig
from drivevlm.vlm import config
from drivevlm.vlm.config import SHIPPED, NativeConfig
from drivevlm.vlm.native.engine import NativeVLM
from drivevlm.vlm.seam import TextPart, VLMError

PAIR = "random-2/8/jaywalker/536-v9-490"
EIGHT = ["data=demo_twins", "prompt.sections=[SCENE,SPATIAL,DECIDE,PLAN]"]
FLAT = tuple(flat_words())
SLICE = Path(__file__).parents[1] / "results" / "slice.json"
REMAKE = "other weights need another slice: results/README.md tells how it is made"


def parts_of(*words: str) -> Parts:
    return Parts.of(Chosen.of(*composed(["planner=[vlm]", *words])), lambda line: None)


def words_of(parts: Parts) -> str:
    """What is asked of a clip that has a past, but for its pictures."""
    clip = parts.recording.clip(parts.recording.scenes()[0].tokens[-1])
    asked = parts.dialogue.ask(clip)
    return "\n".join(
        part.text for m in asked.messages for part in m.parts if isinstance(part, TextPart)
    )


def test_the_default_is_the_model_that_ships_and_is_not_called_untrained(tmp_path, capsys):
    words = ["data=demo_twins", f"data.scenes=[{PAIR}]", "planner=[vlm]", "prompt.sections=[PLAN]"]
    assert main(["eval", *words, "page.clips=0", f"out={tmp_path}"]) == 0
    out = capsys.readouterr().out
    assert "vlm tiny" in out
    assert "untrained" not in out
    assert "was taught" not in out
    found = json.loads((tmp_path / "results.json").read_text())["planners"]["vlm"]
    assert (found["label"], found["untrained"]) == ("vlm tiny", False)
    assert found["failures"]["failed"] == 0
    told = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert (told["data"]["frames"], told["block"]["prior"]) == (2, "off")
    assert told["prompt"]["name"] == "native/native"


@pytest.mark.parametrize(("row", "data"), [("plan_only", "twins"), ("full", "scenes")])
def test_the_weights_plan_as_well_as_is_told_beside_them(row, data, tmp_path):
    told = json.loads(SLICE.read_text())
    kept = next(each for each in told["rows"] if each["row"] == row)["on"][data]
    _, verb, *words = shlex.split(kept["command"])
    assert main([verb, *words, f"out={tmp_path}"]) == 0
    found = json.loads((tmp_path / "results.json").read_text())["planners"]["vlm"]
    assert found["model"]["revision"] == kept["revision"], REMAKE
    l2_m = found["protocols"]["exact"]["l2_m"]
    assert l2_m == pytest.approx(kept["all"]["l2_m"], abs=0.02), REMAKE
    assert found["protocols"]["exact"]["n"] == kept["all"]["n"] > 5
    if data == "twins":
        assert found["twins"]["pair"] == kept["twins"]["pair"]


@pytest.mark.parametrize("data", [("data=demo",), ("data=demo_twins",), FLAT], ids=lambda d: d[0])
def test_it_is_asked_as_it_was_taught(data):
    assert {"model.safetensors", "taught.json"} <= {file.name for file in SHIPPED.iterdir()}
    parts = parts_of(*data)
    assert parts.doubts() == []
    assert parts.chosen.vlm == ("native", NativeConfig(batch_size=8))
    lines = words_of(parts).splitlines()
    pictures = [line.split()[0] for line in lines if line.endswith((" now:", " 0.5:"))]
    assert sorted(pictures) == sorted([*parts.recording.cameras, "CAM_FRONT"])
    assert "CAM_FRONT 0.5:" in lines
    assert ProjectorConfig().grid("CAM_FRONT 0.5:", 0.5) == (3, 6)  # more than other older ones
    assert ProjectorConfig().grid("CAM_FRONT_LEFT 0.5:", 0.5) == (1, 2)
    assert lines[-3] == "Proposed: unknown"
    assert ("unknown" in lines[-2]) == (data is FLAT)  # of the three, the route is known to two
    assert not any(line.startswith(("Scene:", "Plan")) for line in lines)


def test_who_asks_it_otherwise_is_told_so():
    assert "block.prior=off" in parts_of("block.prior=on").doubts()[0]
    assert "not with these of plan_only" in parts_of("prompt=plan_only").doubts()[0]


@pytest.mark.parametrize("vlm", ["hf", "untrained", "recorded"])
def test_any_other_model_is_told_everything(vlm):
    chosen = Chosen.of(*composed([f"vlm={vlm}"]))
    assert chosen.prompt.name == "base"
    assert (chosen.data[1].frames, chosen.settings.run.scenes_in_flight) == (1, 2)
    assert {getattr(chosen.settings.block, block.value).value for block in Block} == {"on"}


@pytest.mark.parametrize("vlm", members("vlm"))
def test_help_tells_what_goes_with_each_model(vlm, capsys):
    words = ASKED.get(vlm, UNTAUGHT)
    assert main(["eval", "--help"]) == 0
    assert [f"vlm={vlm}", *words] in [line.split() for line in capsys.readouterr().out.splitlines()]
    assert composed([f"vlm={vlm}"]) == composed([f"vlm={vlm}", *words])


def test_what_is_typed_counts_and_a_prompt_of_ones_own_is_asked_as_ever():
    typed = composed(["block.prior=blank", "data.frames=3"])[0]
    assert (typed["block"]["prior"], typed["data"]["frames"]) == ("blank", 3)
    assert typed["block"]["scene_summary"] == "off"
    own = composed(["prompt=few_shot"])[0]
    assert set(own["block"].values()) == {"on"}
    assert "frames" not in composed(["data=packed"])[0]["data"]


@pytest.mark.part
def test_clips_are_decided_alike_alone_together_and_anew():
    parts = parts_of(*EIGHT)
    tokens = [token for scene in parts.recording.scenes() for token in scene.tokens]
    requests = [parts.dialogue.ask(parts.recording.clip(token)) for token in tokens]
    assert len(requests) == 8

    def texts(asked, **settings: float) -> list[str]:
        vlm = NativeVLM(NativeConfig(dtype="float32", **settings))
        jobs = [vlm.submit(request) for request in asked]
        said = [job.result(timeout=600).texts[0] for job in jobs]
        vlm.close()
        return said

    alone = texts(requests)
    assert len(set(alone)) > 1
    assert texts(requests, batch_size=8, batch_wait_ms=60_000.0) == alone
    assert texts(requests[:2]) == alone[:2]


def test_an_install_without_the_weights_says_so_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(config, "SHIPPED", tmp_path / "tiny")
    for there in (False, True):
        if there:
            (tmp_path / "tiny").mkdir()
            (tmp_path / "tiny" / "config.json").write_text("{}")
        with pytest.raises(VLMError, match=r"weights that ship .* missing.*install drivevlm again"):
            NativeVLM(NativeConfig())
    assert main(["eval", "planner=[vlm]", f"out={tmp_path}/r"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
