"""Kind: embeddings that are no sound measurement pass because nothing looks at their integrity."""

from __future__ import annotations

import numpy as np
import pytest
from attack import Attack, assert_not_passed, rows_of, write_embeddings

CONFTESTS = {
    "skips them": """
import pytest
def pytest_collection_modifyitems(items):
    for item in items:
        if "integrity" in item.nodeid:
            item.add_marker(pytest.mark.skip(reason="slow"))
""",
    "xfails them": """
import pytest
def pytest_collection_modifyitems(items):
    for item in items:
        if "integrity" in item.nodeid:
            item.add_marker(pytest.mark.xfail(reason="known"))
""",
    "drops them": "def pytest_collection_modifyitems(items):\n"
    "    items[:] = [item for item in items if 'integrity' not in item.nodeid]\n",
    "deselects them": """
def pytest_collection_modifyitems(config, items):
    config.hook.pytest_deselected(items=[item for item in items if "integrity" in item.nodeid])
    items[:] = [item for item in items if "integrity" not in item.nodeid]
""",
    "ignores their file": "def pytest_ignore_collect(collection_path):\n"
    "    return True if 'integrity' in collection_path.name else None\n",
    "collects nothing from their file": """
import pytest
@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path, parent):
    if "integrity" in module_path.name:
        return pytest.Dir.from_parent(parent, path=module_path.parent / "none")
""",
}
FILES = {
    "python_functions": "[pytest]\npython_functions = test_robust*\n",
    "python_files": "[pytest]\npython_files = test_robust*.py\n",
    "addopts with -k": "[pytest]\naddopts = -k robustness\n",
    "addopts with a packaged file": "[pytest]\naddopts = suites/test_robustness_index.py\n",
    "addopts with --deselect": "[pytest]\naddopts = --deselect suites/test_embedding_integrity.py\n",
    "addopts with --ignore-glob": "[pytest]\naddopts = --ignore-glob=*integrity*\n",
    "testpaths": "[pytest]\ntestpaths = suites/test_robustness_index.py\n",
}
COMMANDS = {
    "-k": ("-k", "not integrity"),
    "a node id": ("suites/test_robustness_index.py",),
    "--deselect": ("--deselect", "suites/test_embedding_integrity.py"),
}


@pytest.fixture
def line(attack: Attack) -> Attack:
    """The same with embeddings `line` that lie on one line and follow biology: they are collapsed."""
    rows = rows_of(attack.folder / "coh")
    rng = np.random.default_rng(0)
    side = np.array([1.0 if row["biological_class"] == "tumor" else -1.0 for row in rows])
    values = np.outer(side + rng.normal(size=len(rows)) * 0.2, rng.normal(size=16))
    write_embeddings(attack.folder / "line", rows, values.astype(np.float32))
    return attack


def test_collapsed_embeddings_fail(line: Attack) -> None:
    outcome = line.run(fm="embeddings:line")
    assert_not_passed(outcome)
    assert "test_not_collapsed" in outcome.headline


@pytest.mark.parametrize("way", CONFTESTS)
def test_a_conftest(way: str, line: Attack) -> None:
    line.write("conftest.py", CONFTESTS[way])
    outcome = line.run(fm="embeddings:line")
    assert_not_passed(outcome)
    made = "test_not_collapsed[line-coh]" in outcome.headline
    assert outcome.results is not None
    assert outcome.results["complete"] is made


@pytest.mark.parametrize("way", FILES)
def test_a_configuration_file(way: str, line: Attack) -> None:
    line.write("pytest.ini", FILES[way])
    assert_not_passed(line.run(fm="embeddings:line"))


@pytest.mark.parametrize("arguments", ["-k robustness", "suites/test_robustness_index.py"])
def test_a_variable_of_the_environment(arguments: str, line: Attack) -> None:
    assert_not_passed(line.run(fm="embeddings:line", PYTEST_ADDOPTS=arguments))


def test_the_report_names_what_left_checks_out(line: Attack) -> None:
    line.write("pytest.ini", FILES["addopts with -k"])
    outcome = line.run(fm="embeddings:line")
    sentence = "11 checks were deselected by addopts, PYTEST_ADDOPTS, a conftest.py or a plugin"
    assert sentence in " ".join(outcome.output.split())


@pytest.mark.parametrize("way", COMMANDS)
def test_the_command_line_makes_it_partial_and_never_complete(way: str, line: Attack) -> None:
    outcome = line.run(*COMMANDS[way], fm="embeddings:line")
    assert (outcome.code, outcome.headline.split(":")[0]) == (0, "PARTIAL"), outcome.output
    assert outcome.headline.endswith("11 integrity checks left out")
    assert outcome.results is not None
    assert (outcome.results["outcome"], outcome.results["complete"]) == ("partial", False)
    assert_not_passed(line.run(*COMMANDS[way], "--fm-require-complete", fm="embeddings:line"))


TYPED = {
    "all of them": ("suites",),
    "two files": ("suites/test_robustness_index.py", "suites/test_embedding_integrity.py"),
    "two tests": (
        "suites/test_robustness_index.py",
        "suites/test_embedding_integrity.py::test_not_collapsed",
    ),
    "a keyword that all have": ("-k", "test"),
    "another test": ("--deselect", "test_other.py"),
    "what failed": ("-p", "cacheprovider", "--lf"),
    "from what failed on": ("-p", "cacheprovider", "-p", "stepwise", "--sw"),
}
DESELECTS = CONFTESTS["deselects them"]


@pytest.mark.parametrize("way", TYPED)
@pytest.mark.parametrize("who", ["conftest.py", "pytest.ini"])
def test_what_is_typed_is_no_excuse_for_what_something_else_leaves_out(
    who: str, way: str, line: Attack
) -> None:
    line.write(who, DESELECTS if who == "conftest.py" else FILES["addopts with --deselect"])
    if who == "pytest.ini" and "--deselect" in TYPED[way]:
        line.write(who, "[pytest]\naddopts = -m fm_metric\n")
    outcome = line.run(*TYPED[way], fm="embeddings:line")
    assert_not_passed(outcome)
    assert "never ran" in outcome.headline


@pytest.mark.slow
def test_workers_do_not_excuse_it_either(line: Attack) -> None:
    line.write("pytest.ini", "[pytest]\naddopts = -m fm_metric\n")
    assert_not_passed(line.run("-n1", "-k", "test", fm="embeddings:line"))
    outcome = line.run("-n1", "-k", "not integrity", "-o", "addopts=", fm="embeddings:line")
    assert (outcome.code, outcome.headline.split(":")[0]) == (0, "PARTIAL"), outcome.output
