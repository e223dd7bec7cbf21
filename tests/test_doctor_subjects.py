"""`pathorob-checks doctor` says of FMs, embeddings and cohorts what a run would refuse, before it embeds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from cohort_folders import write_cohort
from loopback_hub import loopback_hub, write_tiny_vit
from terminal import Run, Terminal

from pathorob_checks.cohorts.cohort import COLUMNS


@pytest.fixture
def here(lone_terminal: Terminal) -> Path:
    write_cohort(lone_terminal.folder / "slides")
    return lone_terminal.folder


@pytest.fixture
def doctor(lone_terminal: Terminal) -> Callable[..., Run]:
    def run(*arguments: str) -> Run:
        done = lone_terminal.command("doctor", *arguments, HF_HUB_OFFLINE="1")
        return Run(done.code, " ".join(done.output.split()))

    return run


def _vit(folder: Path) -> Path:
    return write_tiny_vit(folder / "fm")


def _with(**files: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for name, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (folder / name.replace("__", ".")).write_text(text)

    return change


def _without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _index(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))


def _cut(name: str, size: int | None = None) -> Callable[[Path], None]:
    """Keep the first bytes of a file of weights, half of them where no number is given."""

    def change(folder: Path) -> None:
        path = folder / name
        if not path.exists():
            (folder / "model.safetensors").unlink()
            torch.save({"a": torch.zeros(5_000)}, path)
        content = path.read_bytes()
        path.write_bytes(content[: size or len(content) // 2])

    return change


def _page(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_text("<html>log in</html>")


def _renamed(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"architecture": "vit_of_ours"}))


BROKEN = {
    "a pointer of git-lfs": (
        _with(model__safetensors="version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
        "model.safetensors of local-dir:fm is a pointer of git-lfs, not the weights",
    ),
    "an empty file of weights": (_with(model__safetensors=""), "model.safetensors of local-dir:fm is empty"),
    "safetensors that were cut off": (
        _cut("model.safetensors"),
        "model.safetensors of local-dir:fm was cut off: it has",
    ),
    "a header that was cut off": (_cut("model.safetensors", 100), "is damaged or not a safetensors file"),
    "a checkpoint of torch that was cut off": (_cut("pytorch_model.bin"), "was cut off: the end of the"),
    "another page in its place": (
        _page,
        "pytorch_model.bin of local-dir:fm is damaged or not a file of torch",
    ),
    "an unknown architecture": (_renamed, "needs the architecture 'vit_of_ours', which is not in timm"),
}
REFUSED = {
    **BROKEN,
    "no config": (_without("config.json"), "has no config.json"),
    "config is no JSON": (_with(config__json="{"), "config.json of local-dir:fm cannot be read"),
    "a login page": (_with(config__json="<html>"), "config.json of local-dir:fm is a web page"),
    "no library": (_with(config__json={"a": 1}), "is neither timm's (no architecture) nor transformers'"),
    "its own code": (
        _with(config__json={"model_type": "ours", "auto_map": {"AutoModel": "ours.Ours"}}),
        "is Python code in its repository that is not trusted and not pinned to a commit",
    ),
    "no weights": (_without("model.safetensors"), "has no weights"),
    "a missing shard": (_index, "has no model-00002-of-00002.safetensors, which is listed in"),
    "an adapter": (_with(adapter_config__json={}), "has an adapter (adapter_config.json)"),
}


@pytest.mark.parametrize(("change", "words"), REFUSED.values(), ids=REFUSED)
def test_a_folder_that_a_run_refuses(
    here: Path, doctor: Callable[..., Run], change: Callable[[Path], None], words: str
) -> None:
    change(_vit(here))
    run = doctor("--fm=local-dir:fm", "--fm-cohort=slides")
    [problem] = re.findall(r"FAIL FM fm: (.*?)(?= PASS| WARN)", run.output)
    assert run.code == 1
    assert words in problem


@pytest.mark.parametrize(("change", "words"), BROKEN.values(), ids=BROKEN)
def test_broken_files_stop_a_run_before_it_measures(
    lone_terminal: Terminal, here: Path, change: Callable[[Path], None], words: str
) -> None:
    change(_vit(here))
    run = lone_terminal.pytest("--fm=local-dir:fm", "--fm-cohort=slides")
    [error] = run.errors
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert words in error


def test_a_folder_that_a_run_takes(here: Path, doctor: Callable[..., Run]) -> None:
    _vit(here)
    run = doctor("--fm=local-dir:fm", "--fm-cohort=slides")
    assert (run.code, "PASS FM fm: local-dir:fm has 2 files to read" in run.output) == (0, True), run.output
    assert "PASS time: roughly 1 minute to embed 96 patches with 1 FM in fp32 on" in run.output


def test_an_optional_library_that_is_not_installed(
    here: Path, doctor: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "transformers" else find(name, *rest)
    )
    _with(config__json={"model_type": "dinov2"})(_vit(here))
    run = doctor("--fm=local-dir:fm", "--fm-cohort=slides")
    assert "FAIL FM fm: local-dir:fm is a model of transformers, which is not installed" in run.output
    assert "install it with pip install 'transformers>=5.23'" in run.output


def test_code_of_a_repository_is_refused_as_by_a_run(lone_terminal: Terminal, tmp_path: Path) -> None:
    files = tmp_path / "remote"
    write_tiny_vit(files)
    _with(config__json={"model_type": "ours", "auto_map": {"AutoModel": "ours.Ours"}}, ours__py="")(files)
    with loopback_hub() as hub:
        commit = hub.add("lab/remote", files)
        settings = hub.settings(tmp_path / "home")
        for pinned, trust in ((False, False), (True, False), (False, True), (True, True)):
            given = [f"--fm=hf-hub:lab/remote{'@' + commit if pinned else ''}", "--fm-cohort=demo"]
            given += ["--fm-trust-remote-code"] if trust else []
            run = lone_terminal.command("doctor", *given, **settings)
            refused = "is Python code in its repository" in " ".join(run.output.split())
            assert (refused, run.code) == (not (pinned and trust), int(not (pinned and trust))), run.output


FACTORIES = {
    "raises": ("def build():\n    raise OSError('no weights here')\n", "no weights here"),
    "no model": ("def build():\n    return 7\n", "build"),
    "no factory": ("x = 1\n", "build"),
}


@pytest.mark.parametrize(("code", "words"), FACTORIES.values(), ids=FACTORIES)
def test_a_factory_that_a_run_refuses(here: Path, doctor: Callable[..., Run], code: str, words: str) -> None:
    name = f"factory_{abs(hash(code))}"
    (here / f"{name}.py").write_text(code)
    run = doctor(f"--fm=python:{name}:build", "--fm-cohort=slides")
    assert (run.code, "FAIL FM build: " in run.output) == (1, True), run.output
    assert words in run.output.partition("FAIL FM build: ")[2]


def test_given_embeddings_are_compared_with_the_cohort(here: Path, doctor: Callable[..., Run]) -> None:
    given = ("--fm=embeddings:emb", "--fm-cohort=slides")
    folder = here / "emb"
    folder.mkdir()
    run = doctor(*given)
    assert (run.code, "FAIL FM emb: folder '" in run.output) == (1, True), run.output
    assert "has no embeddings of the cohort 'slides'" in run.output
    table = pd.read_csv(here / "slides" / "manifest.csv", dtype=str)
    values = np.random.default_rng(0).normal(size=(len(table), 6)).astype(np.float32)
    (folder / "slides").mkdir()
    table[["slide_id", "patch_id"]].to_csv(folder / "slides" / "manifest.csv", index=False)
    np.save(folder / "slides" / "embeddings.npy", values[:-1])
    assert doctor(*given).code == 1
    np.save(folder / "slides" / "embeddings.npy", values)
    run = doctor(*given)
    assert run.code == 0, run.output
    assert "PASS FM emb: embeddings of 96 patches of slides, dimension 6" in run.output
    assert "PASS time: roughly 1 minute for the metrics on 2 cores" in run.output


def _keep(where: Callable[[pd.DataFrame], pd.Series[bool]]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: table[where(table)]


DESIGNS = {
    "no OOD patches": (
        _keep(lambda table: table.subset == "ID"),
        "FAIL cohort slides: performance_drop_ood: the cohort has no out-of-domain patches",
    ),
    "two slides per cell": (
        _keep(lambda table: table.slide_id.str.extract(r"(\d+)$")[0].astype(int) < 2),
        "FAIL cohort slides: training schedule: too few slides",
    ),
    "a class in one center": (
        _keep(lambda table: (table.biological_class == "stroma") | (table.medical_center == "north")),
        "FAIL cohort slides: biological class 'tumor' (first: 'images/north_tumor_0_0.png' (manifest.csv "
        "line 24)) has patches from only one in-domain medical center",
    ),
}


@pytest.mark.parametrize(("change", "words"), DESIGNS.values(), ids=DESIGNS)
def test_slides_that_a_metric_lacks(
    here: Path,
    doctor: Callable[..., Run],
    lone_terminal: Terminal,
    change: Callable[[pd.DataFrame], pd.DataFrame],
    words: str,
) -> None:
    manifest = here / "slides" / "manifest.csv"
    table = change(pd.read_csv(manifest, dtype=str))
    assert set(COLUMNS) <= set(table.columns)
    table.to_csv(manifest, index=False)
    run = doctor("--fm-cohort=slides", "--fm-criteria=release")
    assert run.code == 1
    assert words in run.output, run.output
    # The same as a run says, by the same function.
    keyword = re.search(r'-k "(.*?)"', run.output)
    assert bool(keyword) == ("only one in-domain" not in words)  # which no part of a run is possible with
    problem = words.removeprefix("FAIL cohort slides: ")
    measured = lone_terminal.pytest(
        "--fm=demo:stain-invariant", "--fm-cohort=slides", "--fm-criteria=release", "--tb=short"
    )
    said = " ".join(measured.output.split())
    assert problem in said, measured.output
    assert keyword is None or keyword[0] in said


def test_an_optional_criterion_is_no_reason_to_stop(here: Path, doctor: Callable[..., Run]) -> None:
    manifest = here / "slides" / "manifest.csv"
    table = pd.read_csv(manifest, dtype=str)
    table[table.subset == "ID"].to_csv(manifest, index=False)
    lines = [
        'schema = "pathorob-checks/criteria/1"', 'name = "ours"', "[[criteria]]", 'id = "ood"',
        'metric = "performance_drop_ood"', "at_least = -0.5", 'rationale = "A test."', "required = false",
    ]  # fmt: skip
    (here / "ours.toml").write_text("\n".join(lines) + "\n")
    run = doctor("--fm-cohort=slides", "--fm-criteria=ours.toml")
    assert (run.code, "WARN cohort slides: performance_drop_ood: " in run.output) == (0, True), run.output


def test_small_cells_are_told(here: Path, doctor: Callable[..., Run]) -> None:
    manifest = here / "slides" / "manifest.csv"
    table = pd.read_csv(manifest, dtype=str)
    dropped = table.slide_id.isin([f"north-tumor-{number}" for number in range(8)])
    table[~dropped].to_csv(manifest, index=False)
    lines = [
        'schema = "pathorob-checks/criteria/1"', 'name = "ours"', "[[criteria]]", 'id = "index"',
        'metric = "robustness_index"', "at_least = 0.5", 'rationale = "A test."',
    ]  # fmt: skip
    (here / "ours.toml").write_text("\n".join(lines) + "\n")
    run = doctor("--fm-cohort=slides", "--fm-criteria=ours.toml")
    assert (
        "WARN cohort slides: 1 of its 4 cells (in-domain medical center x class) has fewer than 5"
        in run.output
    )
    assert "the fewest tumor of north with 3" in run.output
