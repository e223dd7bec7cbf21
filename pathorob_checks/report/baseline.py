"""What an FM is compared with: another FM, from a results file or of the same run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pathorob_checks.criteria.criterion import Criterion
from pathorob_checks.criteria.profile import Profile
from pathorob_checks.errors import CriteriaError
from pathorob_checks.metrics.measurement import METRICS
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.report.results import SCHEMA

_MEASURE_AGAIN = "measure the baseline again with this version and these settings"


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """An FM that others must not be worse than.

    Attributes
    ----------
    fm : its name.
    source : the results file, or "this run".
    digest : of the file's content, or the name of the FM of this run.
    measured : by cohort and metric, what it was measured to be; None where this run has yet to measure it.
    cohorts : what the file says of each cohort.
    protocol : by which it was measured; None for this run's.
    """

    fm: str
    source: str
    digest: str
    measured: Mapping[tuple[str, str], Resampling | None]
    cohorts: Mapping[str, Mapping[str, Any]]
    protocol: Mapping[str, Any] | None = None

    def criteria(self, fm: str, cohorts: Iterable[str], profile: Profile) -> list[Criterion]:
        """ "Not worse than the baseline" for every cohort and metric that the baseline has."""
        if self.protocol is None and fm == self.fm:
            return []
        margins: Mapping[str, float] = profile.baseline.margin.model_dump()
        return [
            Criterion(
                id=f"not-worse-{metric.replace('_', '-')}",
                metric=metric,
                cohort=cohort,
                cohorts=(cohort,),
                quantity="difference",
                bound=-margins[metric] + 0.0,
                direction=">=",
                rule=profile.baseline.rule or profile.rule,
                rationale=f"At most {margins[metric]:g} less than {self.fm} ({self.source}).",
            )
            for cohort in cohorts
            for metric in METRICS
            if (cohort, metric) in self.measured
        ]

    def lacking(self, asked: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """The cohorts and metrics that are asked about and that the baseline does not have."""
        return [place for place in dict.fromkeys(asked) if place not in self.measured]

    def check_protocol(self, protocol: Mapping[str, Any]) -> None:
        """Raise CriteriaError where the file's values were measured by another protocol than this run's."""
        if self.protocol is None:
            return
        shared = [name for name in protocol["cohorts"] if any(name == cohort for cohort, _ in self.measured)]
        if not shared:
            known = ", ".join(dict.fromkeys(cohort for cohort, _ in self.measured)) or "none"
            raise CriteriaError(
                f"the baseline {self.source} has no cohort of this run (it has {known})",
                remedy="name one of its cohorts with --fm-cohort, or another baseline",
            )
        for part, names in (("metrics", list(protocol["metrics"])), ("cohorts", shared)):
            theirs = self.protocol.get(part, {})
            for name in names:
                if theirs.get(name) != protocol[part][name]:
                    raise CriteriaError(
                        f"the baseline {self.source} was measured by another protocol "
                        f"({name}: {_differing(theirs.get(name), protocol[part][name])})",
                        remedy=_MEASURE_AGAIN,
                    )

    def check_cohort(self, name: str, facts: Mapping[str, Any]) -> None:
        """Raise CriteriaError where the file's cohort of this name holds other patches than the run's."""
        theirs = self.cohorts.get(name)
        if theirs is None:
            return
        # Precomputed embeddings come without the images' revision; then the tables say which patches.
        unseen = any(one.get("tables") and "@" not in one.get("source", "") for one in (theirs, facts))
        for key in ("tables", "patches") if unseen else ("digest", "tables", "patches"):
            if theirs.get(key) != facts[key]:
                raise CriteriaError(
                    f"the baseline {self.source} was measured on another cohort {name} ({key} "
                    f"{_short(theirs.get(key))}, here {_short(facts[key])})",
                    remedy="measure the baseline again on this cohort",
                )


def of_this_run(fm: str, places: Iterable[tuple[str, str]]) -> Baseline:
    """An FM of this run as the baseline of the others."""
    return Baseline(fm=fm, source="this run", digest=f"fm:{fm}", measured=dict.fromkeys(places), cohorts={})


def read_baseline(path: str | Path, fm: str | None = None) -> Baseline:
    """An FM of a results file.

    Parameters
    ----------
    fm : its name; needed where the file has several.

    Raises
    ------
    CriteriaError : the file cannot be read, is no results file of this version, or has no such FM.
    """
    try:
        content = Path(path).expanduser().read_bytes()
        document = json.loads(content)
        schema = document["schema"]
    except OSError as error:
        raise CriteriaError(
            f"the baseline {path} cannot be read ({error.strerror})",
            remedy="give a results file (--fm-json) or the name of an FM of this run",
        ) from None
    except (ValueError, KeyError, TypeError):
        raise CriteriaError(
            f"the baseline {path} is no results file", remedy="give a file that --fm-json wrote"
        ) from None
    if schema != SCHEMA:
        raise CriteriaError(
            f"the baseline {path} has the schema {schema!r}, not {SCHEMA!r}", remedy=_MEASURE_AGAIN
        )
    try:
        checks = [check for check in document["checks"] if _is_plain(check)]
        name = _chosen(path, [check["fm"] for check in checks], fm)
        measured = {
            (check["cohort"], check["metric"]): Resampling.from_dict(check["resampling"])
            for check in checks
            if check["fm"] == name and check["resampling"] is not None
        }
        cohorts = {run["cohort"]["name"]: run["cohort"] for run in document["runs"]}
        protocol = document["environment"]["criteria"]["protocol"]
    except (KeyError, TypeError, AttributeError) as error:
        raise CriteriaError(
            f"the baseline {path} lacks what a comparison needs ({error})", remedy=_MEASURE_AGAIN
        ) from None
    if not measured:
        raise CriteriaError(f"the baseline {path} has no measured value of {name}", remedy=_MEASURE_AGAIN)
    return Baseline(
        fm=name,
        source=Path(path).name,
        digest=hashlib.sha256(content).hexdigest(),
        measured=measured,
        cohorts=cohorts,
        protocol=protocol,
    )


def _is_plain(check: Mapping[str, Any]) -> bool:
    """A value of the whole cohort by the registered protocol."""
    return check["registered"] and check["quantity"] == "value" and check["value"] is not None


def _chosen(path: str | Path, names: Sequence[str], fm: str | None) -> str:
    known = list(dict.fromkeys(names))
    if fm is not None and fm not in known:
        raise CriteriaError(
            f"the baseline {path} has no FM {fm!r}", remedy=f"it has {', '.join(known) or 'none'}"
        )
    if fm is None and len(known) != 1:
        raise CriteriaError(
            f"the baseline {path} has {len(known)} FMs",
            remedy=f"name one with --fm-baseline-fm: {', '.join(known)}" if known else _MEASURE_AGAIN,
        )
    return fm or known[0]


def _differing(theirs: object, ours: Mapping[str, Any]) -> str:
    if not isinstance(theirs, Mapping):
        return "not in the file"
    keys = [key for key in sorted({*theirs, *ours}) if theirs.get(key) != ours.get(key)]
    return ", ".join(f"{key} {_short(theirs.get(key))}, here {_short(ours.get(key))}" for key in keys)


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 24 else text[:20] + "..."
