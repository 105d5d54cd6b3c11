import io
import json
from pathlib import Path

import pytest
from report_cases import every_kind, results, score
from rich.console import Console

from drivevlm.app import main
from drivevlm.build.settings import SettingError
from drivevlm.record.run_folder import RecordError
from drivevlm.report.published import published_under
from drivevlm.report.run_blocks import Run, blocks_of
from drivevlm.report.run_table import NOT_OURS
from drivevlm.verbs.table import table

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def folder(path: Path, told: dict, *, commit: str = COMMIT) -> Path:
    path.mkdir(parents=True)
    (path / "results.json").write_text(json.dumps(told))
    if commit:
        start = {"git": {"commit": commit, "dirty": False}}
        manifest = {"format": 1, "identity": {}, "starts": [start]}
        (path / "run.json").write_text(json.dumps(manifest))
    return path


def scored_plans() -> dict:
    """What scoring a plan file writes: the same form, with no prompt."""
    told = results()
    del told["prompt"]
    told["plan_file"], told["leaks"] = {"name": "mine.json", "sha256": "feedbeef" * 8}, []
    mine = {**told["planners"]["drivevlm"], "label": "mine.json", "untrained": False, "model": None}
    told["planners"] = {"plans": mine}
    return told


def val(n: int = 5119) -> dict:
    """A run over nuScenes val, scored by VAD's protocol."""
    told = results()
    told["data"] = {**told["data"], "name": "nuscenes v1.0-trainval val", "digest": "a1"}
    told["synthetic"], told["leaks"] = False, []
    scores = {"vad": score(n, 6019, (0.4, 0.7, 1.0, 0.7), (0.001, 0.002, 0.004, 0.0023))}
    told["planners"] = {"mine": {"label": "mine", "model": None, "protocols": scores}}
    return told


def shown(folders: list[Path], *, width: int = 160, **options) -> str:
    out = io.StringIO()
    table(folders, Console(file=out, width=width), **options)
    return out.getvalue()


def test_one_table_holds_the_rows_of_all_runs_with_the_files_beside_the_first(tmp_path):
    folders = [folder(tmp_path / "a", results()), folder(tmp_path / "b", scored_plans(), commit="")]
    out = io.StringIO()
    path = table(folders, Console(file=out, width=160))
    assert path == tmp_path / "table.md"
    text = out.getvalue()
    for words in ("embedded tiny-vlm untrained LEAK", "mine.json", "commit 01234567", "synthetic"):
        assert words in text
    assert "| embedded tiny-vlm untrained LEAK | a | 01234567 | base 3f2a91c0 |" in path.read_text()
    assert "| mine.json | b | - | mine.json feedbeef |" in path.read_text()


def test_what_was_noted_of_a_plan_file_stands_below_the_table(tmp_path):
    told = scored_plans()
    told["plan_file"]["notes"] = ["the plans look as if in other axes"]
    folders = [folder(tmp_path / "a", results()), folder(tmp_path / "b", told, commit="")]
    assert "b: the plans look as if in other axes" in shown(folders)


def test_a_scored_plan_file_says_by_which_commit_it_was_scored(tmp_path):
    told = {**scored_plans(), "commit": COMMIT + " + uncommitted changes"}
    path = folder(tmp_path / "a", told, commit="")
    assert "commit 01234567 + uncommitted changes" in shown([path])


def test_the_json_holds_unrounded_numbers_with_whose_they_are(tmp_path):
    out = tmp_path / "files"
    shown([folder(tmp_path / "a", every_kind())], out=out)
    told = json.loads((out / "table.json").read_text())
    (row, *_) = told["protocols"]["uniad"]["rows"]
    assert (row["run"], row["label"], row["marks"]) == (
        *("a", "embedded tiny-vlm"),
        ["untrained", "LEAK"],
    )
    assert row["scores"]["l2_m"]["avg"] == 1.4766
    assert told["runs"]["a"]["data"]["digest"] == "f00d"


def test_a_protocols_further_figures_stand_in_its_own_block(tmp_path):
    text = shown([folder(tmp_path / "a", every_kind())])
    exact, light = text.index("\nexact"), text.index("\nlightemma")
    assert exact < text.index("drivable") < light < text.index("ADE")


def test_published_figures_join_the_block_of_their_own_protocol_only():
    told = val()
    told["planners"]["mine"]["protocols"]["uniad"] = score(6019, 6019, (1.0,) * 4, (0.0,) * 4)
    blocks = {b.protocol: b for b in blocks_of([Run("a", told)], published="vad")}
    assert [row.method for row in blocks["vad"].published] == ["VAD-Tiny", "VAD-Base"]
    assert blocks["uniad"].published == ()
    assert all(b.published == () for b in blocks_of([Run("a", told)]))


def test_published_figures_are_set_apart_and_say_where_they_stand(tmp_path):
    text = shown([folder(tmp_path / "a", val())], published="vad")
    ours, theirs = text.index(" mine "), text.index("VAD-Tiny")
    assert ours < theirs
    assert f"{NOT_OURS}:\n  VAD-Tiny: github.com/hustvl/VAD README" in text
    assert f"| VAD-Base | {NOT_OURS} |" in (tmp_path / "table.md").read_text()


@pytest.mark.parametrize(
    ("told", "warned"),
    [
        (val(), ""),
        (val(5118), "a: 5118 clips of nuscenes v1.0-trainval val are scored"),
        (results(), "a: 102 clips of demo flat are scored"),
    ],
    ids=["val", "a clip too few", "other data"],
)
def test_published_figures_come_with_a_warning_where_they_do_not_compare(told, warned):
    (block,) = [b for b in blocks_of([Run("a", told)], published="vad") if b.protocol == "vad"]
    said = " ".join(block.warnings)
    assert said.startswith(warned)
    assert ("the published rows are of 5119 clips of nuScenes val" in said) == bool(warned)


def test_rows_of_different_data_say_of_which_they_are():
    other = results()
    other["data"]["digest"] = "beef0123456789"
    mixed = blocks_of([Run("a", results()), Run("b", other)])[0]
    assert mixed.mixed
    assert mixed.warnings == ("rows are of different data: compare only those of the same",)
    assert not blocks_of([Run("a", results()), Run("b", results())])[0].mixed


def test_the_column_of_the_data_is_there_only_where_it_differs(tmp_path):
    other = results()
    other["data"]["digest"] = "beef0123456789"
    a, b = folder(tmp_path / "a", results()), folder(tmp_path / "b", other)
    assert "demo flat beef0123" in shown([a, b])
    assert "demo flat f00d" not in shown([a, folder(tmp_path / "c", results())])


@pytest.mark.parametrize("width", [200, 110, 50])
def test_no_width_hides_a_row(tmp_path, width):
    folders = [folder(tmp_path / "a", val()), folder(tmp_path / "b", every_kind())]
    text = " ".join(shown(folders, width=width, published="vad").split())
    for words in ("VAD-Base", "0.72", "mine", "drivable", "4.00", "ADE", "1.71", "10"):
        assert words in text


def test_two_folders_of_one_name_go_by_their_paths(tmp_path):
    a = folder(tmp_path / "monday" / "run", results())
    b = folder(tmp_path / "tuesday" / "run", results())
    text = " ".join(shown([a, b], out=tmp_path, width=400).split())
    assert f"{a} demo flat" in text
    assert f"{b} demo flat" in text


def test_an_unfinished_run_is_said_to_be_one(tmp_path):
    told = {**results(), "decisions": {"made": 3, "wanted": 10}}
    assert "a is not finished: 3 of 10 decisions" in shown([folder(tmp_path / "a", told)])


def test_what_is_no_run_or_has_no_results_is_refused_in_one_line(tmp_path):
    none, begun, torn, mute = (tmp_path / name for name in ("none", "begun", "torn", "mute"))
    folder(begun, {})
    (begun / "results.json").unlink()
    folder(torn, {})
    (torn / "results.json").write_text('{"format": 1, ')
    folder(mute, {**results(), "planners": {"mine": {"protocols": {}}}})
    for path, words in (
        (none, "none is no run folder: it has no results.json"),
        (begun, f"has no results.json yet: finish it, or make them: drivevlm report {begun}"),
        (torn, "results.json cannot be read"),
        (mute, "no plan is scored there"),
    ):
        with pytest.raises(RecordError, match=words) as error:
            shown([path])
        assert "\n" not in str(error.value)


def test_a_tag_that_adds_nothing_is_refused_with_what_there_is(tmp_path):
    run = folder(tmp_path / "a", val())
    for tag, words in (
        ("vda", "published=vda is no protocol, did you mean vad?"),
        ("l2_mean", "published=l2_mean is no protocol here, so nothing compares"),
        ("lightemma", "published=lightemma has no figures published first-hand"),
        ("stp3", r"no run was scored under it \(they have vad\)"),
    ):
        with pytest.raises(SettingError, match=words):
            shown([run], published=tag)
    assert published_under("stp3")
    assert not (tmp_path / "table.md").exists()


def test_one_folder_named_twice_is_refused(tmp_path):
    run = folder(tmp_path / "a", val())
    with pytest.raises(SettingError, match="is named twice"):
        shown([run, tmp_path / "b" / ".." / "a"])


def test_the_last_line_of_the_verb_is_the_path_that_was_written(tmp_path, capsys):
    run = folder(tmp_path / "a", val())
    assert main(["table", str(run), "published=vad", f"out={tmp_path / 'files'}"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "files" / "table.md")


@pytest.mark.parametrize("words", [[], ["publish=vad", "runs/a"]], ids=["no folder", "a typo"])
def test_the_verb_says_what_it_expects(capsys, words):
    assert main(["table", *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("drivevlm table: expected run folders, published=PROTOCOL")
    assert said.count("\n") == 1
