"""Fill the caches that a run without network reads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathorob_checks.evaluation.inputs import Inputs


def use_folder(folder: Path) -> Path:
    """Let everything be kept under `folder`; to be called before huggingface_hub is imported.

    Returns
    -------
    The folder of this package's own cache.
    """
    os.environ["HF_HUB_CACHE"] = str(folder / "huggingface")
    return folder / "pathorob-checks"


def prefetch(inputs: Inputs) -> Iterator[str]:
    """Download weights, images and tables; yields a line for each FM and cohort when it is complete.

    Raises
    ------
    PathorobChecksError : something cannot be had; what was fetched before is kept.
    """
    from pathorob_checks.cohorts import benchmark
    from pathorob_checks.cohorts.registry import load_cohort, resolve_cohort
    from pathorob_checks.hub import fetch
    from pathorob_checks.models.loading import prepare, resolve

    for name, spec in inputs.subjects.specs.items():
        resolved = resolve(spec, name)
        prepare(resolved, inputs.settings.model_settings(inputs.settings.device))
        yield f"FM {name}: complete" + (f" at {resolved.revision}" if resolved.revision else "")
    for name, text in inputs.subjects.cohorts.items():
        commit = resolve_cohort(text) if inputs.subjects.needs_images(name) else None
        cohort = load_cohort(text, inputs.sources, commit)
        if commit is not None:
            repository = benchmark.facts().cohorts[name].repository
            for file in benchmark.image_files(name, commit):
                fetch(repository, commit, file.name, "dataset")
        yield f"cohort {name}: {len(cohort):,} patches, complete" + (f" at {commit}" if commit else "")


def how_to_run(fms: list[str], cohorts: list[str], carried: Path | None) -> str:
    """The command for the machine without network."""
    options = [f"--fm={text}" for text in fms] + [f"--fm-cohort={text}" for text in cohorts]
    if carried is None:
        return "offline: HF_HUB_OFFLINE=1 pytest " + " ".join(options)
    return (
        f"copy {carried} with its symbolic links (cp -a, tar), then offline:\n"
        f"  HF_HUB_OFFLINE=1 HF_HUB_CACHE={carried}/huggingface \\\n"
        f"  PATHOROB_CHECKS_CACHE={carried}/pathorob-checks \\\n"
        f"  pytest {' '.join(options)}"
    )
