"""Rules of the house that no linter knows."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(
    path
    for folder in ("drivevlm", "ros_nodes", "sim", "tests")
    for path in (ROOT / folder).rglob("*.py")
)
HUMBLE = (3, 10)
LONGEST_MODULE = 400
LONGEST_FUNCTION = 80


def test_there_are_files_to_look_at():
    assert len(FILES) > 80


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short_and_speaks_the_python_of_ros_humble(path):
    text = path.read_text()
    assert text.count("\n") <= LONGEST_MODULE
    tree = ast.parse(text, feature_version=HUMBLE)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert (node.end_lineno or 0) - node.lineno <= LONGEST_FUNCTION, node.name
        if isinstance(node, (ast.Import, ast.ImportFrom)) and "tests" not in path.parts:
            names = {getattr(node, "module", None), *(alias.name for alias in node.names)}
            assert not names & {"pickle", "StrEnum", "Self", "tomllib", "UTC"}, names


@pytest.mark.parametrize("module", ["drivevlm", "drivevlm.world.clip", "drivevlm.app"])
def test_an_import_wakes_neither_torch_nor_ros_nor_the_devkit(module):
    heavy = "{'torch', 'transformers', 'rclpy', 'nuscenes', 'matplotlib'}"
    code = f"import sys, {module}; sys.exit(bool({heavy} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
