"""The command line: one table of options, each also an ini value and most an environment variable."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from pathorob_checks.errors import SettingsError
from pathorob_checks.evaluation.settings import ENGINES, Settings
from pathorob_checks.models.pooling import POOLINGS
from pathorob_checks.models.precision import PRECISIONS
from pathorob_checks.sizes import parse_size


def batch_size(text: str) -> int:
    """A positive number of patches."""
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{text!r} is not a positive whole number")
    return int(text)


def yes_or_no(text: str) -> bool:
    """A switch's value where one is written: in an ini file or an environment variable."""
    try:
        return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]
    except KeyError:
        raise ValueError(f"{text!r} is neither true nor false") from None


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
    setting: str | None = None  # its name in `Settings`, where that is not the flag's

    @property
    def ini(self) -> str:
        """Name of the ini value."""
        return self.flag.lstrip("-").replace("-", "_")

    @property
    def name(self) -> str:
        """Name in `Settings`."""
        return self.setting or self.ini.removeprefix("fm_")


OPTIONS = (
    Option(
        flag="--fm",
        setting="fms",
        metavar="SPEC",
        repeatable=True,
        help="foundation model to check; repeat to compare several. SPEC is a recipe's name (virchow2, "
        "uni2-h, ...: see 'pathorob-checks recipes'), hf-hub:org/model[@revision], local-dir:PATH, "
        "python:module:factory, embeddings:DIR (precomputed), demo:stain-invariant or demo:color-sensitive. "
        "Without a path on the command line the packaged checks run",
    ),
    Option(
        flag="--fm-cohort",
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
        help="run only if criteria, protocol and baseline have this digest, which "
        "'pathorob-checks criteria show' prints",
    ),
    Option(
        flag="--fm-require-complete",
        metavar="true|false",
        parse=yes_or_no,
        switch=True,
        default=False,
        environment="PATHOROB_CHECKS_REQUIRE_COMPLETE",
        help="fail if a required criterion is not measured, even if you deselected it (-k, -m, node id)",
    ),
    Option(
        flag="--fm-baseline",
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
        flag="--fm-device",
        metavar="DEVICE",
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
        metavar="DIR",
        environment="PATHOROB_CHECKS_CACHE",
        help="folder for embeddings, keyed by content (default: the user's cache folder)",
    ),
    Option(
        flag="--fm-cache-limit",
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
        metavar="ADDRESS",
        environment="RAY_ADDRESS",
        help="Ray cluster for --fm-engine=ray, like head:6379 or auto (default: one on this machine)",
    ),
    Option(
        flag="--fm-metadata",
        metavar="DIR",
        environment="PATHOROB_CHECKS_METADATA",
        help="folder with the benchmark's tables (camelyon.csv, tcga_2x2.csv, ...); default: the published "
        "tables are downloaded and verified",
    ),
    Option(
        flag="--fm-accept-names",
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
        help="leave out the cohorts and FMs whose license forbids commercial use, or may forbid it",
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
        flag="--fm-json",
        metavar="FILE",
        help="write the results file (schema pathorob-checks/results/2, see 'pathorob-checks schema')",
    ),
)


def add_options(parser: pytest.Parser) -> None:
    """Register every option and its ini value."""
    group = parser.getgroup("pathorob-checks", "robustness of pathology foundation models")
    for option in OPTIONS:
        how: dict[str, Any] = {
            "action": "append" if option.repeatable else "store",
            "metavar": option.metavar,
        }
        group.addoption(
            option.flag,
            **({"action": "store_const", "const": "true"} if option.switch else how),
            default=None,
            dest="pathorob_" + option.ini,
            help=option.help + (f" [env: {option.environment}]" if option.environment else ""),
        )
        help_text = f"default for {option.flag}"
        if option.repeatable:
            parser.addini(option.ini, help_text, type="linelist")
        else:
            parser.addini(option.ini, help_text, type="string")


JSON_FILE = "json"


def settings(config: pytest.Config) -> Settings:
    """Command line, then environment, then ini file, then default; without FMs the plugin has nothing to do.

    Raises
    ------
    pytest.UsageError
        A value that its option does not take.
    """
    if not _value(config, OPTIONS[0]):
        return Settings(fms=())  # other options' values are of no concern to a run without an FM
    try:
        return Settings(**{one.name: _value(config, one) for one in OPTIONS if one.name != JSON_FILE})
    except SettingsError as error:
        raise pytest.UsageError(str(error)) from None


def results_file(config: pytest.Config) -> str | None:
    """The value of `--fm-json`."""
    file: str | None = _value(config, next(one for one in OPTIONS if one.name == JSON_FILE))
    return file


def _value(config: pytest.Config, option: Option) -> Any:
    given = config.getoption("pathorob_" + option.ini)
    if option.repeatable:
        variable = os.environ.get(option.environment or "", "")
        from_variable = variable.split(os.pathsep) if variable else []
        return tuple(given or from_variable or config.getini(option.ini) or option.default or ())
    source = option.flag
    if given is None and option.environment and os.environ.get(option.environment):
        given, source = os.environ[option.environment], option.environment
    if given is None and config.getini(option.ini):
        given, source = config.getini(option.ini), f"ini value {option.ini}"
    if given is None:
        return option.default
    try:
        return option.parse(given)
    except ValueError as error:
        raise pytest.UsageError(f"{source}: {error}.") from None
