"""Bad input ends in one clear sentence with a remedy, never in a traceback of ours or exit code 0."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cohort_folders import write_cohort
from loopback_hub import LoopbackHub, loopback_hub, write_tiny_vit
from terminal import Run, Terminal

FM = "--fm=demo:color-sensitive"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("data") / "slides", patches=1)


@pytest.fixture
def terminal(lone_terminal: Terminal) -> Terminal:
    """With a cache of its own: FMs of the same name and weights differ from test to test."""
    return lone_terminal


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackHub]:
    with loopback_hub() as running:
        running.add("acme/gated", write_tiny_vit(tmp_path_factory.mktemp("models") / "gated"))
        running.repositories["acme/gated"].gated = True
        yield running


def is_one_sentence(run: Run, *words: str) -> None:
    """The command stopped at once with exit code 4, and its only error has these words."""
    assert run.code == 4, run.output
    [line] = run.errors
    for word in words:
        assert word in line, line
    assert "Traceback" not in run.output


def is_an_error_of_every_check(run: Run, *words: str) -> None:
    """Every check ended as an error with these words, and nothing passed."""
    assert run.code == 1, run.output
    flat = " ".join(run.output.split())
    for word in words:
        assert word in flat, run.output
    assert "Traceback" not in run.output
    assert " passed" not in run.output
    assert "ERROR: 0 of 4 criteria measured" in flat


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fm=virchow99"], ["virchow99", "did you mean virchow?"]),
        (["--fm=nothing-like-it"], ["nothing-like-it", "hf-hub:org/model"]),
        (["--fm=demo:stain-invarient"], ["did you mean", "stain-invariant"]),
        (["--fm=hf-hub:../../etc/passwd"], ["no repository of the form org/model"]),
        ([FM, FM], ["demo:color-sensitive"]),
        ([FM, "--fm-criteria=florr"], ["florr", "floor"]),
        ([FM, "--fm-criteria=missing.toml"], ["missing.toml", "cannot be read"]),
        ([FM, "--fm-criteria=median"], ["median", "demo", "floor"]),
        ([FM, "--fm-cohort=nowhere"], ["nowhere", "parquet file"]),
        ([FM, "--fm-cohort=camelion"], ["camelion", "did you mean 'camelyon'"]),
        ([FM, "--fm-cohort=camelyon@../main"], ["camelyon@../main", "no valid revision"]),
        ([FM, "--fm-cohort=tcga", "--fm-commercial"], ["--fm-commercial leaves nothing", "CC-BY-NC-SA-4.0"]),
        (["--fm=conch", "--fm-cohort=demo"], ["package", "conch", "python:module:factory"]),
        (["--fm=rudolfv-2", "--fm-cohort=demo"], ["--fm-trust-remote-code", "40 digits"]),
        (
            ["--fm=hibou-b", "--fm-cohort=demo"],
            ["needs transformers<5", "install pathorob-checks and"],
        ),
        ([FM, "--fm-licensed=vit"], ["licensed", "--fm-commercial"]),
        ([FM, "--fm-commercial", "--fm-licensed=vit"], ["--fm-licensed=vit is no FM and no cohort"]),
        (["--fm=embeddings:nowhere", "--fm-cohort=demo"], ["embeddings:nowhere", "not a folder"]),
        ([FM, "--fm-batch-size=0"], ["--fm-batch-size", "positive whole number"]),
        ([FM, "--fm-precision=fp8"], ["--fm-precision", "is not one of fp32, bf16, fp16"]),
        ([FM, "--fm-device=gpu"], ["--fm-device: 'gpu' is no device; choose auto, cpu, cuda or cuda:N"]),
        ([FM, "--fm-precision=bf16"], ["--fm-precision cannot be applied to demo:color-sensitive"]),
        (["--fm=/nowhere"], ["--fm=/nowhere is not a foundation model", "did you mean local-dir:/nowhere?"]),
        ([FM, "--fm-cohort=camelyn"], ["did you mean 'camelyon'"]),
        ([FM, "--fm-criteria=gate.tml"], ["there is no file and no profile 'gate.tml'"]),
        ([FM, "--fm-device=cuda:99"], ["device cuda:99 is not available"]),
        ([FM, "--fm-baseline-fm=old"], ["there is no baseline"]),
        (["--fm=local-dir:nowhere", "--fm-cohort=demo"], ["local-dir:nowhere", "not a folder"]),
        ([FM, "--fm-cache=/dev/null/cache"], ["/dev/null/cache", "--fm-cache"]),
        ([FM, "--fm-json=/dev/null/results.json"], ["/dev/null/results.json", "written"]),
    ],
    ids=lambda value: " ".join(value)[:40] if value and str(value[0]).startswith("--") else "",
)
def test_wrong_options(terminal: Terminal, arguments: list[str], words: list[str]) -> None:
    is_one_sentence(terminal.pytest(*arguments), *words)


@pytest.mark.parametrize("fm", ["virchow2", "virchow2@main", f"hf-hub:paige-ai/Virchow2@{'a' * 40}"])
def test_a_model_that_is_nowhere_to_be_had(terminal: Terminal, fm: str) -> None:
    """Known before anything is measured, for a commit that needs no looking up too."""
    run = terminal.pytest(f"--fm={fm}", HF_HUB_OFFLINE="1", HF_HOME=str(terminal.folder / "home"))
    is_one_sentence(run, "paige-ai/Virchow2", "prefetch")


def test_an_unknown_metric_in_a_criteria_file(terminal: Terminal) -> None:
    (terminal.folder / "mine.toml").write_text(
        'schema = "pathorob-checks/criteria/1"\nname = "mine"\n[[criteria]]\nid = "a"\n'
        'metric = "robustnes_index"\nat_least = 0.5\nrationale = "A test."\n'
    )
    run = terminal.pytest(FM, "--fm-criteria=mine.toml")
    is_one_sentence(run, "robustnes_index", "did you mean 'robustness_index'")


def edit(old: str, new: str, count: int = -1) -> Callable[[Path], None]:
    """A change of the manifest's text."""

    def apply(folder: Path) -> None:
        manifest = folder / "manifest.csv"
        text = manifest.read_text()
        assert old in text
        manifest.write_text(text.replace(old, new, count))

    return apply


def repeat_a_row(folder: Path) -> None:
    manifest = folder / "manifest.csv"
    manifest.write_text(manifest.read_text() + manifest.read_text().splitlines()[1] + "\n")


def leave_tumor_in_one_center(folder: Path) -> None:
    manifest = folder / "manifest.csv"
    rows = manifest.read_text().splitlines()
    manifest.write_text("\n".join(row for row in rows if ",tumor,south," not in row) + "\n")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (edit("medical_center", "hospital"), ["medical_center", "column"]),
        (lambda folder: (folder / "images/north_tumor_3_0.png").unlink(), ["north_tumor_3_0.png"]),
        (leave_tumor_in_one_center, ["tumor", "north"]),
        (repeat_a_row, ["north-stroma-0", "p0"]),
        (edit("images/north_tumor_3_0.png", "../north.png"), ["../north.png"]),
        (lambda folder: (folder / "manifest.csv").unlink(), ["manifest.csv", "<class>/<center>/<slide>"]),
        (lambda folder: (folder / "manifest.csv").write_text(""), ["manifest.csv", "empty"]),
    ],
    ids=["missing column", "missing image", "one center", "duplicate", "outside", "no manifest", "empty"],
)
def test_a_malformed_manifest(
    terminal: Terminal, images: Path, spoil: Callable[[Path], object], words: list[str]
) -> None:
    folder = shutil.copytree(images, terminal.folder / "slides")
    spoil(folder)
    is_one_sentence(terminal.pytest(FM, "--fm-cohort=slides"), *words)


def test_a_corrupt_image_names_the_file(terminal: Terminal, images: Path) -> None:
    folder = shutil.copytree(images, terminal.folder / "slides")
    broken = folder / "images/north_tumor_3_0.png"
    broken.write_bytes(broken.read_bytes()[:200])
    is_an_error_of_every_check(terminal.pytest(FM, "--fm-cohort=slides"), "north_tumor_3_0.png")


def test_too_few_slides_say_how_many_are_needed_where_before_anything_is_embedded(terminal: Terminal) -> None:
    write_cohort(terminal.folder / "slides", slides=7)
    run = terminal.pytest(FM, "--fm-cohort=slides", "--fm-json=results.json")
    is_one_sentence(
        run,
        "criteria 'performance-drop-id', 'performance-drop-ood' of cohort slides cannot be measured",
        "stroma in north has 7 slides, 10 are needed",
        "tumor in south has 7 slides, 10 are needed",
        "do without them by -k \"not performance_drop\" on the command line or by 'required = false' in a "
        "criteria file",
    )
    assert terminal.results()["checks"] == []
    assert not any(terminal.cache.rglob("*.bin"))

    part = terminal.pytest(FM, "--fm-cohort=slides", "-k", "not performance_drop", "--fm-json=results.json")
    assert "cannot be measured: criteria 'performance-drop-id', 'performance-drop-ood'" in part.output
    verdicts = {check["metric"]: check["verdict"] for check in terminal.results()["checks"]}
    assert set(verdicts) == {"robustness_index", "clustering_score"}
    assert terminal.results()["complete"] is False


DROPS = "performance_drop or robustness"
SELECTIONS = {
    "-k": (["-k", DROPS], f'-k "({DROPS}) and not performance_drop"'),
    "-k of one": (["-k", "not drop_ood"], '-k "not drop_ood and not performance_drop_id"'),
    "names": (
        ["suites/test_performance_drop.py", "suites/test_robustness_index.py"],
        '"not performance_drop"',
    ),
    "workers": (["-n1", "-k", DROPS], f'-k "({DROPS}) and not performance_drop"'),
    "full": (
        ["--fm-criteria=full", "-k", "not performance_drop"],
        '-k "not performance_drop and not (retrieval or slide_prediction)"',
    ),
}


@pytest.mark.parametrize(("selection", "keyword"), SELECTIONS.values(), ids=SELECTIONS)
def test_what_the_command_line_keeps_is_refused_as_in_a_whole_run(
    terminal: Terminal, selection: list[str], keyword: str
) -> None:
    write_cohort(terminal.folder / "slides", slides=7)
    run = terminal.pytest(FM, "--fm-cohort=slides", "--fm-json=results.json", *selection)
    is_one_sentence(run, "cannot be measured", keyword)
    assert terminal.results()["checks"] == []
    assert not any(terminal.cache.rglob("*.bin"))

    expression = re.search(r'-k "([^"]*)"', " ".join(run.output.split()))
    assert expression
    rest = [word for word in selection if word.startswith(("--", "suites"))]
    part = terminal.pytest(FM, "--fm-cohort=slides", "--fm-json=results.json", *rest, "-k", expression[1])
    checks = terminal.results()["checks"]
    assert checks, part.output
    assert not [check["id"] for check in checks if check["verdict"] == "ERROR"]


def test_a_check_that_cannot_have_a_value_embeds_nothing(terminal: Terminal) -> None:
    write_cohort(terminal.folder / "slides", slides=7)
    (terminal.folder / "ours.py").write_text(
        "class Encoder:\n"
        "    def preprocess(self, image):\n"
        "        raise RuntimeError('embedded')\n"
        "    def embed(self, batch):\n"
        "        raise RuntimeError('embedded')\n"
    )
    (terminal.folder / "mine.toml").write_text(
        'schema = "pathorob-checks/criteria/1"\nname = "mine"\n[[criteria]]\nid = "a"\n'
        'metric = "performance_drop_id"\nat_least = -0.5\nrequired = false\nrationale = "A test."\n'
    )
    run = terminal.pytest(
        "--fm=python:ours:Encoder",
        "--fm-cohort=slides",
        "--fm-criteria=mine.toml",
        "-k",
        "performance_drop_id",
    )
    assert "too few slides for 5 training splits" in " ".join(run.output.split())
    assert "embedded" not in run.output


def test_one_slide_in_every_cell_leaves_no_interval(terminal: Terminal) -> None:
    write_cohort(terminal.folder / "slides", slides=1, patches=10)
    (terminal.folder / "mine.toml").write_text(
        'schema = "pathorob-checks/criteria/1"\nname = "mine"\n[[criteria]]\nid = "a"\n'
        'metric = "robustness_index"\nat_least = 0.0\nrationale = "A test."\n'
    )
    run = terminal.pytest(FM, "--fm-cohort=slides", "--fm-criteria=mine.toml")
    is_one_sentence(
        run, "every biological class has only 1 slide in each medical center, 2 are needed for an interval"
    )
    file = terminal.folder / "mine.toml"
    file.write_text(file.read_text() + 'rule = "point"\n')
    run = terminal.pytest(FM, "--fm-cohort=slides", "--fm-criteria=mine.toml")
    assert run.code == 0, run.output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("value", "word"), [("nan", "NaN"), ("inf", "infinit"), ("0.0", "zero"), ("1.0", "same")]
)
def test_useless_embeddings(terminal: Terminal, images: Path, value: str, word: str) -> None:
    (terminal.folder / "ours.py").write_text(
        "import torch\n"
        "class Encoder:\n"
        "    def preprocess(self, image):\n"
        "        return torch.zeros(3, 8, 8)\n"
        "    def embed(self, batch):\n"
        f"        return torch.full((len(batch), 4), float('{value}'))\n"
    )
    run = terminal.pytest("--fm=python:ours:Encoder", f"--fm-cohort={images}")
    is_an_error_of_every_check(run)
    assert word.lower() in run.output.lower()


def test_a_repository_that_does_not_exist(terminal: Terminal, images: Path, hub: LoopbackHub) -> None:
    run = terminal.pytest(
        "--fm=hf-hub:acme/nothing", f"--fm-cohort={images}", **hub.settings(terminal.folder / "home")
    )
    is_one_sentence(run, "acme/nothing")


def test_a_gated_repository_says_what_to_do_and_shows_no_token(
    terminal: Terminal, images: Path, hub: LoopbackHub
) -> None:
    environment = hub.settings(terminal.folder / "home", HF_TOKEN="hf_secretsecretsecret")
    run = terminal.pytest("--fm=hf-hub:acme/gated", f"--fm-cohort={images}", **environment)
    assert run.code == 1
    assert "HF_TOKEN" in run.output
    assert "acme/gated" in run.output
    assert "secretsecret" not in run.output
    assert "Traceback" not in run.output


def test_no_network(terminal: Terminal, images: Path) -> None:
    run = terminal.pytest(
        "--fm=hf-hub:acme/vit",
        f"--fm-cohort={images}",
        HF_ENDPOINT="http://127.0.0.1:9",
        HF_HOME=str(terminal.folder / "home"),
    )
    is_one_sentence(run, "acme/vit")
