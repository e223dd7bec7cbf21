"""The rooms of the package, and what loading the plugin costs its users."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pathorob_checks

PACKAGE = Path(pathorob_checks.__file__).parent
# Which rooms a room may import from; the plugin may use all of them.
ALLOWED = {
    "numerics": set(),
    "metrics": {"numerics"},
    "criteria": {"metrics"},
    "report": {"criteria", "metrics"},
    "models": set(),
    "cohorts": set(),
    "embeddings": {"models", "cohorts"},
    "commands": {"models", "cohorts", "embeddings", "criteria", "report"},
}
FREE = {"canonical", "cpus", "errors", "files", "hub", "progress", "resources", "sizes"}


def rooms_imported(path: Path) -> set[str]:
    """Rooms named in the imports of a module that run (not those for type checkers)."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    modules = [
        node.module or "" if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    ]
    parts = [module.split(".") for module in modules if module.startswith("pathorob_checks.")]
    return {part[1] for part in parts} - FREE


def test_dependencies_point_one_way():
    checked = 0
    for room, allowed in ALLOWED.items():
        for path in sorted((PACKAGE / room).rglob("*.py")):
            assert rooms_imported(path) <= allowed | {room}, path.name
            checked += 1
    assert checked > 20


def test_only_the_plugin_imports_pytest():
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name != "plugin":
            assert "import pytest" not in path.read_text(), path.name


def test_loading_the_plugin_imports_nothing_heavy():
    heavy = ("torch", "pandas", "sklearn", "timm", "numpy", "scipy", "huggingface_hub", "pydantic")
    program = (
        "import sys, pathorob_checks, pathorob_checks.plugin.hooks\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
