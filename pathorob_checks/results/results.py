"""Results in the hands of a user: from a notebook, a script, or a file."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pathorob_checks.errors import ResultsError
from pathorob_checks.files import expanded, read_limited
from pathorob_checks.results.document import SCHEMA, Outcome, ResultsDocument
from pathorob_checks.results.embedded import is_page, results_within
from pathorob_checks.results.explanation import Explanation, explain
from pathorob_checks.results.json_text import strict_json
from pathorob_checks.results.listing import listed, unsound_sentences
from pathorob_checks.results.saving import save_text
from pathorob_checks.results.schema1 import SCHEMA_1, upgraded
from pathorob_checks.results.text import DEFAULT_WIDTH, render_explanation
from pathorob_checks.wording import brief, printable, shortened

if TYPE_CHECKING:
    import pandas as pd

LARGEST = 100_000_000  # bytes of a results file
# The sections of a docstring that say nothing about a file.
_FOR_PYTHON = re.compile(r"\n\n(Raises|See Also|Examples)\n-+\n")
_COLUMNS = ("fm", "method", "cohort", "metric", "quantity", "value", "low", "high", "support", "k")
_MORE_COLUMNS = ("direction", "bound", "verdict", "criterion", "reason")


class Results(ResultsDocument):
    """The results of a run: what `evaluate` returns and what a results file holds.

    Attributes
    ----------
    schema_ : str
        Names this form of the document; `schema` in the file.
    created : datetime.datetime
        When the run ended, with its time zone; in UTC in the file.
    complete : bool
        Every planned check has a value, and no worker was lost.
    outcome : {'pass', 'fail', 'error', 'inconclusive', 'partial'}
        What became of the run, as one word.
    summary : str
        What became of the run, as one sentence.
    environment : Environment
        Where the values were computed, and the terms of the run with their digest.
    metrics : dict of str to MetricFacts
        Facts of every metric that a check is about.
    runs : tuple of Run
        The FM and the cohort of each subject.
    releases : tuple of Release
        The verdict on each FM: its criteria taken together.
    checks : tuple of Check
        Each criterion applied to each subject.
    integrity : tuple of IntegrityCheck
        Tests that the embeddings are a sound measurement.
    other_failures : tuple of str
        Ids of failed tests that are neither.
    problems : tuple of str
        Sentences about what went wrong with the run itself.
    passed : bool
        Whether every planned criterion was measured and met, and every integrity check passed.

    See Also
    --------
    pathorob_checks.evaluate : The function that makes it.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks import Results, evaluate
    >>> here = TemporaryDirectory()
    >>> folder = Path(here.name) / "ours"
    >>> folder.mkdir()
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(4), range(5)],
    ...     names=["medical_center", "biological_class", "slide", "patch_id"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> patches["image_path"] = patches.slide_id + "-" + patches.patch_id.astype(str) + ".png"
    >>> patches.drop(columns="slide").to_csv(folder / "manifest.csv", index=False)
    >>> for name in patches.image_path:  # given embeddings need no images: other bytes can stand in
    ...     _ = (folder / name).write_text(name)
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 16)).astype(np.float32)
    >>> embeddings[:, 0] += 3 * (patches.biological_class == "tumor")
    >>> np.save(folder / "embeddings.npy", embeddings)
    >>> _ = (folder / "ours.toml").write_text('''
    ... schema = "pathorob-checks/criteria/1"
    ... name = "ours"
    ... [[criteria]]
    ... id = "index"
    ... metric = "robustness_index"
    ... at_least = 0.5
    ... rationale = "Biology outweighs the medical center."
    ... ''')
    >>> results = evaluate(
    ...     f"embeddings:{folder}",
    ...     cohorts=folder,
    ...     criteria=folder / "ours.toml",
    ...     cache=folder / "cache",
    ...     progress=False,
    ... )
    >>> results  # doctest: +ELLIPSIS
    <Results: PASS: 1 of 1 criterion met (1 FM, 1 cohort); 5 of 11 integrity checks made; ...>
    >>> results.passed, results.outcome.value
    (True, 'pass')
    >>> results.table()[["fm", "metric", "bound", "verdict"]].values.tolist()
    [['ours', 'robustness_index', 0.5, 'pass']]
    >>> results.explanations()[0].subject
    'robustness index of ours on ours'
    >>> print(results.explain().partition(";")[0])  # the summary alone, because nothing failed
    PASS: 1 of 1 criterion met (1 FM, 1 cohort)
    >>> results.save(folder / "results.json")
    >>> Results.read(folder / "results.json").to_json() == results.to_json()
    True
    >>> Results.from_json(results.to_json()).passed
    True
    >>> here.cleanup()
    """

    @property
    def passed(self) -> bool:
        """Whether every planned criterion was measured and met, and every integrity check passed."""
        return self.outcome is Outcome.PASS

    def table(self) -> pd.DataFrame:
        """Return the checks as a table, a row each.

        Returns
        -------
        pandas.DataFrame
            With the columns fm, method, cohort, metric, quantity, value, low and high (the ends of the
            interval), support, k (the number of neighbors, Int64), direction, bound, verdict, criterion and
            reason. Other numbers are float64; a metric without neighbors has no k and no support.
        """
        import pandas as pd

        rows = []
        for check in self.checks:
            low, high = check.interval or (None, None)
            row: dict[str, Any] = {"low": low, "high": high, "k": check.neighbors}
            for name in (*_COLUMNS, *_MORE_COLUMNS):
                row.setdefault(name, getattr(check, name, None))
            row["verdict"] = str(check.verdict)
            rows.append(row)
        table = pd.DataFrame(rows, columns=[*_COLUMNS, *_MORE_COLUMNS])
        kinds = dict.fromkeys(("value", "low", "high", "support", "bound"), "float64")
        return table.astype({**kinds, "k": "Int64"})

    def explanations(self) -> tuple[Explanation, ...]:
        """Return what each check's verdict means, in the order of `checks`.

        Returns
        -------
        tuple of Explanation
            One for each check, whatever its verdict.
        """
        return tuple(explain(check) for check in self.checks)

    def explain(self, width: int = DEFAULT_WIDTH) -> str:
        """Return what the verdicts mean that are not `pass`, as text; the summary alone where all are.

        Parameters
        ----------
        width : int, optional
            Of the lines, in characters.

        Returns
        -------
        str
            The summary, then a paragraph for each check and each integrity check that did not pass.
        """
        parts = [render_explanation(one, width) for one in self.explanations() if one.verdict != "pass"]
        return "\n\n".join([printable(self.summary), *parts, *unsound_sentences(self)])

    def to_json(self) -> str:
        """Return the content of a results file: strict JSON, without images of patches.

        Returns
        -------
        str
            Valid by the JSON Schema that `pathorob-checks schema` prints.

        Raises
        ------
        ResultsError
            A number is not finite, which only a changed copy of results can hold.
        """
        content = self.model_dump(mode="json", by_alias=True, exclude={"runs": {"__all__": {"images"}}})
        try:
            return json.dumps(content, allow_nan=False, indent=2) + "\n"
        except ValueError:
            raise ResultsError(
                "the results cannot be written as JSON, because a number in them is not finite",
                remedy="leave the field without a value (None)",
            ) from None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the results file, whole or not at all; missing folders are made.

        Parameters
        ----------
        path : str or path-like
            The file; one that exists is replaced.

        Raises
        ------
        ResultsError
            The file cannot be written, or a number is not finite.
        """
        save_text(path, self.to_json(), "results file")

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Results:
        """Read a results file, or the results that an HTML report holds.

        Parameters
        ----------
        path : str or path-like
            A file that `save`, `--fm-json` or `--fm-html` wrote.

        Returns
        -------
        Results
            As they were saved; `created` is kept to the second.

        Raises
        ------
        ResultsError
            It cannot be read, or is not a results file of this version.
        """
        try:
            content = read_limited(expanded(path), LARGEST)
            if is_page(content):
                content = results_within(content)
        except (OSError, ValueError, RuntimeError) as error:
            raise ResultsError(
                f"the results file {path} cannot be read ({getattr(error, 'strerror', None) or error})",
                remedy="give a file that --fm-json, --fm-html or Results.save wrote",
            ) from None
        return cls.from_json(content, str(path))

    @classmethod
    def from_json(cls, content: str | bytes, name: str = "results") -> Results:
        """Read the content of a results file.

        Parameters
        ----------
        content : str or bytes
            Of the file.
        name : str, default 'results'
            For messages.

        Returns
        -------
        Results
            As they were saved; `created` is kept to the second.

        Raises
        ------
        ResultsError
            It is not a results file of this version.
        """
        remedy = "give a file that --fm-json or Results.save wrote, or measure again"
        try:
            document = strict_json(content)
            schema = document.get("schema") if isinstance(document, dict) else None
            if schema is None:
                raise ValueError("it has no key 'schema'")
            if schema == SCHEMA_1:
                document = upgraded(document)
            elif schema != SCHEMA:
                raise ResultsError(f"{name} has the schema {shortened(schema)}, not {SCHEMA}", remedy=remedy)
            # Strict, and as JSON: "NaN" is no number and "1" neither.
            return cls.model_validate_json(json.dumps(document, allow_nan=False), strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"])) or "the document"
            problem = f"{name} is damaged ({brief(place)}: {brief(first['msg'])})"
        except RecursionError:
            problem = f"{name} is nested too deeply"
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            problem = f"{name} is not a results file ({brief(str(error)) or type(error).__name__})"
        raise ResultsError(printable(problem), remedy=remedy)

    def _repr_html_(self) -> str:
        from pathorob_checks.results.notebook import html_of

        return html_of(self)

    def __repr__(self) -> str:
        return printable(f"<Results: {self.summary}>")

    def __str__(self) -> str:
        return listed(self)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a results file; of a docstring it has what a reader of files needs."""
    schema = ResultsDocument.model_json_schema(by_alias=True, mode="serialization")
    for one in (schema, *schema["$defs"].values()):
        if "description" in one:
            one["description"] = _FOR_PYTHON.split(one["description"], maxsplit=1)[0]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Results"}
