"""Reference data that some tests read where it is there."""

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("drivevlm", deadline=None)  # how busy a machine is breaks no law
settings.load_profile("drivevlm")

REFERENCE = Path(__file__).parents[2] / "shared" / "reference"


def reference(name: str) -> Path:
    """A folder of the reference data; the test is skipped where it is absent."""
    folder = REFERENCE / name
    if not folder.is_dir():
        pytest.skip(f"reference data {name} is not beside this checkout")
    return folder
