"""The page of twin pairs."""

from __future__ import annotations

from pathlib import Path

from flat_world import flat_words
from twin_world import VERSION, write_twins

from drivevlm.app import main


def twins(root: Path, *words: str) -> int:
    given = ["data=nuscenes", f"data.root={root}", f"data.version={VERSION}"]
    return main(["twins", *given, *words])


def test_both_sides_of_each_pair_are_shown_with_both_futures(tmp_path: Path, capsys):
    root = write_twins(tmp_path / "data", pairs=2)
    assert twins(root, f"out={tmp_path}/t") == 0
    assert capsys.readouterr().out.rstrip().splitlines()[-1] == f"{tmp_path}/t/twins.html"
    page = (tmp_path / "t" / "twins.html").read_text()
    assert page.count('<section class="pair">') == 2
    assert page.count('href="data:image/jpeg') == 4
    assert "jaywalker, oak: pedestrian 10 m away, 20 pixels of CAM_FRONT" in page
    assert "the twin&#39;s future" in page


def test_fewer_pairs_can_be_asked_for(tmp_path: Path):
    root = write_twins(tmp_path / "data", pairs=2)
    twins(root, f"out={tmp_path}/t", "page.clips=1")
    assert (tmp_path / "t" / "twins.html").read_text().count('<section class="pair">') == 1


def test_data_without_twins_are_refused_in_one_line(tmp_path: Path, capsys):
    assert main(["twins", *flat_words(f"out={tmp_path}/t")]) == 2
    error = capsys.readouterr().err
    assert "holds no twins" in error
    assert error.count("\n") == 1
