"""Errors that a user can act on.

Every error of this package is one sentence: what is wrong, where, and the remedy. The pytest plugin shows
that sentence instead of a traceback.
"""

from __future__ import annotations

from pathorob_checks.wording import printable


class PathorobChecksError(Exception):
    """Base class of every error of this package that a user can act on.

    Parameters
    ----------
    problem : str
        What is wrong and where, without a final period.
    remedy : str
        What to do about it, as a clause that can follow a semicolon or stand alone.

    Attributes
    ----------
    problem, remedy : str
        As given; `str(error)` joins them to one sentence.

    Examples
    --------
    >>> from pathorob_checks import PathorobChecksError
    >>> error = PathorobChecksError("the cohort has no out-of-domain patches", remedy="mark some as OOD")
    >>> str(error)
    'the cohort has no out-of-domain patches; mark some as OOD.'
    >>> error.remedy
    'mark some as OOD'
    """

    def __init__(self, problem: str, *, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        # Names in it come from files and repositories.
        return printable(f"{self.problem}; {self.remedy}{'' if self.remedy.endswith('?') else '.'}")


class SettingsError(PathorobChecksError):
    """A value that a setting of a run does not take."""


class SpecError(PathorobChecksError):
    """A `--fm` value that is not a foundation model."""


class ModelError(PathorobChecksError):
    """A foundation model that cannot be reached, read or run."""


class HubError(PathorobChecksError):
    """A repository on the hub, or a file of it, that cannot be reached or downloaded."""


class CohortError(PathorobChecksError):
    """A cohort whose table or images cannot be used."""


class EmbeddingError(PathorobChecksError):
    """Embeddings that cannot be used for any metric."""


class EngineError(PathorobChecksError):
    """Machines of an extraction that cannot be reached, that differ, or that were lost."""


class MetricError(PathorobChecksError):
    """Input for which a metric has no defined value.

    Parameters
    ----------
    problem : str
        What is wrong and where, without a final period.
    remedy : str
        What to do about it, as a clause that can follow a semicolon or stand alone.

    Attributes
    ----------
    problem, remedy : str
        As given; `str(error)` joins them to one sentence.

    Examples
    --------
    >>> from pathorob_checks.metrics import MetricError, published_schedule
    >>> try:
    ...     published_schedule("camelyon17")
    ... except MetricError as error:
    ...     print(error)
    training schedule: there is no published schedule 'camelyon17'; use one of camelyon, tcga, tolkach_esca.
    """


class MethodError(PathorobChecksError):
    """A method that repairs images or embeddings that cannot be fitted, applied or read."""


class CriteriaError(PathorobChecksError):
    """A profile or criteria file that cannot be used."""


class CacheError(PathorobChecksError):
    """A cache folder that cannot be read or written."""


class ResultsError(PathorobChecksError):
    """A results file that cannot be read or written, or that contradicts itself."""


class FigureError(PathorobChecksError):
    """Results that have no data for a figure, or data of several subjects where a figure shows one."""


class EvidenceError(PathorobChecksError):
    """An evidence folder that cannot be written, or that is not what it claims to be."""


class HistoryError(PathorobChecksError):
    """A file of kept runs that cannot be read or written, or a run that is not kept."""
