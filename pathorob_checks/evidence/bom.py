"""The bill of materials of a run: its FMs, cohorts and installed packages, as CycloneDX 1.6."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pathorob_checks.canonical import digest_of
from pathorob_checks.evidence.provenance import fms_of, weights_sha256
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.subject_facts import CohortFacts, FMFacts

if TYPE_CHECKING:
    from cyclonedx.model import HashType, Property
    from cyclonedx.model.component import Component
    from cyclonedx.model.license import License

_NAMESPACE = uuid.UUID("6f1c1f0e-6d0b-5c3f-9b0a-3f1f6f3f1f10")
_PREFIX = "pathorob-checks:"
_UNKNOWN = "unknown"


def bill_of_materials(
    results: ResultsDocument, packages: Sequence[Mapping[str, Any]], code: Mapping[str, Any]
) -> str:
    """The bill as JSON; equal results and packages give equal text.

    Parameters
    ----------
    packages : see `environment.installed_packages`.
    code : see `provenance.code_facts`.
    """
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.tool import ToolRepository
    from cyclonedx.output.json import JsonV1Dot6

    root = Component(
        name="robustness evaluation",
        type=ComponentType.APPLICATION,
        bom_ref="run",
        version=results.environment.criteria.plan_digest[:16] or None,
    )
    tool = Component(
        name=str(code["name"]),
        type=ComponentType.APPLICATION,
        version=str(code["version"]),
        bom_ref="tool",
        properties=_properties({"sha256 of the package's files": code["sha256"]}),
    )
    parts = [
        *(_model(fm) for fm in fms_of(results)),
        *(_data(cohort) for cohort in {run.cohort.name: run.cohort for run in results.runs}.values()),
        *(_library(package) for package in packages),
    ]
    bom = Bom(
        serial_number=uuid.uuid5(
            _NAMESPACE,
            digest_of(
                [
                    results.created.isoformat(),
                    results.environment.criteria.plan_digest,
                    [dict(one) for one in packages],
                ]
            ),
        ),
        metadata=BomMetaData(
            component=root, tools=ToolRepository(components=[tool]), timestamp=results.created
        ),
        components=parts,
    )
    bom.register_dependency(root, parts)
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def _model(fm: FMFacts) -> Component:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    repository = fm.identity.get("repository")
    purl = None
    if isinstance(repository, str) and "/" in repository and fm.revision:
        owner, _, name = repository.rpartition("/")
        purl = PackageURL("huggingface", owner, name, fm.revision)
    identity = digest_of(fm.identity)
    return Component(
        name=fm.name,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"fm:{fm.name}:{identity[:16]}",
        version=fm.revision,
        hashes=_hashes(weights_sha256(fm)),
        licenses=_licenses(fm.license),
        purl=purl,
        properties=_properties(
            {
                "spec": fm.spec,
                "identity": identity,
                "embedding dimension": fm.dimension,
                **{key: fm.identity.get(key) for key in ("precision", "pooling", "library")},
            }
        ),
    )


def _data(cohort: CohortFacts) -> Component:
    from cyclonedx.model.component import Component, ComponentType

    return Component(
        name=cohort.name,
        type=ComponentType.DATA,
        bom_ref=f"cohort:{cohort.name}",
        description=cohort.source or None,
        hashes=_hashes(cohort.digest),
        licenses=_licenses(cohort.license),
        properties=_properties(
            {
                "patches": cohort.patches,
                "slides": cohort.slides,
                "medical centers": len(cohort.in_domain_centers) + len(cohort.out_of_domain_centers),
                **{f"table {name}": digest for name, digest in cohort.tables.items()},
            }
        ),
    )


def _library(package: Mapping[str, Any]) -> Component:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    name, version = package["name"], package["version"]
    return Component(
        name=name,
        type=ComponentType.LIBRARY,
        version=version,
        bom_ref=f"pkg:{name}",
        purl=PackageURL("pypi", None, name, version),
        licenses=_licenses(package["license"]),
        properties=_properties({"sha256 of RECORD": package["record_sha256"]}),
    )


def _hashes(sha256: str | None) -> Iterable[HashType]:
    from cyclonedx.model import HashAlgorithm, HashType

    is_digest = sha256 is not None and len(sha256) == 64
    return [HashType(alg=HashAlgorithm.SHA_256, content=str(sha256))] if is_digest else []


def _licenses(text: str | None) -> Iterable[License]:
    """An SPDX id or expression where it is one, else a name."""
    if not text or text == _UNKNOWN:
        return []
    from cyclonedx.contrib.license.factories import LicenseFactory

    return [LicenseFactory().make_from_string(text)]


def _properties(facts: Mapping[str, object]) -> Iterable[Property]:
    from cyclonedx.model import Property

    return [Property(name=_PREFIX + name, value=str(value)) for name, value in facts.items() if value]
