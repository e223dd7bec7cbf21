"""Results in the hands of a user: from a notebook, a script, or a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pathorob_checks.errors import CacheError
from pathorob_checks.files import write_atomically
from pathorob_checks.results.document import SCHEMA, Outcome, ResultsDocument
from pathorob_checks.results.explanation import Explanation, explain
from pathorob_checks.results.schema1 import SCHEMA_1, upgraded
from pathorob_checks.results.text import DEFAULT_WIDTH, render_explanation
from pathorob_checks.wording import printable, shortened

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("fm", "method", "cohort", "metric", "quantity", "value", "low", "high", "support", "direction")
_MORE_COLUMNS = ("bound", "verdict", "criterion", "reason")


class Results(ResultsDocument):
    """The results of a run: what `evaluate` returns and what a results file holds.

    Examples
    --------
    >>> from pathorob_checks import evaluate
    >>> results = evaluate("demo:stain-invariant", progress=False)  # doctest: +SKIP
    >>> results.passed  # doctest: +SKIP
    True
    """

    @property
    def passed(self) -> bool:
        """Whether every planned criterion was measured and met, and every integrity check passed."""
        return self.outcome is Outcome.PASS

    def table(self) -> pd.DataFrame:
        """The checks as a table, a row each.

        Returns
        -------
        pandas.DataFrame with the columns fm, method, cohort, metric, quantity, value, low and high (the ends
        of the interval), support, direction, bound, verdict, criterion and reason.
        """
        import pandas as pd

        rows = []
        for check in self.checks:
            low, high = check.interval or (None, None)
            row: dict[str, Any] = {"low": low, "high": high}
            for name in (*_COLUMNS, *_MORE_COLUMNS):
                row.setdefault(name, getattr(check, name, None))
            row["verdict"] = str(check.verdict)
            rows.append(row)
        table = pd.DataFrame(rows, columns=[*_COLUMNS, *_MORE_COLUMNS])
        return table.astype(dict.fromkeys(("value", "low", "high", "support", "bound"), float))

    def explanations(self) -> tuple[Explanation, ...]:
        """What each check's verdict means, in the order of `checks`."""
        return tuple(explain(check) for check in self.checks)

    def explain(self, width: int = DEFAULT_WIDTH) -> str:
        """What the verdicts mean that are not `pass`, as text; the summary alone where all are."""
        parts = [render_explanation(one, width) for one in self.explanations() if one.verdict != "pass"]
        parts += [
            f"{check.name} of {check.fm} on {check.cohort}: {check.verdict}: {check.reason}"
            for check in self.integrity
            if check.verdict not in ("pass", "skipped")
        ]
        return "\n\n".join([self.summary, *parts])

    def to_json(self) -> str:
        """The content of a results file: strict JSON."""
        content = self.model_dump(mode="json", by_alias=True)
        return json.dumps(content, allow_nan=False, indent=2) + "\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the results file, whole or not at all; missing folders are made.

        Raises
        ------
        CacheError : the file cannot be written.
        """
        target = Path(path)
        if target.exists() and not target.is_file():
            raise CacheError(f"the results file {path} is not a regular file", remedy="name a file")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, self.to_json().encode("ascii"))
        except (OSError, ValueError) as error:
            raise CacheError(
                f"the results file {path} cannot be written ({getattr(error, 'strerror', None) or error})",
                remedy="name a file in a folder that you may write to",
            ) from None

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Results:
        """Read a results file.

        Raises
        ------
        CacheError : it cannot be read, or is not a results file of this version.
        """
        try:
            content = Path(path).expanduser().read_bytes()
        except OSError as error:
            raise CacheError(
                f"the results file {path} cannot be read ({error.strerror or error})",
                remedy="give a file that --fm-json or Results.save wrote",
            ) from None
        return cls.from_json(content, str(path))

    @classmethod
    def from_json(cls, content: str | bytes, name: str = "results") -> Results:
        """Read the content of a results file; `name` is for messages.

        Raises
        ------
        CacheError : it is not a results file of this version.
        """
        remedy = "give a file that --fm-json or Results.save wrote, or measure again"
        try:
            document = json.loads(content, parse_constant=_refuse_constant)
            schema = document["schema"]
            if schema == SCHEMA_1:
                document = upgraded(document)
            elif schema != SCHEMA:
                raise CacheError(f"{name} has the schema {shortened(schema)}, not {SCHEMA}", remedy=remedy)
            return cls.model_validate(document, strict=False)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"])) or "the document"
            problem = f"{name} is damaged ({place}: {first['msg']})"
        except RecursionError:
            problem = f"{name} is nested too deeply"
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            problem = f"{name} is not a results file ({type(error).__name__}: {error})"
        raise CacheError(printable(problem), remedy=remedy)

    def _repr_html_(self) -> str:
        from pathorob_checks.results.notebook import html_of

        return html_of(self)

    def __repr__(self) -> str:
        return f"<Results: {self.summary}>"

    def __str__(self) -> str:
        return self.summary


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a results file."""
    schema = ResultsDocument.model_json_schema(by_alias=True, mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Results"}
