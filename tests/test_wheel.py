"""What is installed is whole: weights, prompts, configs and templates travel inside the wheel."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.part
def test_the_wheel_runs_without_the_checkout(tmp_path):
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "-w", str(tmp_path), str(ROOT)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    shipped = {path.name for path in (site / "drivevlm" / "_weights" / "tiny").iterdir()}
    assert shipped >= {"config.json", "model.safetensors", "tokenizer.json", "taught.json"}
    assert "NOTICE" in shipped
    words = ["eval", "data=demo_twins", "data.scenes=[random-2/8/jaywalker/536-v9-490]"]
    words += ["planner=[vlm,expert]", "page.clips=1", "out=run", f"data.root={tmp_path}/worlds"]
    where = "import drivevlm, sys; sys.exit('site' not in drivevlm.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    for command in (["-c", where], ["-m", "drivevlm", *words]):
        subprocess.run(
            [sys.executable, *command],
            check=True,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
        )
    assert (tmp_path / "run" / "report.html").exists()
