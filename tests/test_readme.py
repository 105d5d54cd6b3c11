"""The README's commands that need no licensed data, model or install are run, in their order."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from drivevlm.app import main

README = Path(__file__).parents[1] / "README.md"


def commands() -> list[str]:
    lines = [line.strip() for line in README.read_text().splitlines() if line.startswith("    ")]
    return [line.split("  #")[0].rstrip() for line in lines if line.startswith("drivevlm ")]


def runs_on(words: list[str]) -> bool:
    """Whether it is a node that goes on until it is stopped."""
    ends = ("seconds=", "parameters=", "check=")
    return words[0] == "node" and not any(word.startswith(ends) for word in words)


@contextmanager
def running(words: list[str]) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-m", "drivevlm", *words]) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_the_readme_has_commands_to_run():
    assert len([c for c in commands() if "/data/" not in c]) >= 8


@pytest.mark.part
def test_every_command_of_the_readme_works(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    with ExitStack() as other_terminal:
        for command in commands():
            if "/data/" in command or "/path/" in command:
                continue
            words = shlex.split(command)[1:]
            if words[0] != "replay":
                other_terminal.close()
            if runs_on(words):
                other_terminal.enter_context(running(words))
                continue
            assert main(words) == 0, command
            capsys.readouterr()
    assert (tmp_path / "runs" / "whole" / "report.html").exists()
    pictures = list((tmp_path / "runs" / "pictures").glob("*.png"))
    assert len(pictures) == 7  # six cameras now, and what the front one saw before
