"""From the text of `--fm-cohort` to a cohort."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pathorob_checks.cohorts.cohort import Cohort
from pathorob_checks.cohorts.file_names import MANIFEST, SETTINGS
from pathorob_checks.cohorts.lookalikes import readings
from pathorob_checks.cohorts.names import NONE_ACCEPTED, AcceptedNames
from pathorob_checks.errors import CohortError
from pathorob_checks.files import expanded, shown
from pathorob_checks.nearby import folder_nearby, named_like
from pathorob_checks.wording import nearest, printable

BUILT_IN = ("demo",)
BENCHMARK = ("camelyon", "tcga", "tolkach_esca")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]{0,254}")


@dataclass(frozen=True)
class CohortSources:
    """Where the benchmark's tables are read from and stored, for all cohorts of a run.

    Attributes
    ----------
    metadata : the user's folder with these tables; None downloads them.
    cache : root of the package's cache.
    accepted_names : reviewed names that may look alike.
    """

    metadata: Path | None
    cache: Path
    accepted_names: AcceptedNames = NONE_ACCEPTED


def default_cohorts(kind: str) -> tuple[str, ...]:
    """The cohorts of an FM for which the user names none; `kind` is that of its spec."""
    return BUILT_IN if kind == "demo" else BENCHMARK


def cohort_name(text: str) -> str:
    """Name for test ids: a built-in name, or the last part of a path with unusual characters as '_'.

    Uses the text only, never the disk: the name must be the same in every pytest worker.
    """
    if text in BUILT_IN:
        return text
    if (published := _published(text)) is not None:
        return published[0]
    return _plain(_parts(text)[-1:])


def cohort_names(texts: Sequence[str]) -> list[str]:
    """Names for test ids as `cohort_name`, all different: folders of one name have more of their path.

    Raises
    ------
    CohortError : a cohort is there twice.
    """
    first: dict[tuple[str, ...], str] = {}
    for text in texts:
        place = (cohort_name(text),) if not is_own(text) else _parts(text)
        if place in first:
            both = text if text == first[place] else f"{first[place]} and {text}"
            raise CohortError(f"--fm-cohort has the same cohort twice ({both})", remedy="give it once")
        first[place] = text
    lengths = [1] * len(texts)
    while True:
        names = [
            _plain(_parts(text)[-length:]) if is_own(text) else cohort_name(text)
            for text, length in zip(texts, lengths, strict=True)
        ]
        counts = Counter(names)
        longer = [
            number
            for number, (text, name) in enumerate(zip(texts, names, strict=True))
            if counts[name] > 1 and is_own(text) and lengths[number] < len(_parts(text))
        ]
        if not longer:
            break
        for number in longer:
            lengths[number] += 1
    for name, count in counts.items():
        if count > 1:
            both = " and ".join(text for text, other in zip(texts, names, strict=True) if other == name)
            raise CohortError(f"the cohorts {both} have one name, {name}", remedy="rename one of the folders")
    return names


def _parts(text: str) -> tuple[str, ...]:
    """The path of the user's own cohort, part by part; its file name without its suffix."""
    # normpath and not Path.resolve, which would look at the disk; Path.cwd() gives '.' a name.
    path = Path(os.path.normpath(Path.cwd() / own_path(text)))
    return (*path.parts[1:-1], path.name.removesuffix(".parquet"))


def name_in_ids(name: str) -> str:
    """The name of a folder as it stands in ids of tests and in reports."""
    return _plain((name,))


def _plain(parts: Sequence[str]) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", "_".join(parts)).strip("_") or "cohort"


def own_path(text: str) -> Path:
    """The folder or parquet file of the user's own cohort; a manifest stands for its folder."""
    path = expanded(text)
    return path.parent if path.name == MANIFEST else path


def is_own(text: str) -> bool:
    """Whether a cohort is the user's own, not generated and not one of the benchmark."""
    return text not in BUILT_IN and _published(text) is None


def check_cohort_text(text: str) -> None:
    """Refuse a wrong `--fm-cohort` before anything is loaded.

    Raises
    ------
    CohortError : `text` is neither a built-in cohort nor an existing folder or parquet file, or a folder or
        file is called like one of the benchmark.
    """
    choices = "give demo, camelyon, tcga, tolkach_esca, or the path of a folder or parquet file of patches"
    if text in BUILT_IN:
        return
    if (published := _published(text)) is not None:
        revision = published[1]
        if revision is not None and (not _REVISION.fullmatch(revision) or ".." in revision):
            raise CohortError(
                f"--fm-cohort={text} has no valid revision after the @",
                remedy="give a branch, a tag or a commit, or leave the @ out",
            )
        return
    path = own_path(text)
    if not text.strip():
        raise CohortError("the name of the cohort is empty", remedy=choices)
    try:
        is_folder, is_file, exists = path.is_dir(), path.is_file(), path.exists()
    except OSError as error:  # longer than a path can be
        raise CohortError(
            f"'{_shown(text)}' is no path of a cohort: {error.strerror}", remedy=choices
        ) from error
    if is_folder or (is_file and path.suffix == ".parquet"):
        check_own_name(text, path)
        return
    if exists:
        raise CohortError(
            f"cohort '{_shown(text)}' is a file, neither a folder nor parquet",
            remedy="give the folder that contains it" if path.name == SETTINGS else choices,
        )
    near = nearest(text, BUILT_IN + BENCHMARK) or named_like(path, _may_be_a_cohort)
    near = None if near is None else str(near)
    meant = f"did you mean '{_shown(near)}'? Otherwise " if near else ""
    raise CohortError(f"there is no cohort and no folder '{_shown(text)}'", remedy=meant + choices)


def _may_be_a_cohort(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and (entry.is_dir() or entry.name.endswith(".parquet"))


def check_own_name(text: str, path: Path) -> None:
    """Refuse a user's cohort under the name of another one: published bounds and schedules are by name."""
    last = Path(os.path.normpath(Path.cwd() / path)).name
    for name in (cohort_name(text), last, Path(os.path.realpath(path)).name):
        own = readings(name.removesuffix(".parquet").partition("@")[0])
        for known in (*BUILT_IN, *BENCHMARK):
            if own & readings(known):
                raise CohortError(
                    f"the cohort '{_shown(text)}' is yours but is called like the cohort {known} of "
                    + ("this package" if known in BUILT_IN else "the benchmark"),
                    remedy=f"rename it, for example to our-{known}"
                    + ("" if known in BUILT_IN else f", or give --fm-cohort={known} for the benchmark's"),
                )


def resolve_cohort(text: str) -> str | None:
    """The commit of the repository that holds a cohort's images; None for a cohort that has none.

    Raises
    ------
    CohortError : the text is not a cohort.
    HubError : the repository or revision does not exist or cannot be reached.
    """
    check_cohort_text(text)
    published = _published(text)
    if published is None:
        return None
    from pathorob_checks import hub
    from pathorob_checks.cohorts.benchmark import facts

    name, revision = published
    return hub.resolve_revision(facts().cohorts[name].repository, revision, "dataset")


def license_of(text: str) -> tuple[str, bool | None]:
    """License and whether it allows commercial use (None: not known), without images or tables.

    Raises
    ------
    CohortError : it is no cohort, or the settings file of the user's own cannot be used.
    """
    if text in BUILT_IN:
        return "Apache-2.0 (generated)", True
    published = _published(text)
    if published is None:
        from pathorob_checks.cohorts.settings import settings_of

        check_cohort_text(text)
        settings = settings_of(expanded(text))
        return settings.license, settings.commercial
    from pathorob_checks.cohorts.benchmark import facts

    cohort = facts().cohorts[published[0]]
    return cohort.license, None if cohort.commercial == "uncertain" else cohort.commercial


def load_cohort(
    text: str, sources: CohortSources, commit: str | None = None, *, needs_images: bool = True
) -> Cohort:
    """The cohort of `--fm-cohort=text`.

    Parameters
    ----------
    commit : from `resolve_cohort`; None for a cohort of the benchmark whose images are not needed.
    needs_images : False where no FM embeds the images; those of the user's own cohort may be absent then.

    Raises
    ------
    CohortError : there is no such cohort, or its table or images cannot be used.
    """
    check_cohort_text(text)
    if text == "demo":
        from pathorob_checks.cohorts import demo

        return demo.load()
    if (published := _published(text)) is not None:
        from pathorob_checks.cohorts import benchmark

        tables = benchmark.tables(sources.metadata, sources.cache)
        return benchmark.load(published[0], commit, tables, sources.accepted_names)
    return _load_own(own_path(text), sources.accepted_names, needs_images)


def _load_own(path: Path, accepted: AcceptedNames, needs_images: bool) -> Cohort:
    """The user's own cohort: a parquet file, a folder with a table, or folders named by labels."""
    from pathorob_checks.cohorts import manifest, own_parquet, tree

    if not path.is_dir():
        return own_parquet.load_parquet(path, accepted, needs_images=needs_images)
    # A broken link to a table is a broken table, not a folder without a table.
    if os.path.lexists(path / MANIFEST):
        return manifest.load_folder(path, accepted, needs_images=needs_images)
    try:
        return tree.load_tree(path, accepted, needs_images=needs_images)
    except CohortError as error:
        # Only where it fails: a folder that is a cohort is meant, whatever is near it.
        if (near := _cohort_near(path)) is None:
            raise
        raise CohortError(
            f"{error.problem}, and {shown(path)} has no {MANIFEST}",
            remedy=f"did you mean --fm-cohort={shown(near)}?",
        ) from error


def has_form_of_a_cohort(path: Path) -> bool:
    """Whether a path looks like the user's own cohort; nothing in it is read."""
    from pathorob_checks.cohorts import tree

    return (
        path.suffix == ".parquet"
        or (path / MANIFEST).is_file()
        or tree.levels_above_images(path) == len(tree.LEVELS)
    )


def _cohort_near(path: Path) -> Path | None:
    """A cohort one level above or below a folder that is none."""
    from pathorob_checks.cohorts import tree

    levels = tree.levels_above_images(path)
    if levels == len(tree.LEVELS):
        return None

    def is_meant(folder: Path) -> bool:
        # The images of the folder above are those of this one, or else have nothing to do with it.
        is_related = folder != path.absolute().parent or levels == len(tree.LEVELS) - 1
        return (folder / MANIFEST).is_file() or (is_related and has_form_of_a_cohort(folder))

    return folder_nearby(path, is_meant)


def _published(text: str) -> tuple[str, str | None] | None:
    """Name and revision of a cohort of the benchmark: `camelyon`, `camelyon@v1`."""
    name, at, revision = text.partition("@")
    return (name, revision if at else None) if name in BENCHMARK else None


def _shown(text: str) -> str:
    return printable(text if len(text) <= 200 else text[:200] + "...")
