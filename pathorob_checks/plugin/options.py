"""The command line: one table of options, each also an ini value and most an environment variable."""

from __future__ import annotations

from typing import Any

import pytest

from pathorob_checks.commands.completion import action_that_completes
from pathorob_checks.evaluation.settings import ENGINES, METHODS_OOD, READERS
from pathorob_checks.models.pooling import POOLINGS
from pathorob_checks.models.precision import PRECISIONS
from pathorob_checks.plugin.option import (
    Option,
    after_kind,
    batch_size,
    criteria_file,
    device,
    history,
    history_file,
    key_file,
    one_of,
    own_cohort,
    repetitions,
    results_file,
    sha256,
    whole,
    yes_or_no,
)
from pathorob_checks.sizes import parse_size

OPTIONS = (
    Option(
        flag="--fm",
        path_in=after_kind,
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
        flag="--fm-name",
        setting="names",
        metavar="NAME",
        repeatable=True,
        help="what the FM is called in tables, files, baselines and the history (default: its folder or "
        "repository); with several FMs give each one, in the order of --fm",
    ),
    Option(
        flag="--fm-cohort",
        path_in=own_cohort,
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
        path_in=criteria_file,
        metavar="PROFILE|FILE",
        repeatable=True,
        default=("floor",),
        environment="PATHOROB_CHECKS_CRITERIA",
        help="what must hold: floor (default), median, frontier, release, full, or a TOML or YAML file; "
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
        path_in=results_file,
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
        path_in=whole,
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
        flag="--fm-readers",
        decides=False,
        metavar="|".join(READERS),
        parse=one_of(*READERS),
        default="auto",
        environment="PATHOROB_CHECKS_READERS",
        help="what reads images: threads, or as many processes, which do not share one interpreter but take "
        "seconds to start (default: auto, processes for a GPU that gets many patches)",
    ),
    Option(
        flag="--fm-metadata",
        path_in=whole,
        metavar="DIR",
        environment="PATHOROB_CHECKS_METADATA",
        help="folder with the benchmark's tables (camelyon.csv, tcga_2x2.csv, ...); default: the published "
        "tables are downloaded and verified",
    ),
    Option(
        flag="--fm-accept-names",
        path_in=whole,
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
        path_in=after_kind,
        metavar="SPEC|NAME|PATH",
        repeatable=True,
        help="with --fm-commercial: an FM or cohort, written as after --fm or --fm-cohort, that you may use "
        "commercially whatever is known of its license; repeat for several",
    ),
    Option(
        flag="--fm-method",
        setting="methods",
        metavar="METHOD[+METHOD][,...]",
        repeatable=True,
        help="method that repairs images (reinhard, macenko) or embeddings (center, standardize, whiten, "
        "combat, combat-class, coral, subspace, leace), or that classifiers are trained with (dann); every "
        "criterion is measured without and with it. Join methods with '+', list several with ','",
    ),
    Option(
        flag="--fm-method-only",
        setting="method_only",
        metavar="true|false",
        parse=yes_or_no,
        switch=True,
        default=False,
        help="with --fm-method: leave out the FM without a method, because you release the FM with it; what "
        "the method may not destroy is still compared with the FM as it is",
    ),
    Option(
        flag="--fm-method-ood",
        setting="method_ood",
        metavar="unseen|unlabeled",
        parse=one_of(*METHODS_OOD),
        default="unseen",
        help="what methods may see of out-of-domain medical centers: nothing (the default), or their patches "
        "without biological classes",
    ),
    Option(
        flag="--fm-method-target",
        path_in=whole,
        setting="method_target",
        metavar="IMAGE|DIR",
        help="an image, or a folder of images, whose stain reinhard and macenko give to all patches "
        "(default: that of in-domain patches of each cohort)",
    ),
    Option(
        flag="--fm-pretraining",
        metavar="NAME",
        repeatable=True,
        help="data that the FM was pretrained on, such as TCGA or your own hospital; repeat until all are "
        "named (default: what its recipe states); the report says which cohorts come from there",
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
        path_in=whole,
        metavar="FILE",
        help="write the results file (schema pathorob-checks/results/2, see 'pathorob-checks schema')",
    ),
    Option(
        flag="--fm-html",
        is_report=True,
        path_in=whole,
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
        path_in=whole,
        metavar="FILE",
        help="write a report for pull requests as Markdown; on GitHub Actions it is in the step summary "
        "without this option",
    ),
    Option(
        flag="--fm-evidence",
        is_evidence=True,
        decides=False,
        path_in=whole,
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
        flag="--fm-evidence-by",
        is_evidence=True,
        decides=False,
        metavar="TEXT",
        help="who is responsible for the run, in the evidence: 'Jane Doe, validation engineer' "
        "(default: nobody is named)",
    ),
    Option(
        flag="--fm-sign",
        is_evidence=True,
        decides=False,
        path_in=key_file,
        metavar="KEY.pem|sigstore",
        help="sign the evidence with this private key (Ed25519 or ECDSA P-256), or by sigstore (default: "
        "it is not signed)",
    ),
    Option(
        flag="--fm-qualification",
        is_evidence=True,
        decides=False,
        path_in=whole,
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
        parse=history,
        path_in=history_file,
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
            "action": action_that_completes(option.flag, "append" if option.repeatable else "store"),
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
