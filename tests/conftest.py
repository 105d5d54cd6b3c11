"""Reference data that some tests read where it is there."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Workers share the cores: torch threads that outnumber those wait for each other for long.
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // _WORKERS)))
settings.register_profile("drivevlm", deadline=None)  # how busy a machine is breaks no law
settings.load_profile("drivevlm")

REFERENCE = Path(__file__).parents[2] / "shared" / "reference"


def reference(name: str) -> Path:
    """A folder of the reference data; the test is skipped where it is absent."""
    folder = REFERENCE / name
    if not folder.is_dir():
        pytest.skip(f"reference data {name} is not beside this checkout")
    return folder
