"""The rooms of the package, and what loading the plugin costs its users."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pathorob_checks

PACKAGE = Path(pathorob_checks.__file__).parent
# Which rooms a room may import from (docs/architecture.md draws it); the plugin may use all of them.
ALLOWED = {
    "numerics": set(),
    "metrics": {"numerics"},
    "methods": {"numerics"},
    "criteria": {"metrics"},
    "results": {"criteria", "methods", "metrics"},
    "figures": {"results", "criteria", "methods", "metrics"},
    "report": {"figures", "results", "criteria", "methods", "metrics"},
    "history": {"results", "criteria", "metrics"},
    "models": {"numerics"},
    "cohorts": set(),
    "embeddings": {"models", "cohorts", "methods"},
    "importing": {"cohorts", "embeddings"},
    "evaluation": {"models", "cohorts", "embeddings", "methods", "metrics", "criteria", "results"},
    "evidence": {
        "metrics",
        "criteria",
        "results",
        "report",
        "figures",
        "models",
        "cohorts",
        "embeddings",
        "evaluation",
    },
    "commands": {
        "models",
        "cohorts",
        "embeddings",
        "metrics",
        "criteria",
        "results",
        "evaluation",
        "figures",
        "report",
        "history",
        "evidence",
        "importing",
        "methods",
    },
}
NOT_A_LAYER = {"plugin", "suites"}
# Modules beside the rooms, which all of them share; they import none of the rooms.
SHARED = {
    "errors",
    "console",
    "hub",
    "hub_failures",
    "hub_requests",
    "sizes",
    "files",
    "nearby",
    "canonical",
    "subsets",
    "cpus",
    "progress",
    "pretraining",
    "width",
    "wording",
    "version",
}
ENTRY = {"__init__", "__main__", "cli"}


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
    return {part[1] for part in parts} - SHARED


def test_dependencies_point_one_way():
    checked = 0
    for room, allowed in ALLOWED.items():
        for path in sorted((PACKAGE / room).rglob("*.py")):
            assert rooms_imported(path) <= allowed | {room}, path.name
            checked += 1
    assert checked > 20


def test_every_room_and_module_has_its_place():
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert rooms == set(ALLOWED) | {"plugin"}
    assert {path.stem for path in PACKAGE.glob("*.py")} == SHARED | ENTRY
    for module in SHARED:
        assert rooms_imported(PACKAGE / f"{module}.py") <= set(), module


def test_the_page_on_the_architecture_names_every_room_and_its_imports():
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text()
    for room, allowed in ALLOWED.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{room}/`"))
        imported = {name for name in ALLOWED if f"`{name}`" in row.split("|")[3]}
        assert imported == allowed, room


def test_only_the_plugin_imports_pytest():
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name not in NOT_A_LAYER:
            assert "import pytest" not in path.read_text(), path.name


def test_loading_the_plugin_imports_nothing_heavy():
    heavy = ("torch", "pandas", "sklearn", "timm", "numpy", "scipy", "huggingface_hub", "pydantic")
    program = (
        "import sys, pathorob_checks, pathorob_checks.plugin.hooks\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
