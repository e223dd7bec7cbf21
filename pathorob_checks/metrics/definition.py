"""What a metric is: one definition, from which criteria, suites, tables and explanations are made."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.published import PublishedScore

if TYPE_CHECKING:
    import pandas as pd

# What a criterion may hold against its bound: the metric's value, its worst value over medical centers or
# biological classes, its mean over cohorts, or its difference from a baseline's.
Quantity = Literal["value", "worst-center", "worst-class", "mean", "difference"]
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
Direction = Literal[">=", "<="]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class Work:
    """How much work a metric is on one cohort, known before it is measured.

    Attributes
    ----------
    text : str
        What there is to do, without a verb: `400 of 44,850 combinations`.
    seconds : float
        Roughly, on two cores.
    is_sample : bool
        Whether the metric reads a sample because all would be too much.
    """

    text: str
    seconds: float
    is_sample: bool = False


@dataclass(frozen=True, kw_only=True)
class Computation:
    """A function that measures one metric, or several metrics that share their work.

    Attributes
    ----------
    name : str
        In the protocol of a run; by default the metric's own name suits.
    function : callable
        Called as `function(embeddings, patches, **settings)` with (N, D) float32 embeddings and a table whose
        row i describes embedding i. It returns a `Measurement`, or an object whose `measurements()` is a
        mapping from the names of metrics to measurements; a metric that is missing there has no value on this
        cohort.
    view : str
        Which rows of a cohort it reads: those of the view of this name.
    columns : tuple of str
        Of the patch table that it reads.
    design : tuple of str
        Settings of the view that it is called with: any of `k`, `paired`, `schedule`.
    settings : mapping of str to values of builtin types
        Its other settings; they are part of every run's digest.
    takes_device, takes_confidence, takes_progress : bool
        Whether the function has these parameters.
    takes_neighbors : bool
        Whether the function has the parameter `neighbors`, a `NeighborSearch`: all metrics of an FM, a view
        and a design `paired` share one, so that neighbors are searched once.
    takes_pretraining : bool
        Whether the function has the parameters `pretraining` and `sources`: what is stated of the FM's
        pretraining data, and which sources the cohort comes from.
    takes_repair : bool
        Whether the function has the parameter `repair`, which repairs embeddings by what training patches
        show (see `repairing`): for a metric that trains classifiers. Other metrics get repaired embeddings.
    takes_head : bool
        Whether the function has the parameter `head`, a learned part of a classifier that is fitted on what
        training patches show: for a metric with probes.
    trains_classifiers : bool
        Whether it trains classifiers or probes on some patches and tests them on others: true of what takes
        a repair or a head.
    version : int
        To be raised when the same settings give another value than before.
    work : callable or None
        From the view's table to how much work it is; None where every cohort takes minutes at most.
    protocol : dict
        Version and settings, as a run's digest covers them.

    See Also
    --------
    Metric : What a computation measures.

    Examples
    --------
    >>> from pathorob_checks.metrics import metric
    >>> computation = metric("performance_drop_ood").computation
    >>> computation.name, computation.view, computation.protocol
    ('performance_drop', 'performance_drop', {'version': 2, 'repetitions': 20})
    >>> computation.trains_classifiers
    True
    """

    name: str
    function: Callable[..., Any]
    view: str
    columns: tuple[str, ...]
    design: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    takes_device: bool = True
    takes_confidence: bool = True
    takes_progress: bool = True
    takes_neighbors: bool = False
    takes_pretraining: bool = False
    takes_repair: bool = False
    takes_head: bool = False
    version: int = 1
    work: Callable[[pd.DataFrame], Work] | None = None

    @property
    def trains_classifiers(self) -> bool:
        """Whether it trains classifiers on some patches and tests them on others."""
        return self.takes_repair or self.takes_head

    @property
    def protocol(self) -> dict[str, Any]:
        """Version and settings, as a run's digest covers them."""
        return {"version": self.version, **self.settings}


@dataclass(frozen=True, kw_only=True)
class Metric:
    """The definition of a metric.

    Another package adds a metric by an entry point of the group `pathorob_checks.metrics` that is an object
    of this class.

    Attributes
    ----------
    name : str
        In criteria files, results and test ids: lower-case letters, digits and `_`.
    label : str
        Short name for tables and sentences.
    computation : Computation
        The function that measures it, with its settings and version.
    lowest, highest : float
        The range in which a bound makes sense.
    neutral : float
        The value that is neither good nor bad; `meaning(neutral)` says what it stands for.
    margin : float
        How much worse than a baseline an FM may be unless the profile says otherwise, in the metric's unit.
    meaning : callable
        From a value to what this number says, as a sentence without its period.
    remedies : tuple of str
        What to do about a value on the wrong side of its bound, in sentences.
    higher_is_better : bool
        False where lower values are more robust.
    quantities : tuple of {'value', 'worst-center', 'worst-class', 'mean', 'difference'}
        What criteria may ask of it.
    groups_cover_view : bool
        Whether every center and class of the view has a value, so that the worst is unknown where one is
        missing; False where only some patches are tested.
    out_of_domain : bool
        Whether it is measured at medical centers that gave no training data.
    guaranteed : callable or None
        The rule for a value at an end of its scale, where leaving a slide out changes nothing: the least
        value at the upper end if only a share p of all slides is like those seen. The lower end mirrors it.
        None where the metric needs no such rule.
    needs : callable or None
        Called as `needs(patches, settings, interval=...)` with the table of its view and the settings of its
        function, before anything is embedded. Raises MetricError where the metric has no value, or, with
        `interval`, no interval, whatever the embeddings are. None where only the embeddings tell.
    neutral_is_best : bool
        Whether a value beyond the neutral one, on its better side, is no better: a guess cannot be outdone.
    worse_than_neutral : tuple of (str, str)
        What is shown where the whole interval is worse than the neutral value, "" where the numbers say it,
        and what this value is called, as in `recognized` and `chance`.
    missing : tuple of (str, str) or None
        Why it may have no value on a cohort, and the remedy: two clauses. None where it always has one.
    beyond : str
        Why a value may lie slightly beyond the range, as a sentence without its period; "" where none can.
    published : callable or None
        The scores of published FMs; None where nothing is published.
    good_direction : {'>=', '<='}
        `>=` where higher values are better, else `<=`.
    sign : int
        1 where higher values are better, else -1.
    remedies_without_images : tuple of str or None
        The same for an FM that is given by its embeddings, which has no images to look at or to normalize.
        None where `remedies` need no images.

    Raises
    ------
    MetricError
        The definition contradicts itself.

    See Also
    --------
    Computation : How the value is measured.
    metric : The definition of a metric by its name.

    Examples
    --------
    >>> from pathorob_checks.metrics import Computation, Measurement, Metric
    >>> def center_leak(embeddings, patches):
    ...     return Measurement(metric="center_leak", value=0.2, rows=len(patches))
    >>> leak = Metric(
    ...     name="center_leak",
    ...     label="center leak",
    ...     computation=Computation(
    ...         name="center_leak",
    ...         function=center_leak,
    ...         view="clustering_score",
    ...         columns=("medical_center",),
    ...         takes_device=False,
    ...         takes_confidence=False,
    ...         takes_progress=False,
    ...     ),
    ...     lowest=0.0,
    ...     highest=1.0,
    ...     neutral=0.0,
    ...     margin=0.02,
    ...     meaning=lambda value: f"the medical center leaks by {value:.2f}",
    ...     remedies=("Use another FM.",),
    ...     higher_is_better=False,
    ... )
    >>> leak.good_direction, leak.sign, leak.worst([0.1, 0.3])
    ('<=', -1, 0.3)
    >>> sorted([0.1, 0.3, 0.2], key=leak.badness)
    [0.3, 0.2, 0.1]
    >>> leak.is_worse_than_neutral((0.1, 0.3)), leak.is_beyond_best((0.1, 0.3))
    (True, False)
    """

    name: str
    label: str
    computation: Computation
    lowest: float
    highest: float
    neutral: float
    margin: float
    meaning: Callable[[float], str]
    remedies: tuple[str, ...]
    higher_is_better: bool = True
    quantities: tuple[Quantity, ...] = QUANTITIES
    groups_cover_view: bool = True
    out_of_domain: bool = False
    guaranteed: Callable[[float], float] | None = None
    needs: Callable[..., None] | None = None
    neutral_is_best: bool = False
    worse_than_neutral: tuple[str, str] = ("", "the neutral value")
    missing: tuple[str, str] | None = None
    beyond: str = ""
    published: Callable[[], Sequence[PublishedScore]] | None = None
    remedies_without_images: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        problem = None
        if not _NAME.fullmatch(self.name):
            problem = "needs a name of lower-case letters, digits and _"
        elif not self.lowest < self.highest or not self.lowest <= self.neutral <= self.highest:
            problem = (
                f"has the range {self.lowest:g}..{self.highest:g} and the neutral value {self.neutral:g}"
            )
        elif not 0 <= self.margin <= self.highest - self.lowest:
            problem = f"has the margin {self.margin:g}"
        elif unknown := set(self.quantities) - set(QUANTITIES):
            problem = f"has the unknown quantities {', '.join(sorted(unknown))}"
        if problem:
            raise MetricError(f"the metric {self.name!r} {problem}", remedy="correct its definition")

    @property
    def good_direction(self) -> Direction:
        """`>=` where higher values are better, else `<=`."""
        return ">=" if self.higher_is_better else "<="

    @property
    def sign(self) -> int:
        """1 where higher values are better, else -1."""
        return 1 if self.higher_is_better else -1

    def worst(self, values: Iterable[float]) -> float:
        """Return the worst of some values.

        Parameters
        ----------
        values : iterable of float
            At least one, on the metric's scale.

        Returns
        -------
        float
            The lowest where higher is better, else the highest.

        Raises
        ------
        ValueError
            No values.
        """
        return min(values) if self.higher_is_better else max(values)

    def is_beyond_best(self, interval: tuple[float, float] | None) -> bool:
        """Return whether a whole interval lies where values are no better than the neutral one.

        Parameters
        ----------
        interval : tuple of (float, float) or None
            On the metric's scale.

        Returns
        -------
        bool
            False without an interval, and for a metric whose values have no such side.
        """
        if not self.neutral_is_best or interval is None:
            return False
        return interval[0] > self.neutral if self.higher_is_better else interval[1] < self.neutral

    def is_worse_than_neutral(self, interval: tuple[float, float]) -> bool:
        """Return whether a whole interval is worse than the neutral value.

        Parameters
        ----------
        interval : tuple of (float, float)
            On the metric's scale.

        Returns
        -------
        bool
            Whether even its better end is.
        """
        best = max(map(self.badness, interval))
        return best < self.badness(self.neutral)

    def badness(self, value: float) -> float:
        """Return a key to sort by, worst value first.

        Parameters
        ----------
        value : float
            On the metric's scale.

        Returns
        -------
        float
            The value, with its sign changed where lower is better.
        """
        return self.sign * value
