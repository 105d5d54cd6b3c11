import json
import shutil
from dataclasses import dataclass

import pytest
from conftest import reference
from flat_world import flat_root, flat_words

from drivevlm.app import VERBS, composed, main
from drivevlm.build import parts
from drivevlm.build.assets import asset_folder
from drivevlm.planner import VLMPlanner
from drivevlm.record.run_folder import read_manifest, read_records
from drivevlm.world.clip import Clip
from drivevlm.world.decision import Decision

BASELINES = ["planner=[constant_velocity,stop,expert]", "page.clips=2"]
UNTRAINED = "vlm=untrained"
"""The fastest that there is, and it is asked with every block."""


def run(words, capsys) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


def results(folder) -> dict:
    found = json.loads((folder / "results.json").read_text())
    for planner in found["planners"].values():
        planner["ms"] = None
    return found


def test_baselines_run_from_the_command_line_to_table_and_page(tmp_path, capsys):
    code, out, err = run(["eval", *flat_words(*BASELINES), f"out={tmp_path}/r"], capsys)
    assert (code, err) == (0, "")
    assert out.rstrip().splitlines()[-1] == f"{tmp_path}/r"
    for name in ("config.yaml", "run.json", "records.jsonl", "results.json", "report.html"):
        assert (tmp_path / "r" / name).exists(), name
    found = results(tmp_path / "r")
    assert found["synthetic"] is True
    assert found["planners"]["expert"]["protocols"]["vad"]["n"] == 6
    assert found["planners"]["expert"]["protocols"]["uniad"]["n"] == 18


def test_a_report_is_made_again_from_the_folder_alone(tmp_path, capsys):
    run(["eval", *flat_words(*BASELINES), f"out={tmp_path}/r"], capsys)
    before = results(tmp_path / "r")
    (tmp_path / "r" / "results.json").unlink()
    (tmp_path / "r" / "report.html").unlink()
    code, out, _ = run(["report", tmp_path / "r"], capsys)
    assert code == 0
    assert out.rstrip().splitlines()[-1] == f"{tmp_path}/r/report.html"
    assert results(tmp_path / "r") == before
    for wrong, said in (("page.clip=1", "page.clips"), ("out=elsewhere", "run's folder")):
        code, _, err = run(["report", tmp_path / "r", wrong], capsys)
        assert (code, said in err) == (2, True)


@pytest.mark.part
def test_parts_merge_into_the_numbers_of_the_whole(tmp_path, capsys):
    for i in range(2):
        words = [*flat_words(*BASELINES), f"run.shard={i}/2", f"out={tmp_path}/p{i}"]
        assert run(["eval", *words], capsys)[0] == 0
    run(["eval", *flat_words(*BASELINES), f"out={tmp_path}/whole"], capsys)
    code, _, err = run(
        ["merge", f"out={tmp_path}/merged", tmp_path / "p0", tmp_path / "p1"], capsys
    )
    assert code == 0, err
    assert run(["report", tmp_path / "merged"], capsys)[0] == 0
    assert results(tmp_path / "merged") == results(tmp_path / "whole")


def test_the_whole_path_runs_with_the_untrained_model_and_is_called_so(tmp_path, capsys):
    words = [*flat_words("data.scenes=[scene-2001]", "planner=[vlm,stop]", "prompt=plan_only")]
    words.append("prompt.codec=control")
    code, out, err = run(["eval", *words, UNTRAINED, f"out={tmp_path}/r"], capsys)
    assert (code, err) == (0, "")
    assert "untrained" in out
    vlm = results(tmp_path / "r")["planners"]["vlm"]
    assert vlm["untrained"] is True
    assert vlm["failures"]["failed"] == 0  # the grammar holds
    assert vlm["tokens"]["reply_mean"] > 10
    again = [*words, f"out={tmp_path}/again", "vlm=recorded"]
    code, _, err = run(["eval", *again, f"vlm.run={tmp_path}/r"], capsys)
    assert (code, err) == (0, "")
    strict = results(tmp_path / "again")["planners"]["vlm"]["protocols"]
    assert strict == vlm["protocols"]


def test_a_prompt_is_shown_and_its_pictures_are_written(tmp_path, capsys):
    words = flat_words(
        "clip=3", f"images={tmp_path}/pictures", "prompt.images.width_px=64", UNTRAINED
    )
    code, out, err = run(["prompt", "show", *words], capsys)
    assert (code, err) == (0, "")
    assert "Ego status" in out
    assert "tokens" in out
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 6


@pytest.mark.part
def test_images_without_poses_go_through_prompt_show_and_a_model(tmp_path, capsys):
    words = ["data=frames", f"data.root={reference('drivelm_real')}", UNTRAINED]
    code, out, err = run(["prompt", "show", *words, "clip=2"], capsys)
    assert (code, err) == (0, "")
    assert "CAM_BACK_RIGHT" in out
    words += ["planner=[vlm]", "prompt=plan_only", f"out={tmp_path}/r"]
    code, _, err = run(["eval", *words], capsys)
    assert (code, err) == (0, "")
    vlm = results(tmp_path / "r")["planners"]["vlm"]
    assert vlm["failures"] == {"total": 4, "failed": 0, "by_kind": {}}
    assert vlm["protocols"] == {}  # nothing to score with is not a score of 0


@pytest.mark.part
def test_a_broken_image_fails_those_who_read_it_and_the_run_goes_on(tmp_path, capsys):
    root = tmp_path / "data"
    shutil.copytree(flat_root(), root)
    images = sorted((root / "samples" / "CAM_FRONT").iterdir())
    images[0].unlink()
    images[1].write_bytes(images[1].read_bytes()[:200])
    words = ["data=nuscenes", f"data.root={root}", "data.version=v1.0-flat", "page.clips=3"]
    words += ["data.scenes=[scene-2001]", "planner=[vlm,stop]", "prompt=plan_only", UNTRAINED]
    code, _, err = run(["eval", *words, f"out={tmp_path}/r"], capsys)
    assert (code, err) == (0, "")
    planners = results(tmp_path / "r")["planners"]
    assert planners["vlm"]["failures"] == {"total": 9, "failed": 2, "by_kind": {"image": 2}}
    assert planners["stop"]["failures"]["failed"] == 0


NO_DATA_NEEDED = [
    (["evaluate"], "did you mean eval"),
    (["eval", "oops"], "expected key=value, got 'oops'"),
    (["eval", "data.rot=x"], "data.rot is no setting"),
    (["eval", "protocol=vad,uniad"], "lists are written protocol=[vad,uniad]"),
    (["eval", "hydra.run.dir=x"], "hydra.run.dir=x is no setting"),
    (["eval", "data=nuscene"], "did you mean nuscenes"),
    (["eval", "prompt=plan_onyl"], "did you mean plan_only"),
    (["eval", "planner=[stopp]"], "eval: planner: 'stopp' is none"),
    (["eval", "protocol=[l2]"], "'l2' is none"),
    (["eval", "block.cameras=of"], "block.cameras is one of"),
    (["eval", "page.clips=many"], "page.clips takes a value of type int"),
    (["eval", "prompt.sections=[DETECT]"], "sections must"),
    (["eval", "run.scenes_in_flight=0"], "scenes_in_flight is at least 1"),
    (["eval", "run.seed=-1"], "seed not negative"),
    (["eval", "run.deadline_s=-1"], "deadline_s is positive"),
    (["eval", "page.clips=-1"], "clips is not negative"),
    (["eval", "data.frames=0"], "frames is at least 1"),
    (["eval", "prompt.steps=3"], "plan ends at 1.5 s, scoring needs 3 s"),
    (["eval", "prompt.dt_s=1.0"], "scoring needs one every 0.5 s"),
    (["eval", "data=nuscenes"], "data.root is not set"),
    (["eval", "data=nuscenes", "data.root=/nowhere"], "/nowhere"),
    (["report"], "expected a run folder"),
    (["eval", "prompt.images.cameras=[CAM_FRONT,CAM_BCK]"], "there is no camera CAM_BCK"),
    (["report", "/nowhere"], "no run folder"),
    (["merge", "out=/nowhere"], "expected out=FOLDER and the parts"),
]
WITH_DATA = [
    (["eval", "run.shard=3/2"], "shard"),
    (["eval", "data.split=vall"], "vall"),
    (["eval", "data.roo=x"], "did you mean data.root"),
    (["eval", "vlm=hf"], "vlm.model is not set"),
    (["eval", "vlm=hf", "vlm.model=/nowhere/model"], "/nowhere/model"),
    (["eval", "vlm=recorded", "vlm.run=/nowhere"], "no run folder"),
    (["eval", "prompt.max_tokens=20"], "prompt.max_tokens=20 is too small"),
    (["eval", "prompt.name=/nowhere.jinja"], "/nowhere.jinja"),
    (["eval", "block.prior=swap"], "memory"),
    (["eval", "planner=[stop]", f"out={__file__}"], "cannot be written"),
    (["prompt", "show", "clip=1000000"], "clip=1000000"),
]


@pytest.mark.parametrize(
    ("verb", "settings"),
    [
        ("compare", ("planner:", "protocol:", "fallback:", "out:", "page:")),
        ("table", ("published=", "out=")),
        ("prompt show", ("clip=", "images=", "run=")),
        ("report", ("planner, protocol, fallback and page.clips",)),
        ("merge", ("out=",)),
    ],
)
def test_the_help_of_a_verb_names_its_own_settings(verb: str, settings, capsys):
    assert main([*verb.split(), "--help"]) == 0
    begins = [line.strip() for line in capsys.readouterr().out.splitlines()]
    for setting in settings:
        assert any(line.startswith(setting) for line in begins), setting


@pytest.mark.parametrize(("words", "said"), NO_DATA_NEEDED)
def test_bad_input_ends_in_one_clear_line(words, said, capsys):
    code, _, err = run(words, capsys)
    assert code == 2
    assert said in err.splitlines()[0]


@pytest.mark.parametrize(("words", "said"), WITH_DATA)
def test_bad_input_to_real_data_ends_in_one_clear_line(words, said, capsys):
    code, _, err = run([*words, *flat_words()], capsys)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1


def test_a_report_changes_what_is_scored_and_never_what_was_asked(tmp_path, capsys):
    words = [*flat_words("planner=[constant_velocity,stop]", "page.clips=0"), f"out={tmp_path}"]
    assert run(["eval", *words], capsys)[0] == 0
    code, _, err = run(["report", tmp_path, "protocol=vad", "fallback=ctrv"], capsys)
    assert (code, err) == (0, "")
    assert list(results(tmp_path)["planners"]["stop"]["protocols"]) == ["vad"]
    for override, said in (
        ("block.cameras=blank", 'blocks.cameras was "on", is "blank"'),
        ("run.seed=1", "seed was 0, is 1"),
        ("planner=[ctra]", "holds no decision of ctra"),
        ("vlm=hf", "vlm was chosen when"),
        ("page.clips=[a", "is no value"),
    ):
        code, _, err = run(["report", tmp_path, override], capsys)
        assert (code, err.count("\n")) == (2, 1), err
        assert said in err


def test_a_page_shows_no_request_in_words_that_were_never_sent(tmp_path, capsys):
    words = ["data.scenes=[scene-2001]", "planner=[vlm]", "page.clips=1"]
    words += ["prompt=plan_only", UNTRAINED]
    assert run(["eval", *flat_words(*words), f"out={tmp_path}"], capsys)[0] == 0
    asked = "Ego status"
    assert asked in (tmp_path / "report.html").read_text()
    code, out, _ = run(["report", tmp_path, "prompt.images.width_px=32"], capsys)
    assert (code, "page shows no request" in out) == (0, True)
    assert asked not in (tmp_path / "report.html").read_text()


def test_an_unfinished_part_is_not_merged(tmp_path, capsys):
    words = flat_words("planner=[stop]", "page.clips=0")
    for i in range(2):
        part = f"out={tmp_path}/p{i}"
        assert run(["eval", *words, f"run.shard={i}/2", part], capsys)[0] == 0
    records = tmp_path / "p1" / "records.jsonl"
    records.write_text("".join(records.read_text().splitlines(keepends=True)[:2]))
    out = run(["report", tmp_path / "p1"], capsys)[1]
    assert "not finished: 2 of 9 decisions are made" in out
    folders = [f"{tmp_path}/p{i}" for i in range(2)]
    code, _, err = run(["merge", f"out={tmp_path}/whole", *folders], capsys)
    assert (code, "p1 is not finished" in err) == (2, True)


def test_a_leak_is_marked_where_it_is_shown_and_only_there(tmp_path, capsys):
    words = flat_words("planner=[stop]", "page.clips=0", "data.proposals=oracle")
    words += ["data.command=gt_future", UNTRAINED]
    for k, (block, leaks) in enumerate(
        {
            "block.prior=off": ["proposals: oracle", "command: gt_future"],
            "block.proposals=off": ["command: gt_future"],
        }.items()
    ):
        code, out, _ = run(["eval", *words, block, f"out={tmp_path}/{k}"], capsys)
        assert (code, results(tmp_path / str(k))["leaks"]) == (0, leaks)
        assert ("LEAK proposals" in out) is (len(leaks) == 2)


def test_a_prompt_is_shown_whoever_plans(capsys):
    code, out, err = run(["prompt", "show", *flat_words("planner=[stop]", UNTRAINED)], capsys)
    assert (code, err) == (0, "")
    assert "Ego status" in out


def test_ctrl_c_names_the_folder_that_can_be_resumed(tmp_path, capsys, monkeypatch):
    @dataclass
    class Interrupting(VLMPlanner):
        def decide(self, clip: Clip) -> Decision:
            raise KeyboardInterrupt

    monkeypatch.setattr(parts, "VLMPlanner", Interrupting)
    code, out, err = run(["eval", *flat_words("planner=[vlm]"), f"out={tmp_path}/r"], capsys)
    assert code == 130
    assert "nothing decided so far is lost" in err
    assert f"with out={tmp_path}/r goes on" in out.replace("\n", "")


def test_a_folder_of_another_run_is_refused(tmp_path, capsys):
    words = ["eval", *flat_words("planner=[stop]", "page.clips=0"), f"out={tmp_path}"]
    assert run(words, capsys)[0] == 0
    assert run(words, capsys)[0] == 0  # the same run goes on
    code, _, err = run([*words, "run.seed=1"], capsys)
    assert code == 2
    assert "seed was 0, is 1" in err


def test_help_shows_lines_that_work_when_pasted(capsys):
    for name, verb in VERBS.items():
        code, out, _ = run([*name.split(), "--help"], capsys)
        assert code == 0
        for example in verb.examples:
            assert example in out
            assert example.split()[0] == "drivevlm"
    code, out, _ = run(["eval", "data=nuscenes", "vlm=hf", "--help"], capsys)
    assert code == 0
    for word in ("can_bus", "gt_future", "quantisation", "ego_extrapolate", "uniad_stp3"):
        assert word in out
    for example in VERBS["eval"].examples:
        composed(example.split()[2:])


def test_a_run_keeps_its_own_words_and_every_start(tmp_path, capsys):
    mine = tmp_path / "mine.jinja"
    mine.write_text((asset_folder("prompts") / "plan_only.jinja").read_text())
    words = ["eval", *flat_words("data.scenes=[scene-2001]", "planner=[vlm]", "page.clips=1")]
    words += [f"prompt.name={mine}", f"out={tmp_path}/r", UNTRAINED]
    assert run(words, capsys)[0] == 0
    assert run(words, capsys)[0] == 0
    assert len(read_manifest(tmp_path / "r")["starts"]) == 2
    mine.unlink()
    code, out, err = run(["report", tmp_path / "r"], capsys)
    assert (code, err) == (0, "")
    assert "the prompt was changed" not in out


def test_a_prompt_is_shown_with_the_memory_of_a_run(tmp_path, capsys):
    words = flat_words("data.scenes=[scene-2001]", UNTRAINED)
    assert (
        run(["eval", *words, "planner=[vlm]", "page.clips=0", f"out={tmp_path}/r"], capsys)[0] == 0
    )
    alone = run(["prompt", "show", *words, "clip=3"], capsys)[1]
    code, remembered, err = run(["prompt", "show", *words, "clip=3", f"run={tmp_path}/r"], capsys)
    assert (code, err) == (0, "")
    assert "Your last plan: not available." in alone
    assert "Your plan of 0.5 s ago" in remembered
    record = next(r for r in read_records(tmp_path / "r") if r.clip in remembered)
    assert record.decision.request_digest[:16] in remembered


def test_a_mean_picture_leaves_out_what_cannot_be_read(tmp_path, capsys):
    root = tmp_path / "data"
    shutil.copytree(flat_root(), root)
    sorted((root / "samples" / "CAM_BACK").iterdir())[0].unlink()
    words = ["eval", "data=nuscenes", f"data.root={root}", "data.version=v1.0-flat"]
    words += ["planner=[stop]", "page.clips=0", "block.cameras=mean", f"out={tmp_path}/r"]
    code, _, err = run(words, capsys)
    assert (code, err) == (0, "")
