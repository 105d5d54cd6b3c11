"""``drivevlm train`` as its user sees it: a run folder to resume, to judge and to plan with."""

from __future__ import annotations

import json
import math

import pytest
import torch
import yaml
from accelerate.state import AcceleratorState
from looking import WORDS, Sixteen, replies
from safetensors.torch import load_file

from drivevlm.app import main

pytest.importorskip("pyarrow.parquet", reason="packing needs pyarrow (the extra [train])")
SMALL = ("model=nano", "train.batch=4", "train.warmup=2", "train.cached=false", "train.threads=1")


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return Sixteen().packed(tmp_path_factory.mktemp("packed") / "sixteen")


@pytest.fixture(scope="module")
def run(packed, tmp_path_factory):
    """A training of three steps, stopped after two."""
    out = tmp_path_factory.mktemp("runs") / "t1"
    told = [f"data.path={packed}", *WORDS, *SMALL, "train.steps=3", "train.stop_after=2"]
    assert main(["train", *told, "train.tell_every=1", f"out={out}"]) == 0
    return out


def lines(out):
    return [json.loads(text) for text in (out / "metrics.jsonl").read_text().splitlines()]


def test_a_run_keeps_what_it_was_told_and_how_it_went(run, packed):
    assert [line["step"] for line in lines(run)] == [1, 2]
    kept = yaml.safe_load((run / "train.yaml").read_text())
    assert kept["groups"] == {"data": "packed", "model": "nano", "prompt": "native"}
    assert kept["values"]["data"]["path"] == str(packed)
    facts = json.loads((run / "train.json").read_text())
    assert facts["identity"]["prompt"]
    assert facts["starts"][0]["environment"]["packages"]["torch"]
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_heads_go_on_from_the_training_that_start_names(run, packed, tmp_path, capsys):
    told = [f"data.path={packed}", *WORDS, *SMALL, "train.steps=1", "train.perception=0.1"]
    first = tmp_path / "first"
    assert main(["train", *told, f"start={run / 'last'}", f"out={first}"]) == 0
    assert "the heads go on" not in capsys.readouterr().out  # that training had none
    assert main(["train", *told, f"start={first / 'last'}", f"out={tmp_path / 'second'}"]) == 0
    assert f"the heads go on as {first / 'last'} left them" in capsys.readouterr().out


def test_a_resumed_run_needs_no_more_than_its_folder(run, capsys):
    assert main(["train", f"resume={run}"]) == 0
    assert [line["step"] for line in lines(run)] == [1, 2, 3]
    assert capsys.readouterr().out.splitlines()[-1] == str(run)
    assert len(json.loads((run / "train.json").read_text())["starts"]) == 2


def test_a_model_plans_right_after_its_training(run, packed, tmp_path, capsys):
    said = replies(packed, run / "last", tmp_path / "eval", "prompt.sections=[PLAN]")
    assert len(said) == 16
    assert all(text.startswith("PLAN: <v") for text in said.values())
    assert "was taught" not in capsys.readouterr().out


def test_a_training_that_begins_with_a_model_of_half_precision_learns_in_whole(
    run, packed, tmp_path
):
    small, out = tmp_path / "small", tmp_path / "on"
    assert main(["model", "export", f"model={run / 'last'}", f"out={small}"]) == 0
    told = [f"data.path={packed}", *WORDS, *SMALL, "train.steps=1", "train.cached=true"]
    assert main(["train", *told, f"start={small}", f"cache={tmp_path}", f"out={out}"]) == 0
    kinds = {tensor.dtype for tensor in load_file(out / "last" / "model.safetensors").values()}
    assert kinds == {torch.float32}


def test_an_exported_model_is_half_as_large_and_answers_and_knows_how_it_was_asked(
    run, packed, tmp_path, capsys
):
    out = tmp_path / "small"
    assert main(["model", "export", f"model={run / 'last'}", f"out={out}"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out)
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (out, run / "last")]
    assert sizes[0] == pytest.approx(sizes[1] / 2, rel=0.05)
    assert not (out / "training.safetensors").exists()
    told = json.loads((out / "taught.json").read_text())
    assert told == json.loads((run / "last" / "taught.json").read_text())
    assert told["forms"]["plan_first"] == 0.2
    said = replies(packed, out, tmp_path / "eval", "prompt.sections=[PLAN]")
    assert all(text.startswith("PLAN: <v") for text in said.values())
    assert main(["model", "export", f"model={run / 'last'}", f"out={out}"]) == 2
    assert "is there already" in capsys.readouterr().err


def test_who_asks_otherwise_than_it_was_taught_is_told_so(run, packed, tmp_path, capsys):
    told = ["data=packed", f"data.path={packed}", "vlm=native", f"vlm.model={run / 'last'}"]
    told += ["prompt=plan_only", "planner=[vlm]", "protocol=[]", "page.clips=0"]
    assert main(["eval", *told, "data.scenes=[s0]", f"out={tmp_path / 'eval'}"]) == 0
    out = capsys.readouterr().out
    assert "was taught with the words of prompt native/native" in out
    assert "prompt.images.width_px=112, not 448" in out
    assert "block.ego_status=off" in out


def test_a_folder_of_another_training_is_not_written_over(run, packed, capsys):
    told = [f"data.path={packed}", *WORDS, *SMALL, "train.steps=9", f"out={run}"]
    assert main(["train", *told]) == 2
    assert "holds another training: go on with resume=" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["resume=nowhere"], "expected a folder that drivevlm train wrote"),
        (["resume=nowhere", "train.steps=4"], "only train.stop_after may change"),
        (["data.path=/nowhere"], "/nowhere"),
        (["train.batch=3"], "batch is even"),
        (["train.stepz=3"], "train.stepz"),
        (["block.ego_status=swap"], "a training takes on, off or blank"),
        (["model=huge"], "model=huge does not exist"),
        (["stage=[]"], "stage takes at least one"),
    ],
)
def test_what_cannot_be_is_one_line(words, says, capsys):
    assert main(["train", *words]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert len(error.strip().splitlines()) == 1


def test_nobody_is_validated_on_what_was_learned(packed, tmp_path, capsys):
    told = [f"data.path={packed}", f"val.path={packed}", *WORDS, *SMALL]
    assert main(["train", *told, f"out={tmp_path / 'run'}"]) == 2
    assert "16 scenes of" in capsys.readouterr().err


def test_a_prompt_that_does_not_fit_is_refused_before_the_first_step(packed, tmp_path, capsys):
    told = [f"data.path={packed}", *WORDS, *SMALL, "model.decoder.context_tokens=64"]
    assert main(["train", *told, f"out={tmp_path / 'run'}"]) == 2
    assert "the model has 64 positions" in capsys.readouterr().err
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.fixture
def any_precision():
    """accelerate keeps the first precision of a process, and refuses another."""
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


def test_bfloat16_learns_from_kept_features(packed, tmp_path, any_precision):
    told = [f"data.path={packed}", *WORDS, *SMALL, "train.steps=2", "train.tell_every=1"]
    told += ["train.precision=bfloat16", "train.cached=true", f"cache={tmp_path / 'cache'}"]
    out = tmp_path / "run"
    assert main(["train", *told, f"out={out}"]) == 0
    assert [line["step"] for line in lines(out)] == [1, 2]
    assert all(math.isfinite(line["loss"]) for line in lines(out))


def test_a_validation_plans_with_open_and_with_covered_eyes(tmp_path):
    folders = []
    for name, half in (("learn", slice(8)), ("judge", slice(8, None))):
        part = Sixteen()
        part.tokens = part.tokens[half]
        folders.append(part.packed(tmp_path / name))
    told = [f"data.path={folders[0]}", f"val.path={folders[1]}", *WORDS, *SMALL, "train.steps=2"]
    out = tmp_path / "run"
    assert main(["train", *told, "train.val_every=1", "train.val_clips=4", f"out={out}"]) == 0
    found = [line["validation"] for line in lines(out) if "validation" in line]
    assert len(found) == 2
    for figures in found:
        assert figures["answered"] == figures["blind_answered"] == 1.0
        assert figures["l2_m"] > 0
        assert figures["blind_l2_m"] > 0
        assert 0 <= figures["longitudinal"] <= 1
    assert (out / "best" / "config.json").is_file()


def test_where_the_first_camera_drops_out_the_next_one_is_seen_as_it_is_asked(packed, tmp_path):
    words = [word for word in WORDS if "cameras" not in word and "frames" not in word]
    seen = ["prompt.images.cameras=[CAM_FRONT,CAM_FRONT_LEFT]", "prompt.images.past_cameras=1"]
    quick = [word for word in SMALL if "cached" not in word]
    told = [*words, *seen, *quick, "prompt.images.frames=2", "train.dropout.camera=0.6"]
    told += ["train.steps=3", f"cache={tmp_path / 'cache'}", f"out={tmp_path / 'out'}"]
    assert main(["train", f"data.path={packed}", *told]) == 0
    assert [line["step"] for line in lines(tmp_path / "out") if "loss" in line][-1] == 3


def test_fresh_adapters_are_drawn_by_the_seed(packed, tmp_path):
    told = [f"data.path={packed}", *WORDS, *SMALL, "train.steps=1", "model.adapter.rank=2"]
    drawn = []
    for number, noise in enumerate((5, 6)):
        torch.manual_seed(noise)
        out = tmp_path / f"run{number}"
        assert main(["train", *told, f"out={out}"]) == 0
        kept = load_file(out / "last" / "training.safetensors")
        drawn.append({k: v for k, v in kept.items() if k.startswith("weight.") and "lora" in k})
    assert drawn[0]
    assert all(torch.equal(value, drawn[1][name]) for name, value in drawn[0].items())


def test_a_full_disk_is_one_line_wherever_it_is_met(packed, tmp_path, capsys, monkeypatch):
    def fills(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("drivevlm.train.watch.Watch.line", fills)
    told = [f"data.path={packed}", *WORDS, *SMALL, "train.steps=1"]
    assert main(["train", *told, f"out={tmp_path / 'run'}"]) == 2
    error = capsys.readouterr().err
    assert "No space left on device" in error
    assert f"resume={tmp_path / 'run'}" in error
    assert len(error.strip().splitlines()) == 1
