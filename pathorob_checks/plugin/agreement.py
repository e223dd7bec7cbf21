"""What a run is held to, fixed before anything is measured and equal in every process."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathorob_checks.errors import CriteriaError

if TYPE_CHECKING:
    from pathorob_checks.criteria.criterion import Criterion
    from pathorob_checks.criteria.profile import Profile
    from pathorob_checks.plugin.options import Settings
    from pathorob_checks.plugin.pairs import Pair
    from pathorob_checks.report.baseline import Baseline
    from pathorob_checks.report.coverage import Check, Key


class Agreement:
    """Criteria, protocol and baseline of a run, with the digest over all of them.

    Parameters
    ----------
    profile : the criteria.
    cohorts : the text of each cohort by its name.
    pairs : which FM meets which cohort.
    baseline : what the FMs are compared with.
    """

    def __init__(
        self,
        profile: Profile,
        cohorts: Mapping[str, str],
        pairs: tuple[Pair, ...],
        baseline: Baseline | None,
    ) -> None:
        from pathorob_checks.cohorts.readings import readings
        from pathorob_checks.criteria.protocol import protocol_of, registration_digest

        self.profile, self.baseline, self._pairs = profile, baseline, pairs
        ways = {name: readings(text) for name, text in cohorts.items()}
        self.protocol = protocol_of(profile, ways)
        self.digest = registration_digest(profile, ways, baseline.digest if baseline else None)

    @cached_property
    def checks(self) -> dict[Key, Check]:
        """Every criterion asked of every FM.

        Raises
        ------
        CriteriaError : a bound refers to published values that do not exist, or a cohort has no criterion.
        """
        from pathorob_checks.report.coverage import Check

        found: dict[Key, Check] = {}
        for fm in dict.fromkeys(pair.fm for pair in self._pairs):
            cohorts = tuple(pair.cohort for pair in self._pairs if pair.fm == fm)
            asked = [one for one in self.profile.asked_of(cohorts) if set(one.cohorts) & set(cohorts)]
            for cohort in cohorts:
                if not any(cohort in criterion.cohorts for criterion in asked):
                    raise CriteriaError(
                        f"profile {self.profile.name} has no criterion for cohort {cohort}",
                        remedy="give another profile with --fm-criteria, or add one to the file",
                    )
            if self.baseline is not None:
                asked += self.baseline.criteria(fm, cohorts, self.profile)
            checks = [Check(fm=fm, criterion=criterion) for criterion in asked]
            found |= {check.key: check for check in checks}
        return found

    def check(self) -> None:
        """Find what is wrong before anything is measured.

        Raises
        ------
        CriteriaError : as `checks`, or the baseline was measured by another protocol or leaves k to each FM.
        """
        compared = self.of_quantity("difference")
        if self.baseline is not None:
            self.baseline.check_protocol(self.protocol)
        for check in compared:
            reading = self.protocol["cohorts"][check.criterion.cohort].get(check.criterion.metric, {})
            if "k" in reading and reading["k"] is None:
                raise CriteriaError(
                    f"cohort {check.criterion.cohort} leaves k to each FM, and robustness indices at "
                    "different k have no difference",
                    remedy="write k = 11 or another number into its cohort.toml and measure the baseline so",
                )

    @property
    def not_compared(self) -> tuple[str, ...]:
        """A sentence about what the profile asks and the baseline does not have."""
        if self.baseline is None:
            return ()
        asked = [check.criterion for check in self.checks.values() if check.criterion.quantity == "value"]
        lacking = self.baseline.lacking((one.cohort, one.metric) for one in asked)
        if not lacking:
            return ()
        told = ", ".join(f"{metric} of {cohort}" for cohort, metric in lacking)
        return (f"Not compared, because the baseline {self.baseline.source} has no value: {told}.",)

    def asked(self, fm: str, cohort: str, metric: str) -> tuple[Criterion, ...]:
        """The criteria about one metric of one FM on one cohort, without those over cohorts or baselines."""
        return tuple(
            check.criterion
            for check in self.checks.values()
            if check.fm == fm
            and check.criterion.cohort == cohort
            and check.criterion.metric == metric
            and check.criterion.quantity not in ("mean", "difference")
        )

    def of_quantity(self, quantity: str) -> tuple[Check, ...]:
        """The checks of a kind: `mean` over cohorts, `difference` from a baseline."""
        return tuple(check for check in self.checks.values() if check.criterion.quantity == quantity)

    def demand(self, digest: str | None) -> None:
        """Refuse to run by other terms than those that were agreed on.

        Raises
        ------
        CriteriaError : `digest` is another one.
        """
        if digest is not None and digest != self.digest:
            raise CriteriaError(
                f"criteria and protocol have the digest {self.digest}, and {digest} is demanded",
                remedy="look at what changed with 'pathorob-checks criteria show' and 'criteria diff'",
            )

    def to_json(self) -> str:
        """For workers: the profile as it was read, and the digest."""
        return json.dumps({"profile": self.profile.model_dump(mode="json"), "digest": self.digest})

    @staticmethod
    def handed_over(text: str) -> tuple[Profile, str]:
        """Undo `to_json`: workers never read the criteria files again."""
        from pathorob_checks.criteria.profile import Profile

        told: dict[str, Any] = json.loads(text)
        return Profile.model_validate(told["profile"]), told["digest"]


def chosen_baseline(
    settings: Settings, fms: Collection[str], pairs: tuple[Pair, ...], profile: Profile
) -> Baseline | None:
    """What `--fm-baseline` names: a results file, or an FM of this run and the metrics asked about.

    Raises
    ------
    CriteriaError : it is neither, or a file that cannot be used.
    """
    from pathorob_checks.report import baseline

    given = settings.fm_baseline
    if given is None:
        return None
    if given not in fms or Path(given).is_file():
        return baseline.read_baseline(given, settings.fm_baseline_fm)
    asked = profile.asked_of([pair.cohort for pair in pairs if pair.fm == given])
    return baseline.of_this_run(given, [(one.cohort, one.metric) for one in asked if one.quantity == "value"])
