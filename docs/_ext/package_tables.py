"""The directive `package-table`: what the package keeps in tables of its own, as tables of the reference."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective
from table_nodes import code, paragraph, section, table

from pathorob_checks.criteria.document import BUILT_IN
from pathorob_checks.criteria.files import load_profile
from pathorob_checks.metrics import metrics
from pathorob_checks.models.recipes import recipes
from pathorob_checks.plugin import fixtures

_USES = {True: "yes", False: "no", None: "uncertain"}


def metrics_table() -> list[nodes.Node]:
    """Each metric's scale, from its definition."""
    rows = [
        (
            code(one.name),
            one.label,
            f"{one.lowest:g} to {one.highest:g}",
            f"{one.neutral:g}",
            "higher" if one.higher_is_better else "lower",
            f"{one.margin:g}",
        )
        for one in metrics().values()
    ]
    headers = ("Name", "Metric", "Range", "Neutral value", "Better when", "Margin against a baseline")
    return [table(headers, rows)]


def profiles_table() -> list[nodes.Node]:
    """The criteria of each profile, with their rationales."""
    sections = []
    for name in BUILT_IN:
        profile = load_profile(name)
        settings = profile.model_dump(
            mode="json", exclude={"name", "description", "criteria"}, exclude_defaults=True
        )
        written = [paragraph(code(f"{key} = {json.dumps(value)}")) for key, value in settings.items()]
        rows = [
            (
                code(entry.metric),
                f"{entry.direction} {entry.bound}",
                entry.group or entry.aggregate or "the value",
                entry.rationale,
            )
            for entry in profile.criteria
        ]
        content = [paragraph(profile.description), *written]
        criteria = table(("Metric", "Bound", "Of", "Rationale"), rows)
        sections.append(section(f"`{name}`", f"profile-{name}", *content, criteria))
    return sections


def recipes_table() -> list[nodes.Node]:
    """Each recipe: where the FM is, how an embedding is taken, and on what terms."""
    rows = [
        (
            paragraph(code(one.name)),
            paragraph(code(one.repo)),
            f"{one.library}, {one.pooling}, {one.dimension:,} dimensions",
            f"{one.license}, {'gated' if one.gated else 'open'}; commercial use: {_USES[one.commercial]}",
        )
        for one in recipes().values()
    ]
    return [table(("Recipe", "Repository", "Embedding", "License and access"), rows)]


def fixtures_table() -> list[nodes.Node]:
    """Each fixture for tests of users, by its docstring."""
    rows = [
        (code(name), (inspect.getdoc(fixture) or "").replace("\n", " "))
        for name, fixture in vars(fixtures).items()
        if name.startswith("fm_")
    ]
    return [table(("Fixture", "What it gives"), rows)]


TABLES: Mapping[str, Callable[[], list[nodes.Node]]] = {
    "fixtures": fixtures_table,
    "metrics": metrics_table,
    "profiles": profiles_table,
    "recipes": recipes_table,
}


class PackageTable(SphinxDirective):
    """One of `TABLES`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The table's nodes."""
        name = self.arguments[0]
        if name not in TABLES:
            raise ExtensionError(f"there is no table {name}; use one of {', '.join(TABLES)}")
        return TABLES[name]()


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.add_directive("package-table", PackageTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
