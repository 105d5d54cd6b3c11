"""The README's commands that need no licensed data, model or install are run, in their order."""

import shlex
from pathlib import Path

import pytest

from drivevlm.app import main

README = Path(__file__).parents[1] / "README.md"


def commands() -> list[str]:
    lines = [line.strip() for line in README.read_text().splitlines() if line.startswith("    ")]
    return [line.split("  #")[0].rstrip() for line in lines if line.startswith("drivevlm ")]


def test_the_readme_has_commands_to_run():
    assert len([c for c in commands() if "/data/" not in c]) >= 8


@pytest.mark.part
def test_every_command_of_the_readme_works(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for command in commands():
        if "/data/" in command or "/path/" in command:
            continue
        assert main(shlex.split(command)[1:]) == 0, command
        capsys.readouterr()
    assert (tmp_path / "runs" / "whole" / "report.html").exists()
    assert len(list((tmp_path / "runs" / "pictures").glob("*.png"))) == 6
