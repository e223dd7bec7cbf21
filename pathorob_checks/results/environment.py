"""Where the values were computed, by which terms, and how much of the plan was measured."""

from __future__ import annotations

from pathorob_checks.results.part import Document, Json


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
