"""Who ran what: the facts that stand beside every figure of a run."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from drivevlm.record.decision_json import Json
from drivevlm.record.run_folder import FORMAT

PACKAGES = (
    "drivevlm",
    "torch",
    "transformers",
    "numpy",
    "nuscenes-devkit",
    "opencv-python-headless",
    "shapely",
    "llguidance",
)


def manifest(*, identity: Mapping[str, Any], now: datetime, command: Sequence[str]) -> Json:
    """The content of ``run.json``. Every further start of the run adds one to its ``starts``.

    Args:
        identity: All that decides the decisions: configuration, data digest, prompt digest, model
            revision, shard. A folder is resumed only by a run of the same identity.
        now: When the run starts.
        command: The command line.
    """
    return {
        "format": FORMAT,
        "identity": dict(identity),
        "config_digest": digest_of(identity),
        "starts": [
            {
                "started": now.isoformat(timespec="seconds"),
                "command": list(command),
                "git": git_state(Path(__file__).parent),
                "environment": environment(),
            }
        ],
    }


def digest_of(value: Any) -> str:
    """SHA-256 of a nested value of plain types."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def git_state(folder: Path) -> dict[str, Any]:
    """Commit and dirty flag of the checkout that holds ``folder``; None where there is none."""

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # An installed package may lie inside somebody else's checkout: that is not our commit.
    if git("ls-files", "--error-unmatch", str(Path(__file__))) is None:
        return {"commit": None, "dirty": None}
    changes = git("status", "--porcelain", "--untracked-files=no")
    return {"commit": git("rev-parse", "HEAD"), "dirty": None if changes is None else changes != ""}


def environment() -> dict[str, Any]:
    """Interpreter, machine and the packages that can change a figure."""
    packages: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": packages,
        "gpu": _gpu(),
    }


def _gpu() -> str | None:
    """The GPU at hand, where a model has woken torch; None without one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return str(torch.cuda.get_device_name())
