"""The command line: one table of options, each also an ini value and most an environment variable."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pathorob_checks.evaluation.settings import DEVICE, DEVICES, ENGINES
from pathorob_checks.models.pooling import POOLINGS
from pathorob_checks.models.precision import PRECISIONS
from pathorob_checks.sizes import parse_size


def batch_size(text: str) -> int:
    """A positive number of patches."""
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{text!r} is not a positive whole number")
    return int(text)


def repetitions(text: str) -> int:
    """A number of draws, of which one alone has no spread."""
    if not text.isdecimal() or int(text) < 2:
        raise ValueError(f"{text!r} is not a whole number from 2")
    return int(text)


def yes_or_no(text: str) -> bool:
    """A switch's value where one is written: in an ini file or an environment variable."""
    try:
        return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]
    except KeyError:
        raise ValueError(f"{text!r} is neither true nor false") from None


def device(text: str) -> str:
    """What a model runs on."""
    if not DEVICE.fullmatch(text):
        raise ValueError(f"{text!r} is no device; choose {DEVICES}")
    return text


def sha256(text: str) -> str:
    """64 hexadecimal digits."""
    if len(text) != 64 or not set(text.lower()) <= set("0123456789abcdef"):
        raise ValueError(f"{text!r} is not a SHA-256 of 64 hexadecimal digits")
    return text.lower()


def one_of(*allowed: str) -> Callable[[str], str]:
    """A parser for one of a few words."""

    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"{text!r} is not one of {', '.join(allowed)}")
        return text

    return parse


def _no_path(value: str) -> None:
    """No part of the value."""


def _whole(value: str) -> str:
    """All of the value."""
    return value


def _after_kind(value: str) -> str | None:
    """What follows `local-dir:` or `embeddings:`."""
    kind, _, path = value.partition(":")
    return path if kind in ("local-dir", "embeddings") else None


def _own_cohort(value: str) -> str | None:
    """The value, unless it names a cohort of the benchmark or a generated one."""
    from pathorob_checks.cohorts.registry import is_own

    return value if is_own(value) else None


def _criteria_file(value: str) -> str | None:
    """The value, unless it names a built-in profile."""
    from pathorob_checks.criteria.document import BUILT_IN

    return None if value in BUILT_IN else value


def _key_file(value: str) -> str | None:
    """The value, unless it means signing without a key."""
    return None if value == "sigstore" else value


def _history_file(value: str) -> str | None:
    """The value, unless it is a word for the default file or for none."""
    from pathorob_checks.history.place import named_file

    return named_file(value)


def _history(text: str) -> Path | None:
    """The file that runs are kept in."""
    from pathorob_checks.history.place import chosen_file

    return chosen_file(text)


def _results_file(value: str) -> str | None:
    """The value where it names a file."""
    return value if value.endswith(".json") else None


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option: `--fm-cache`, ini value `fm_cache`, environment variable `PATHOROB_CHECKS_CACHE`."""

    flag: str
    metavar: str
    help: str
    parse: Callable[[str], Any] = str
    repeatable: bool = False
    switch: bool = False  # takes no value
    default: Any = None
    environment: str | None = None
    decides: bool = True  # whether it can change what is measured
    setting: str | None = None  # its name in `Settings`, where that is not the flag's
    is_report: bool = False  # names a file that a report is written to
    is_evidence: bool = False  # is about the evidence folder
    is_history: bool = False  # names the file that runs are kept in
    bare: str | None = None  # what it means without a value; one with a value then needs `=`
    path_in: Callable[[str], str | None] = _no_path  # the part of a value that is a path, if it has one

    def beside(self, folder: Path, value: Any) -> Any:
        """A value of a configuration file in this folder, its path relative to where pytest runs."""
        path = self.path_in(value) if isinstance(value, str) else None
        if not path or path.startswith("~") or Path(path).is_absolute():
            return value
        with contextlib.suppress(ValueError):  # another drive
            folder = Path(os.path.relpath(folder))
        return value.removesuffix(path) + str(folder / path)

    @property
    def ini(self) -> str:
        """Name of the ini value."""
        return self.flag.lstrip("-").replace("-", "_")

    @property
    def is_setting(self) -> bool:
        """Whether it is a part of `Settings`: of what is measured and how, not of what is made of it."""
        return not (self.is_report or self.is_evidence or self.is_history)

    @property
    def name(self) -> str:
        """Name in `Settings`."""
        return self.setting or self.ini.removeprefix("fm_")


OPTIONS = (
    Option(
        flag="--fm",
        path_in=_after_kind,
        setting="fms",
        metavar="SPEC",
        repeatable=True,
        help="foundation model to check; repeat to compare several. SPEC is a recipe's name (virchow2, "
        "uni2-h, ...: see 'pathorob-checks recipes'), hf-hub:org/model[@revision], local-dir:PATH, "
        "python:module:factory, embeddings:DIR (precomputed), demo:stain-invariant or demo:color-sensitive. "
        "The packaged checks run, and beside them the paths on the command line; 'suites' names the packaged "
        "checks, to run some of them alone",
    ),
    Option(
        flag="--fm-cohort",
        path_in=_own_cohort,
        setting="cohorts",
        metavar="NAME|PATH",
        repeatable=True,
        help="cohort to check on; repeat for several. camelyon, tcga, tolkach_esca (default: all three; "
        "@revision pins the images), demo (the default for demo: models), or your own: a folder with "
        "manifest.csv (image_path, slide_id, patch_id, biological_class, medical_center[, subset]), a tree "
        "CLASS/CENTER/SLIDE/PATCH.png, or a parquet file with an image column",
    ),
    Option(
        flag="--fm-criteria",
        path_in=_criteria_file,
        metavar="PROFILE|FILE",
        repeatable=True,
        default=("floor",),
        environment="PATHOROB_CHECKS_CRITERIA",
        help="what must hold: floor (default), median, frontier, release, or a TOML or YAML file; "
        "repeat to merge several: a later file may only add criteria or make them stricter",
    ),
    Option(
        flag="--fm-criteria-digest",
        metavar="HEX",
        parse=sha256,
        environment="PATHOROB_CHECKS_CRITERIA_DIGEST",
        help="run only if criteria, protocol, baseline and own cohorts have this digest, which "
        "'pathorob-checks criteria show' prints",
    ),
    Option(
        flag="--fm-require-complete",
        metavar="true|false",
        parse=yes_or_no,
        switch=True,
        default=False,
        environment="PATHOROB_CHECKS_REQUIRE_COMPLETE",
        help="fail if a required criterion or an integrity check is left out, even by you (-k, -m, node id, "
        "--fm-commercial); without it such a run ends as PARTIAL with exit code 0",
    ),
    Option(
        flag="--fm-baseline",
        path_in=_results_file,
        metavar="RESULTS.json|FM",
        environment="PATHOROB_CHECKS_BASELINE",
        help="every FM must not be worse than this one: a results file, or the name of an FM of this run",
    ),
    Option(
        flag="--fm-baseline-fm",
        metavar="NAME",
        help="which FM of the baseline's results file, where it has several",
    ),
    Option(
        flag="--fm-repetitions",
        metavar="N",
        parse=repetitions,
        help="draws of training and test slides for the performance drop (default: the criteria's, or 20 as "
        "the benchmark); more of them narrow the part of the interval that is the draw, and take longer",
    ),
    Option(
        flag="--fm-device",
        metavar="DEVICE",
        parse=device,
        default="auto",
        environment="PATHOROB_CHECKS_DEVICE",
        help="auto (default: CUDA where there is one), cpu, cuda or cuda:N",
    ),
    Option(
        flag="--fm-batch-size",
        metavar="N",
        parse=batch_size,
        environment="PATHOROB_CHECKS_BATCH_SIZE",
        help="patches per batch (default: what suits the device)",
    ),
    Option(
        flag="--fm-precision",
        metavar="fp32|bf16|fp16",
        parse=one_of(*PRECISIONS),
        default="fp32",
        environment="PATHOROB_CHECKS_PRECISION",
        help="precision of the forward pass (default: fp32); embeddings of each precision are kept apart",
    ),
    Option(
        flag="--fm-pooling",
        metavar="|".join(POOLINGS),
        parse=one_of(*POOLINGS),
        environment="PATHOROB_CHECKS_POOLING",
        help="how tokens become one embedding (default: clsmean where the model has a class token, as the "
        "benchmark; else the model's own pooling)",
    ),
    Option(
        flag="--fm-cache",
        decides=False,
        path_in=_whole,
        metavar="DIR",
        environment="PATHOROB_CHECKS_CACHE",
        help="folder for embeddings, keyed by content (default: the user's cache folder)",
    ),
    Option(
        flag="--fm-cache-limit",
        decides=False,
        metavar="SIZE",
        parse=parse_size,
        environment="PATHOROB_CHECKS_CACHE_LIMIT",
        help="after each extraction, remove the least recently used embeddings until the folder is at most "
        "this size, such as 50GB; embeddings in use are kept (default: nothing is removed)",
    ),
    Option(
        flag="--fm-engine",
        metavar="local|ray",
        parse=one_of(*ENGINES),
        default="local",
        environment="PATHOROB_CHECKS_ENGINE",
        help="what embeds: this process (default), or actors on a Ray cluster (extra [ray])",
    ),
    Option(
        flag="--fm-ray-address",
        decides=False,
        metavar="ADDRESS",
        environment="RAY_ADDRESS",
        help="Ray cluster for --fm-engine=ray, like head:6379 or auto (default: one on this machine)",
    ),
    Option(
        flag="--fm-metadata",
        path_in=_whole,
        metavar="DIR",
        environment="PATHOROB_CHECKS_METADATA",
        help="folder with the benchmark's tables (camelyon.csv, tcga_2x2.csv, ...); default: the published "
        "tables are downloaded and verified",
    ),
    Option(
        flag="--fm-accept-names",
        path_in=_whole,
        setting="accepted_names",
        metavar="FILE",
        help="reviewed names of classes, centers and subsets that may look like another one or mix scripts: "
        "UTF-8 text, one name in each line (default: such names are refused)",
    ),
    Option(
        flag="--fm-commercial",
        metavar="true|false",
        parse=yes_or_no,
        switch=True,
        default=False,
        environment="PATHOROB_CHECKS_COMMERCIAL",
        help="leave out the cohorts and FMs whose license is not known to allow commercial use",
    ),
    Option(
        flag="--fm-licensed",
        path_in=_after_kind,
        metavar="SPEC|NAME|PATH",
        repeatable=True,
        help="with --fm-commercial: an FM or cohort, written as after --fm or --fm-cohort, that you may use "
        "commercially whatever is known of its license; repeat for several",
    ),
    Option(
        flag="--fm-trust-remote-code",
        metavar="true|false",
        parse=yes_or_no,
        switch=True,
        default=False,
        help="allow a model's repository to run its own code; the SPEC must have a full commit as @revision",
    ),
    Option(
        flag="--fm-checkpoint-key",
        metavar="KEY",
        help="key of the dictionary in an FM's checkpoint that holds the network, such as teacher (default: "
        "the recipe's, else what is found)",
    ),
    Option(
        flag="--fm-checkpoint-prefix",
        setting="checkpoint_prefixes",
        metavar="PREFIX",
        repeatable=True,
        help="what the names of the network's tensors begin with in an FM's checkpoint, such as encoder.; it "
        "is removed from them; repeat to remove several, one after the other; other tensors are left "
        "out (default: the recipe's, else what is found)",
    ),
    Option(
        flag="--fm-json",
        is_report=True,
        path_in=_whole,
        metavar="FILE",
        help="write the results file (schema pathorob-checks/results/2, see 'pathorob-checks schema')",
    ),
    Option(
        flag="--fm-html",
        is_report=True,
        path_in=_whole,
        metavar="FILE",
        help="write a report for reading and printing: one HTML file with all figures, and small images of "
        "the patches that a metric misses",
    ),
    Option(
        flag="--fm-html-images",
        setting="images",
        metavar="true|false",
        parse=yes_or_no,
        default=True,
        decides=False,
        help="whether the HTML report has small images of patches (default: true); no other file has any",
    ),
    Option(
        flag="--fm-markdown",
        is_report=True,
        path_in=_whole,
        metavar="FILE",
        help="write a report for pull requests as Markdown; on GitHub Actions it is in the step summary "
        "without this option",
    ),
    Option(
        flag="--fm-evidence",
        is_evidence=True,
        decides=False,
        path_in=_whole,
        metavar="DIR",
        environment="PATHOROB_CHECKS_EVIDENCE",
        help="write evidence for the archive into this new folder: protocol (fixed before the run), results, "
        "JUnit, report, environment, provenance, bill of materials, traceability, deviations, limitations, "
        "and a manifest with the digest of every file; see docs/evidence.md",
    ),
    Option(
        flag="--fm-evidence-identify",
        is_evidence=True,
        decides=False,
        metavar="true|false",
        parse=yes_or_no,
        switch=True,
        default=False,
        help="name the person and the machine in the evidence (default: user, home and host are taken out)",
    ),
    Option(
        flag="--fm-sign",
        is_evidence=True,
        decides=False,
        path_in=_key_file,
        metavar="KEY.pem|sigstore",
        help="sign the evidence with this private key (Ed25519 or ECDSA P-256), or by sigstore (default: "
        "it is not signed)",
    ),
    Option(
        flag="--fm-qualification",
        is_evidence=True,
        decides=False,
        path_in=_whole,
        metavar="DIR",
        environment="PATHOROB_CHECKS_QUALIFICATION",
        help="refer in the evidence to this folder of 'pathorob-checks qualify --out', which is verified; "
        "one that did not pass or is of other code is a deviation",
    ),
    Option(
        flag="--fm-history",
        is_history=True,
        decides=False,
        bare="default",
        parse=_history,
        path_in=_history_file,
        metavar="FILE",
        environment="PATHOROB_CHECKS_HISTORY",
        help="keep the run in this SQLite file, of which 'pathorob-checks history' shows the trend; without "
        "=FILE in the user's data folder (default: runs are not kept)",
    ),
)


def add_options(parser: pytest.Parser) -> None:
    """Register every option and its ini value."""
    group = parser.getgroup("pathorob-checks", "robustness of pathology foundation models")
    for option in OPTIONS:
        how: dict[str, Any] = {
            "action": "append" if option.repeatable else "store",
            "metavar": option.metavar,
            **({"nargs": "?", "const": option.bare} if option.bare is not None else {}),
        }
        group.addoption(
            option.flag,
            **({"action": "store_const", "const": "true"} if option.switch else how),
            default=None,
            dest="pathorob_" + option.ini,
            help=option.help + (f" [env: {option.environment}]" if option.environment else ""),
        )
        parser.addini(option.ini, f"default for {option.flag}", type=_ini_type(option), default=None)


def _ini_type(option: Option) -> Any:
    """What pytest accepts in a configuration file, whose TOML form knows true, numbers and lists."""
    if option.repeatable:
        return "linelist"
    if option.parse is yes_or_no:
        return "bool"
    # pytest knows numbers in configuration files since 8.4; before, all of them are text.
    is_number = option.parse is batch_size and pytest.version_tuple >= (8, 4)
    return "int" if is_number else "string"
