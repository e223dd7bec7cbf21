"""Which FM is checked on which cohort, from the settings alone: the same in every process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pathorob_checks.errors import MethodError, SpecError
from pathorob_checks.evaluation.misplaced import refuse_misplaced_values
from pathorob_checks.files import expanded
from pathorob_checks.methods.chain import chain_of, chains_of
from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.pretraining import UNSTATED, Pretraining, PretrainingData
from pathorob_checks.results.names import subject_id
from pathorob_checks.wording import quoted

if TYPE_CHECKING:
    from pathorob_checks.evaluation.settings import Settings
    from pathorob_checks.models.spec import ModelSpec

UNKNOWN_LICENSE = "unknown"
"""What stands for a license that nobody has stated."""

WITH_A_METHOD_ONLY = (
    "FMs without a method are left out by --fm-method-only: they have no verdict in this run."
)


class Subject(NamedTuple):
    """One FM with one method on one cohort, by their names in test ids."""

    fm: str
    method: str
    cohort: str

    @property
    def embedded(self) -> Subject:
        """The subject whose embeddings are repaired: only what normalizes images changes what is embedded."""
        return self._replace(method=chain_of(self.method).of_images)

    @property
    def id(self) -> str:
        """The subject in test ids: `virchow2-camelyon`, `virchow2-combat-camelyon`."""
        return subject_id(self.fm, self.method, self.cohort)


@dataclass(frozen=True)
class LeftOut:
    """Why a part of a run will not be measured, and whether that was chosen for this run.

    Attributes
    ----------
    why : what leaves it out, as a noun: `--fm-commercial`.
    on_purpose : whether the caller of this run chose it, not a file or a variable of the environment.
    """

    why: str
    on_purpose: bool


@dataclass(frozen=True)
class Subjects:
    """What a run checks.

    Attributes
    ----------
    specs : each FM's spec by its name.
    cohorts : the text of each cohort by its name.
    wanted : FM by FM, cohort by cohort, those that are excluded among them.
    excluded : what leaves a subject out.
    left_out : a sentence for everything that the settings leave out.
    method_ood : what methods may see of out-of-domain medical centers.
    method_target : SHA-256 of the images that stain normalizations take their target from; None for a rule.
    """

    specs: Mapping[str, ModelSpec]
    cohorts: Mapping[str, str]
    wanted: tuple[Subject, ...]
    excluded: Mapping[Subject, LeftOut] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    pretraining: Mapping[str, Pretraining] = field(default_factory=dict)
    method_ood: str = "unseen"
    method_target: str | None = None

    def pretraining_of(self, fm: str) -> Pretraining:
        """What is stated of an FM's pretraining data, by its recipe or by the user."""
        return self.pretraining.get(fm, UNSTATED)

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """What is measured: FM by FM, cohort by cohort."""
        return tuple(subject for subject in self.wanted if subject not in self.excluded)

    def of_fm(self, fm: str) -> tuple[Subject, ...]:
        """The subjects of one FM."""
        return tuple(subject for subject in self.subjects if subject.fm == fm)

    def needs_images(self, cohort: str) -> bool:
        """Whether some FM has to embed the cohort's images; without FMs, as a later one may."""
        return not self.specs or any(
            subject.cohort == cohort and self.specs[subject.fm].kind != "embeddings"
            for subject in self.subjects
        )


def subjects_of(settings: Settings) -> Subjects:
    """Every FM on all cohorts named, else on those that suit its kind.

    Raises
    ------
    SettingsError : a value is one that another option takes.
    MethodError : a text names no method, or one that needs images where there are none.
    SpecError : a text names no FM, the names do not suit the FMs, `commercial` leaves nothing to check, or
        `licensed` names what is not checked.
    CohortError : two cohorts have one name, or the settings file of the user's own cannot be used.
    """
    from pathorob_checks.cohorts.registry import cohort_names, default_cohorts, license_of
    from pathorob_checks.models import loading
    from pathorob_checks.models.spec import names_of, parse_spec

    refuse_misplaced_values(settings)
    parsed = [parse_spec(text) for text in settings.fms]
    specs = dict(zip(names_of(parsed, settings.names), parsed, strict=True))
    cohorts = dict(zip(cohort_names(settings.cohorts), settings.cohorts, strict=True))
    wanted = {fm: tuple(cohorts) or default_cohorts(spec.kind) for fm, spec in specs.items()}
    cohorts = cohorts or {name: name for name in dict.fromkeys(sum(wanted.values(), ()))}
    texts = {f"FM {name}": spec.text for name, spec in specs.items()}
    texts |= {f"cohort {name}": text for name, text in cohorts.items()}
    _refuse_unknown(settings.licensed, texts)
    excluded: dict[str, str] = {}
    if settings.commercial:
        terms = {f"FM {name}": loading.license_of(spec) for name, spec in specs.items()}
        terms |= {f"cohort {name}": license_of(text) for name, text in cohorts.items()}
        excluded = {
            what: _forbidden(*terms[what])
            for what, text in texts.items()
            if terms[what][1] is not True and not {text, what.partition(" ")[2]} & set(settings.licensed)
        }
    methods = methods_of(settings, specs)
    subjects = tuple(
        Subject(fm, method, cohort) for fm, names in wanted.items() for method in methods for cohort in names
    )
    reason = LeftOut("--fm-commercial", settings.chose("commercial"))
    without = {
        subject: reason
        for subject in subjects
        if f"FM {subject.fm}" in excluded or f"cohort {subject.cohort}" in excluded
    }
    if specs and len(without) == len(subjects):
        raise SpecError(
            "--fm-commercial leaves nothing to check ("
            + ", ".join(f"{what}: {why}" for what, why in excluded.items())
            + ")",
            remedy="name an FM and a cohort that may be used commercially, name those that you may use with "
            "--fm-licensed, or leave --fm-commercial out",
        )
    used = {one.cohort for one in subjects if one not in without} if specs else set(cohorts)
    return Subjects(
        method_ood=settings.method_ood,
        method_target=_target_digest(settings),
        pretraining=_pretraining(settings.pretraining, specs),
        specs=specs,
        cohorts={name: text for name, text in cohorts.items() if name in used},
        wanted=subjects,
        excluded=without,
        left_out=(
            *(f"{what} is left out by --fm-commercial: {why}." for what, why in excluded.items()),
            *((WITH_A_METHOD_ONLY,) if settings.method_only else ()),
        ),
    )


def methods_of(settings: Settings, specs: Mapping[str, ModelSpec]) -> tuple[str, ...]:
    """The name of every method, `none` first where FMs are judged without a method too.

    Raises
    ------
    MethodError : a text names no method, one that needs images where there are none, or only `none`.
    """
    chains = chains_of(settings.methods)
    without_images = [fm for fm, spec in specs.items() if spec.kind == "embeddings"]
    for chain in chains:
        if chain.image is not None and without_images:
            raise MethodError(
                f"{chain.image.name} normalizes images, but {without_images[0]} is given by its embeddings",
                remedy="give the FM itself, or methods that repair embeddings",
            )
    names = tuple(chain.text for chain in chains)
    if not settings.method_only:
        return names
    if names == (NO_METHOD,):
        raise MethodError(
            "FMs are to be judged with a method only, but there is no method",
            remedy="name one with --fm-method, such as combat, or leave --fm-method-only out",
        )
    return tuple(name for name in names if name != NO_METHOD)


def _forbidden(license_: str, allowed: bool | None) -> str:
    """Why something may not be used commercially, as far as its license is known."""
    if allowed is False:
        return f"its license ({license_}) forbids commercial use"
    if license_ == UNKNOWN_LICENSE:
        return "its license is not known"
    return f"its license ({license_}) is not known to allow commercial use"


def _pretraining(stated: tuple[str, ...], specs: Mapping[str, ModelSpec]) -> Mapping[str, Pretraining]:
    """What is stated of every FM; the user's statement is about the one whose recipe does not state all."""
    from pathorob_checks.models.loading import pretraining_of

    known = {fm: pretraining_of(spec) for fm, spec in specs.items()}
    unknown = [fm for fm, pretraining in known.items() if not pretraining.is_complete]
    if stated and len(unknown) != 1:
        which = f"it could be about {quoted(unknown)}" if unknown else "the recipes state all already"
        raise SpecError(
            f"--fm-pretraining={stated[0]} is about one FM, but {which}",
            remedy="check that FM in a run of its own" if unknown else "leave it out",
        )
    for fm in unknown if stated else ():
        named = (PretrainingData(name=name, source="stated for this run") for name in stated)
        known[fm] = Pretraining(data=(*known[fm].data, *named), is_complete=True)
    return known


def _refuse_unknown(licensed: Iterable[str], texts: Mapping[str, str]) -> None:
    known = {*texts.values(), *(what.partition(" ")[2] for what in texts)}
    for text in licensed:
        if text not in known:
            raise SpecError(
                f"--fm-licensed={text} is no FM and no cohort of this run",
                remedy="write it as after --fm or --fm-cohort, or leave it out",
            )


def _target_digest(settings: Settings) -> str | None:
    if settings.method_target is None:
        return None
    if not any(chain.image for chain in chains_of(settings.methods)):
        raise MethodError(
            "a target for stain normalization is given, but no method normalizes images",
            remedy="add --fm-method=reinhard or macenko, or leave the target out",
        )
    from pathorob_checks.embeddings.target_images import target_digest

    return target_digest(expanded(settings.method_target))
