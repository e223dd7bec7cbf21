"""The results of a run as one typed document; every report is made from it.

Its JSON form is the results file. All models are frozen, refuse unknown keys, and hold finite numbers only.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    field_serializer,
    model_validator,
)
from pydantic_core import to_jsonable_python

from pathorob_checks.criteria.verdict import Rule, Verdict
from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.metrics.definition import Direction, Metric, Quantity
from pathorob_checks.metrics.measurement import CellValue, GroupValue, SlideValue
from pathorob_checks.metrics.pictured import Curve, Grid
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.metrics.short_text import short_text
from pathorob_checks.pretraining import Pretraining
from pathorob_checks.wording import shortened

SCHEMA: Literal["pathorob-checks/results/2"] = "pathorob-checks/results/2"

Finite = Annotated[float, Field(allow_inf_nan=False)]


def builtin(value: object) -> Any:
    """`value` as JSON knows it: numbers and arrays of numpy and torch become Python's, NaN becomes None."""
    return to_jsonable_python(value, fallback=lambda array: array.tolist(), inf_nan_mode="null")


def _sorted(value: Any) -> Any:
    """Builtin types with sorted keys: whether embeddings were computed or read must not change the order."""
    if isinstance(value, Mapping):
        return {str(key): _sorted(value[key]) for key in sorted(value, key=str)}
    return [_sorted(item) for item in value] if isinstance(value, list | tuple) else value


Json = Annotated[dict[str, JsonValue], BeforeValidator(lambda value: _sorted(builtin(value)))]


class Document(BaseModel):
    """A part of the results."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    def __repr__(self) -> str:
        given = (name for name in type(self).model_fields if name in self.model_fields_set)
        fields = ", ".join(f"{name}={shortened(getattr(self, name))}" for name in given)
        return f"{type(self).__name__}({fields})"

    def __str__(self) -> str:
        return repr(self)


class Suspect(Document):
    """What is likely to be at fault where a criterion is not met.

    Attributes
    ----------
    kind : `embedding`, `precision` or `cohort`.
    sentence : why, without naming the kind again.
    """

    kind: Literal["embedding", "precision", "cohort"]
    sentence: str


class ComparedWith(Document):
    """The baseline of a difference.

    Attributes
    ----------
    fm : name of its FM.
    source : where its value is from.
    value : what the difference is from.
    """

    fm: str
    source: str
    value: Finite


class Check(Document):
    """One criterion applied to one subject.

    Attributes
    ----------
    id : str
        The test's id.
    fm, method, cohort : str
        The subject; `cohort` joins the names of several by `+` for a mean.
    metric : str
        Name of the metric.
    criterion : str
        The criterion's id within its profile.
    quantity : {'value', 'worst-center', 'worst-class', 'mean', 'difference'}
        What is held against the bound.
    group : str or None
        Name of the worst medical center or biological class, where the quantity is one.
    value : float or None
        As in `Measurement`; None where there is none. Of the worst group, of the mean or of the difference,
        where the quantity is one.
    interval : tuple of (float, float) or None
        Of the value, at `confidence`.
    support : float or None
        Share (0 to 1) of informative patches.
    confidence : float or None
        Of the interval, between 0 and 1.
    interval_note : str
        How the interval was made and what it leaves out.
    drift : float or None
        By how much the precision of the forward pass may move the value; it widens the interval.
    p_value : float or None
        One-sided, of the hypothesis that the truth is on the other side of the bound than the value; None
        without an interval.
    bound : float
        What the value must reach, on the metric's scale.
    direction : {'>=', '<='}
        On which side of the bound the value must lie.
    rule : {'point', 'confident', 'three-way'}
        How value and interval are held against the bound.
    verdict : {'pass', 'fail', 'inconclusive', 'skipped', 'error'}
        What became of it.
    reason : str
        Why, as a clause.
    required : bool
        As in the criterion.
    registered : bool
        Whether the criterion is one of the profile, which the digest covers.
    minimum_support : float or None
        As in the criterion.
    rationale : str
        Why the bound is what it is.
    source, owner : str or None
        As in the criterion.
    requirements : tuple of str
        As in the criterion.
    label : str
        Short name of metric and quantity.
    meaning : str
        What the value says, as a sentence; "" without a value.
    remedies : tuple of str
        What to do about it, in sentences; empty for a criterion that is met.
    suspects : tuple of Suspect
        Likeliest first; empty for a criterion that is met.
    baseline : ComparedWith or None
        What the value is a difference from.
    protocol : dict of str to JSON-like values
        Settings that the value was measured with.
    cells : tuple of CellValue
        As in `Measurement`, worst first.
    slides : tuple of SlideValue
        As in `Measurement`, worst first.
    groups : dict of str to tuple of GroupValue
        As in `Measurement`, worst first.
    resampling : Resampling or None
        What a later run needs for a paired interval with this value.
    curves : tuple of Curve
        As in `Measurement`.
    grids : tuple of Grid
        As in `Measurement`.
    neighbors : int or None
        The k that the value was measured with, of `protocol`; None for a metric without neighbors.

    Examples
    --------
    >>> from pathorob_checks.results.document import Check
    >>> check = Check(
    ...     id="test_mine.py::test_index[ours-camelyon]",
    ...     fm="ours",
    ...     cohort="camelyon",
    ...     metric="robustness_index",
    ...     criterion="index",
    ...     value=0.31,
    ...     interval=(0.25, 0.38),
    ...     support=0.9,
    ...     bound=0.5,
    ...     direction=">=",
    ...     rule="three-way",
    ...     verdict="fail",
    ...     reason="0.310 < 0.500",
    ...     rationale="Biology outweighs the medical center.",
    ...     label="robustness index",
    ... )
    >>> check.verdict.value, check.verdict.is_measured
    ('fail', True)
    >>> check.model_copy(update={"protocol": {"k": 11}}).neighbors
    11
    >>> Check.model_validate_json(check.model_dump_json()) == check
    True
    """

    id: str
    fm: str
    method: str = NO_METHOD
    cohort: str
    metric: str
    criterion: str
    quantity: Quantity = "value"
    group: str | None = None
    value: Finite | None
    interval: tuple[Finite, Finite] | None
    support: Finite | None
    confidence: Finite | None = None
    interval_note: str = ""
    drift: Finite | None = None
    p_value: Annotated[Finite, Field(ge=0, le=0.5)] | None = None
    bound: Finite
    direction: Direction
    rule: Rule
    verdict: Verdict
    reason: str
    required: bool = True
    registered: bool = True
    minimum_support: Finite | None = None
    rationale: str
    source: str | None = None
    owner: str | None = None
    requirements: tuple[str, ...] = ()
    label: str
    meaning: str = ""
    remedies: tuple[str, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    baseline: ComparedWith | None = None
    protocol: Json = Field(default_factory=dict)
    cells: tuple[CellValue, ...] = ()
    slides: tuple[SlideValue, ...] = ()
    groups: dict[str, tuple[GroupValue, ...]] = Field(default_factory=dict)
    resampling: Resampling | None = None
    curves: tuple[Curve, ...] = ()
    grids: tuple[Grid, ...] = ()

    def __repr__(self) -> str:
        from pathorob_checks.results.names import fm_and_method
        from pathorob_checks.results.outcome import value_and_bound

        value, bound = value_and_bound(self)
        subject = f"{self.label} of {fm_and_method(self.fm, self.method)} on {self.cohort}"
        return short_text(
            f"Check {self.verdict.upper()}", f"{subject}: {value} (bound {self.direction} {bound})"
        )

    @property
    def neighbors(self) -> int | None:
        """The k that the value was measured with; None for a metric without neighbors."""
        k = self.protocol.get("k")
        return k if isinstance(k, int) else None

    @model_validator(mode="after")
    def _a_verdict_needs_a_value(self) -> Check:
        if self.verdict.is_measured and self.value is None:
            raise ValueError(f"the check {self.id} has the verdict {self.verdict} and no value")
        return self


class IntegrityCheck(Document):
    """One test that an FM's embeddings are a sound measurement.

    Attributes
    ----------
    id : the test's id.
    name : what was tested.
    fm, method, cohort : the subject.
    verdict : pass, fail, skipped (with the reason) or error.
    reason : why, as a clause.
    figures : what was compared with a tolerance, by name; empty where the test has no number.
    inapplicable : for what the check is none, where that is why it was skipped; "" else.
    """

    id: str
    name: str
    fm: str
    method: str = NO_METHOD
    cohort: str
    verdict: Verdict
    reason: str = ""
    figures: dict[str, Finite] = Field(default_factory=dict)
    inapplicable: Literal["", "given embeddings", "full precision"] = ""


class FMFacts(Document):
    """A foundation model: what was requested, what that was at the time, and how it embedded.

    Attributes
    ----------
    name, spec : as in the run and as the user wrote it.
    revision : full commit on the hub; None for a model that is on no hub.
    license : of the weights.
    commercial : whether the license allows commercial use; None where that is not known.
    notes : sentences for the reader.
    identity : everything that decides an embedding.
    dimension : number of columns of its embeddings.
    embeddings : the key under which they are stored.
    extraction : how they were extracted.
    integrity : how the FM embeds a few patches in several ways; None where there is no FM to run.
    pretraining : what it is stated to have been pretrained on; None in older files.
    """

    name: str
    spec: str
    revision: str | None
    license: str
    commercial: bool | None
    notes: tuple[str, ...] = ()
    identity: Json
    dimension: int
    embeddings: str
    extraction: Json
    integrity: Json | None = None
    pretraining: Pretraining | None = None


class CellFacts(Document):
    """How much of a class from a center is in a subset.

    Attributes
    ----------
    subset : `ID` for in-domain, `OOD` for out-of-domain, or the name of a paired subset.
    medical_center, biological_class : the cell.
    patches, slides : how many there are.
    """

    subset: str
    medical_center: str
    biological_class: str
    patches: int
    slides: int


class CohortFacts(Document):
    """A cohort: its digests, its terms of use, and how much of it there is.

    Attributes
    ----------
    name : as in the run.
    source : where its images are from.
    digest : of everything that decides a number: images, labels, slides, subsets, and how each metric reads
        them. In files before `images` existed, of the images alone.
    images : digest of the images alone; None in older files.
    tables : digests of the tables that define the views, by file name.
    own_tables : those of a benchmark cohort that are not the published ones.
    license : of its images.
    commercial : whether the license allows commercial use; None where that is not known.
    notes : sentences for the reader.
    patches, slides : how many there are.
    biological_classes : their names.
    in_domain_centers, out_of_domain_centers : names of the medical centers.
    sources : which data sets or hospitals its slides come from; empty where that is not stated.
    cells : patches and slides of each subset, center and class; empty in older files.
    """

    name: str
    source: str
    sources: tuple[str, ...] = ()
    digest: str
    images: str | None = None
    tables: dict[str, str]
    own_tables: tuple[str, ...] = ()
    license: str
    commercial: bool | None
    notes: tuple[str, ...] = ()
    patches: int
    slides: int
    biological_classes: tuple[str, ...]
    in_domain_centers: tuple[str, ...]
    out_of_domain_centers: tuple[str, ...]
    cells: tuple[CellFacts, ...] = ()


class PatchFacts(Document):
    """A patch of a cohort.

    Attributes
    ----------
    slide_id, patch_id : as in the cohort's table; together they identify the patch.
    biological_class, medical_center : its labels.
    """

    slide_id: str
    patch_id: str
    biological_class: str
    medical_center: str

    @property
    def key(self) -> str:
        """What identifies the patch within its cohort."""
        return f"{self.slide_id}-{self.patch_id}"


class Neighborhood(Document):
    """A patch that pulls a metric down, and its nearest neighbors.

    Attributes
    ----------
    metric : name of the metric.
    patch : the patch.
    neighbors : its nearest neighbors, nearest first.
    """

    metric: str
    patch: PatchFacts
    neighbors: tuple[PatchFacts, ...]


class EmbeddingMap(Document):
    """Patches in the plane of the first two principal components of their L2-normalised embeddings.

    Attributes
    ----------
    x, y : position of each patch; a sample where there are many.
    biological_class, medical_center : of each patch, as numbers into `classes` and `centers`.
    classes, centers : the names.
    explained : share (0 to 1) of the variance along x and y.
    patches : number of patches of the cohort, of which those drawn are a sample.
    """

    x: tuple[Finite, ...]
    y: tuple[Finite, ...]
    biological_class: tuple[int, ...]
    medical_center: tuple[int, ...]
    classes: tuple[str, ...]
    centers: tuple[str, ...]
    explained: tuple[Finite, Finite]
    patches: int


class Run(Document):
    """The FM and the cohort behind some checks.

    Attributes
    ----------
    fm, method, cohort : the subject.
    map : the embeddings in a plane; None in older files.
    neighborhoods : patches that pull a metric down, with their neighbors.
    images : JPEG files (base64) of patches in `neighborhoods`, by their keys. Made for a report
        with images only, and never in a results file.
    """

    fm: FMFacts
    method: str = NO_METHOD
    cohort: CohortFacts
    map: EmbeddingMap | None = None
    neighborhoods: tuple[Neighborhood, ...] = ()
    images: dict[str, str] = Field(default_factory=dict)


class BaselineFacts(Document):
    """What the FMs were compared with.

    Attributes
    ----------
    fm : name of the baseline's FM.
    source : name of the results file, or `this run`.
    digest : SHA-256 of the results file, or the FM's name after `fm:`.
    """

    fm: str
    source: str
    digest: str


class Completeness(Document):
    """How much of the plan was recorded, in numbers of checks.

    Attributes
    ----------
    planned : criteria that the profile applies to the FMs and cohorts, and what users' own tests add.
    measured : with a value that was judged.
    deselected : left out by the command line (-k, -m, node ids).
    excluded : left out by an option, or about a cohort that the run does not have.
    never_ran : neither, and without a record.
    missing : required, not left out on purpose, and not measured.
    absent : required and not measured, for whatever reason.
    crashed : a worker was lost.
    integrity_planned : integrity checks of every FM on every cohort.
    integrity_recorded : those with a record.
    integrity_made : those that were made, or do not apply.
    integrity_left_out : without a record, on purpose.
    """

    planned: int
    measured: int
    deselected: int = 0
    excluded: int = 0
    never_ran: int = 0
    missing: int = 0
    absent: int = 0
    crashed: bool = False
    integrity_planned: int = 0
    integrity_recorded: int = 0
    integrity_made: int = 0
    integrity_left_out: int = 0

    @property
    def integrity_missing(self) -> int:
        """Integrity checks without a record that nobody left out on purpose."""
        return self.integrity_planned - self.integrity_recorded - self.integrity_left_out

    @property
    def complete(self) -> bool:
        """Everything planned was measured, and every integrity check was made."""
        whole = 0 < self.planned == self.measured and self.integrity_planned == self.integrity_made
        return whole and not self.crashed


class Terms(Document):
    """What was fixed before anything was measured, and how much of it was measured.

    Attributes
    ----------
    name : of the profile.
    files : profiles and files that it was read from.
    digest : SHA-256 over profile, protocol, baseline and the content of the user's own cohorts.
    profile, protocol : their content.
    baseline : what every FM must not be worse than; None without `--fm-baseline`.
    require_complete : whether a run fails that leaves out a required criterion or an integrity check.
    planned : the id of every check that the run had to record, criteria before integrity checks.
    plan_digest : SHA-256 over `digest` and `planned`.
    completeness : how much of the plan was recorded.
    """

    name: str
    files: tuple[str, ...]
    digest: str
    profile: Json
    protocol: Json
    baseline: BaselineFacts | None = None
    require_complete: bool = False
    planned: tuple[str, ...] = ()
    plan_digest: str = ""
    completeness: Completeness


class Environment(Document):
    """Where the values were computed: no host name and no environment variable, because files are passed on.

    Attributes
    ----------
    python, implementation : version of Python, and which Python it is.
    platform, machine : operating system and processor.
    packages : version by distribution; None where it is not installed.
    criteria : the terms of the run.
    left_out : a sentence for each FM, cohort or comparison that the options left out.
    settings : a sentence for each setting that came from a file or the environment, not from the command.
    """

    python: str
    implementation: str
    platform: str
    machine: str
    packages: dict[str, str | None]
    criteria: Terms
    left_out: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


class MetricFacts(Document):
    """What a reader of the file needs to know of a metric.

    Attributes
    ----------
    label : short name.
    lowest, highest, neutral : the scale, and the value that is neither good nor bad.
    higher_is_better : False where lower values are more robust.
    version : of the computation.
    """

    label: str
    lowest: Finite
    highest: Finite
    neutral: Finite
    higher_is_better: bool
    version: int

    @classmethod
    def of(cls, metric: Metric) -> MetricFacts:
        """Those of a definition."""
        return cls(
            label=metric.label,
            lowest=metric.lowest,
            highest=metric.highest,
            neutral=metric.neutral,
            higher_is_better=metric.higher_is_better,
            version=metric.computation.version,
        )


class Outcome(StrEnum):
    """What became of a whole run.

    `fail` (a criterion is known not to be met, or an integrity check failed) comes before `error` (something
    was not measured or went wrong), that before `inconclusive`, that before `partial` (left out on purpose).
    """

    PASS = "pass"  # noqa: S105 (an outcome, not a password)
    FAIL = "fail"
    ERROR = "error"
    INCONCLUSIVE = "inconclusive"
    PARTIAL = "partial"


class Release(Document):
    """The verdict on an FM: its criteria taken together.

    Attributes
    ----------
    fm, method : what was judged.
    verdict : pass, fail, inconclusive, or error where a criterion was not measured.
    family : how failures were corrected for their number, as in the profile.
    planned : number of its criteria in the plan.
    decisive : ids of the checks that decided it: those that are missed, or those that are not surely met.
    sentence : the verdict and its reason.
    """

    fm: str
    method: str = NO_METHOD
    verdict: Verdict
    family: str
    planned: int
    decisive: tuple[str, ...] = ()
    sentence: str


class ResultsDocument(Document):
    """The content of a results file.

    Attributes
    ----------
    schema : names this form of the document.
    created : when the run ended, in UTC.
    complete : every planned check has a value, and no worker was lost.
    outcome, summary : what became of the run, as one word and as one sentence.
    environment : where the values were computed, and by which terms.
    metrics : facts of every metric that a check is about.
    runs : the FM and the cohort of each subject.
    releases : the verdict on each FM.
    checks, integrity : what was checked.
    other_failures : ids of failed tests that are neither.
    problems : sentences about what went wrong with the run itself.
    """

    schema_: Literal["pathorob-checks/results/2"] = Field(default=SCHEMA, alias="schema")
    created: AwareDatetime
    complete: bool
    outcome: Outcome
    summary: str
    environment: Environment
    metrics: dict[str, MetricFacts]
    runs: tuple[Run, ...] = ()
    releases: tuple[Release, ...] = ()
    checks: tuple[Check, ...] = ()
    integrity: tuple[IntegrityCheck, ...] = ()
    other_failures: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @field_serializer("created")
    def _in_utc(self, value: AwareDatetime) -> str:
        from datetime import UTC

        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
