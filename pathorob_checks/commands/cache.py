"""`pathorob-checks cache`: look after the folder of embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pathorob_checks.embeddings import upkeep
from pathorob_checks.embeddings.store import EmbeddingStore
from pathorob_checks.files import expanded
from pathorob_checks.sizes import written_size
from pathorob_checks.wording import printable

_SHOWN = 12  # digits of a key


def store_at(folder: str | None) -> EmbeddingStore:
    """The store in a folder, or the user's own."""
    return EmbeddingStore(expanded(folder) if folder else None)


def listing(store: EmbeddingStore) -> Iterator[str]:
    """A table of the entries, the one used last first."""
    from tabulate import tabulate

    entries = upkeep.entries(store)
    if not entries:
        yield f"no embeddings in {store.root}"
        return
    lines = [
        [
            entry.key[:_SHOWN],
            printable(entry.fm) if entry.finished else "(not finished)",
            printable(entry.cohort),
            f"{entry.patches:,} x {entry.dimension:,}" if entry.finished else "",
            written_size(entry.size),
            f"{entry.used:%Y-%m-%d %H:%M}",
        ]
        for entry in entries
    ]
    yield from tabulate(lines, headers=["key", "FM", "cohort", "shape", "size", "used (UTC)"]).splitlines()
    yield f"{_count(entries)}, {written_size(sum(entry.size for entry in entries))} in {store.root}"


def verify(store: EmbeddingStore) -> Iterator[tuple[str, bool]]:
    """A line for each entry and whether it is whole; every byte is read."""
    for entry in upkeep.entries(store):
        problems = list(upkeep.problems(store, entry))
        name = f"{entry.key[:_SHOWN]} {entry.fm} {entry.cohort}".rstrip()
        for problem in problems:
            yield f"BAD  {name}: {problem}", not entry.finished
        if not problems:
            yield f"ok   {name}", True


def prune(store: EmbeddingStore, keep: int) -> Iterator[str]:
    """What was removed, so that at most `keep` bytes are left."""
    for entry in upkeep.prune(store, keep):
        yield f"removed {entry.key[:_SHOWN]} {entry.fm} {entry.cohort} ({written_size(entry.size)})"
    left = upkeep.entries(store)
    yield f"{_count(left)}, {written_size(sum(entry.size for entry in left))} left in {store.root}"


def export(
    store: EmbeddingStore, key: str, folder: Path, cohort: str | None, metadata: str | None
) -> Iterator[str]:
    """Where an entry was written to, and how to read it."""
    table = None
    if cohort is not None:
        from pathorob_checks.cohorts.registry import CohortSources, cohort_name, load_cohort

        place = expanded(metadata) if metadata else None
        sources = CohortSources(metadata=place, cache=store.root)
        table = (cohort_name(cohort), load_cohort(cohort, sources, needs_images=False).patches)
    for path in upkeep.export(store, upkeep.find(store, key), folder, table):
        yield str(path)
    yield f"read it with: pytest --fm=embeddings:{folder}"


def _count(entries: list[upkeep.Entry]) -> str:
    return "1 entry" if len(entries) == 1 else f"{len(entries)} entries"
