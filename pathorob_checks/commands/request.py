"""What a command is asked about: FMs and cohorts, as the gate would take them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathorob_checks.cohorts.registry import CohortSources
    from pathorob_checks.models.loading import ModelSettings
    from pathorob_checks.models.spec import ModelSpec


@dataclass(frozen=True, kw_only=True)
class Request:
    """FMs and cohorts by name.

    Attributes
    ----------
    specs : by short name.
    cohorts : the text of each cohort by its name in test ids.
    seen : names of the cohorts whose images some FM has to see.
    """

    specs: dict[str, ModelSpec]
    cohorts: dict[str, str]
    seen: frozenset[str]
    sources: CohortSources
    settings: ModelSettings


def request(
    fms: list[str],
    cohorts: list[str],
    *,
    cache: str | None,
    metadata: str | None,
    device: str = "auto",
    trust_remote_code: bool = False,
) -> Request:
    """Read the options.

    Raises
    ------
    SpecError : a text names no FM.
    """
    from pathorob_checks.cohorts.registry import CohortSources, cohort_name, default_cohorts
    from pathorob_checks.embeddings.store import default_root
    from pathorob_checks.models.loading import ModelSettings
    from pathorob_checks.models.spec import parse_spec, short_names

    parsed = [parse_spec(text) for text in fms]
    specs = dict(zip(short_names(parsed), parsed, strict=True))
    wanted = {name: tuple(cohorts) or default_cohorts(spec.kind) for name, spec in specs.items()}
    texts = dict.fromkeys(text for names in (wanted.values() if specs else [cohorts]) for text in names)
    seen = {text for name, names in wanted.items() for text in names if specs[name].kind != "embeddings"}
    if not specs:
        seen = set(texts)
    return Request(
        specs=specs,
        cohorts={cohort_name(text): text for text in texts},
        seen=frozenset(cohort_name(text) for text in seen),
        sources=CohortSources(
            metadata=Path(metadata).expanduser() if metadata else None,
            cache=Path(cache).expanduser() if cache else default_root(),
        ),
        settings=ModelSettings(device=device, trust_remote_code=trust_remote_code),
    )
