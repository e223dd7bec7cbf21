"""What an embedding must show and must not depend on, tried on embeddings and models with one defect each."""

from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from cohort_folders import write_cohort
from loopback_hub import write_tiny_vit
from PIL import Image
from terminal import Terminal

from pathorob_checks.cohorts.cohort import Cohort, View
from pathorob_checks.cohorts.manifest import load_folder
from pathorob_checks.embeddings import integrity, integrity_record, precision_drift
from pathorob_checks.embeddings.extraction import Embeddings, obtain
from pathorob_checks.embeddings.integrity_record import established
from pathorob_checks.embeddings.store import EmbeddingStore
from pathorob_checks.errors import EmbeddingError, MetricError, ModelError
from pathorob_checks.metrics import robustness_index
from pathorob_checks.models import timm_model
from pathorob_checks.models.loading import ModelSettings, PreparedModel, prepare, resolve
from pathorob_checks.models.spec import parse_spec

Float32 = npt.NDArray[np.float32]


def matrix(rows: int = 600, columns: int = 32, offset: float = 1.0, seed: int = 0) -> Float32:
    """Gaussian rows around a common vector; more than the rows that are looked at in one go."""
    rng = np.random.default_rng(seed)
    return (offset * rng.standard_normal(columns) + rng.standard_normal((rows, columns))).astype(np.float32)


def keys(values: Float32) -> list[str]:
    return [f"s-{row}" for row in range(len(values))]


# -- the matrix --------------------------------------------------------------------------------------------


def test_a_sound_matrix_passes_by_far() -> None:
    values = matrix()
    assert integrity.check_spread(values) > 0.5
    assert integrity.check_directions(values) > 25
    assert integrity.check_twins(values, keys(values)) == 0
    assert integrity.check_columns(values) == 0


def test_a_small_variation_about_a_large_vector_is_nearly_constant() -> None:
    assert integrity.check_spread(matrix(offset=30)) > integrity.LEAST_SPREAD
    with pytest.raises(EmbeddingError, match=r"600 patches are nearly constant: they differ by 0\.00\d+ of"):
        integrity.check_spread(matrix(offset=300))


@pytest.mark.parametrize("rank", [1, 2])
def test_a_line_and_a_plane_are_collapsed_also_under_rounding_noise(rank: int) -> None:
    rng = np.random.default_rng(0)
    flat = rng.standard_normal((600, rank)) @ rng.standard_normal((rank, 32))
    flat += rng.standard_normal(32) + 0.01 * rng.standard_normal(flat.shape)
    with pytest.raises(EmbeddingError, match=f"collapsed: {rank} of 32 directions hold 99% of the variance"):
        integrity.check_directions(flat.astype(np.float32))


def test_the_number_of_directions_does_not_depend_on_which_side_is_longer() -> None:
    wide = matrix(rows=40, columns=300)
    centered = wide - wide.mean(axis=0)
    variances = np.linalg.svd(centered, compute_uv=False) ** 2
    expected = int((np.cumsum(variances) / variances.sum() < 0.99).sum()) + 1
    assert integrity.check_directions(wide) == expected
    assert integrity.check_directions(np.hstack([wide[:, :5], np.zeros((40, 9), np.float32)])) == 5


def test_two_columns_need_no_third_direction() -> None:
    assert integrity.check_directions(matrix(columns=2)) == 2
    line = matrix(columns=2)
    line[:, 1] = line[:, 0]
    with pytest.raises(EmbeddingError, match="1 of 2 directions"):
        integrity.check_directions(line)


@pytest.mark.parametrize("step", [1e-6, 0.0])
def test_patches_with_the_embedding_of_another_are_counted(step: float) -> None:
    values = matrix()
    values[-10:] = values[:10] * (1 + step)  # of 600, both of a pair count
    assert integrity.check_twins(values, keys(values)) == pytest.approx(20 / 600)
    values[-20:] = values[:20] * (1 + step)
    with pytest.raises(
        EmbeddingError, match=r"40 patches \('s-0', 's-1', 's-2', \.\.\.\) of 600 .* 7% where 5%"
    ):
        integrity.check_twins(values, keys(values))


def test_near_patches_are_no_twins() -> None:
    values = matrix()
    values[-60:] = values[:60] * (1 + 1e-4)
    assert integrity.check_twins(values, keys(values)) == 0


def test_a_blank_half_is_dead_columns() -> None:
    values = matrix()
    values[:, 16:] = 0.1
    with pytest.raises(EmbeddingError, match=r"16 of 32 columns .* 600 patches, 50% .* first is column 16"):
        integrity.check_columns(values)
    values = matrix()
    values[:, :8] = 0
    assert integrity.check_columns(values) == 0.25


# -- the model ---------------------------------------------------------------------------------------------


class Model:
    """A stand-in: mean and standard deviation of the colors of an image, and of its left half."""

    identity: dict[str, object] = {"architecture": "colors"}  # noqa: RUF012
    dimension = 12
    batch_size = 5
    device = torch.device("cpu")

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.array(image, dtype=np.float32)).permute(2, 0, 1) / 255

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        half = batch[..., : batch.shape[-1] // 2]
        return torch.cat([f(x, dim=(2, 3)) for x in (batch, half) for f in (torch.mean, torch.std)], dim=1)


class Training(Model):
    """Dropout is on."""

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(super().embed(batch), 0.1)


class Augmenting(Model):
    """Preprocessing flips images at random."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        tensor = super().preprocess(image)
        return tensor.flip(2) if self.rng.random() < 0.5 else tensor


class Cropping(Model):
    """Preprocessing gives tensors of another size now and then."""

    def __init__(self) -> None:
        self.calls = 0

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        self.calls += 1
        one_by_one = 5 * integrity.SAMPLE + integrity.ALONE  # what comes before all threads do
        return super().preprocess(image)[..., : 38 if self.calls > one_by_one else 40]


class Coupled(Model):
    """A patch is scaled by its batch."""

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        return super().embed(batch / batch.max())


class Positional(Model):
    """The place in the batch shows; the first place is as good as being alone."""

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        return super().embed(batch) + 0.001 * torch.arange(len(batch))[:, None]


class Shared(Model):
    """Preprocessing that another thread disturbs."""

    def __init__(self) -> None:
        self.lock, self.never = threading.Lock(), threading.Event()

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        alone = self.lock.acquire(blocking=False)
        try:
            self.never.wait(0.004)
            return super().preprocess(image) + (0 if alone else 0.1)
        finally:
            if alone:
                self.lock.release()


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return load_folder(write_cohort(tmp_path_factory.mktemp("data") / "slides"))


def differences(model: Model, cohort: Cohort, stored: Float32 | None = None) -> dict[str, float]:
    rows = integrity.sample_of(cohort)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if stored is None:
            few = integrity.excerpt(cohort, rows)
            stored = integrity.embed("colors", model, few, few.keys, batch_size=model.batch_size)
        result = integrity.differences("colors", model, cohort, rows, stored)
    return {name: one.value for name, one in result.items()}


def test_a_sound_model_depends_on_nothing_but_the_patch(cohort: Cohort) -> None:
    assert max(differences(Model(), cohort).values()) < 1e-6


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        (Training(), {"again", "stored", "batch_size", "order"}),
        (Augmenting(), {"again", "stored", "batch_size", "order", "threads"}),
        (Cropping(), {"threads"}),
        (Coupled(), {"batch_size", "stored"}),
        (Positional(), {"order", "batch_size", "stored"}),
        (Shared(), {"threads"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_defect_shows_where_it_should(model: Model, shown: set[str], cohort: Cohort) -> None:
    result = differences(model, cohort)
    differing = {name for name, value in result.items() if value > 1e-5}
    assert differing == shown, result


def test_stored_embeddings_of_another_model_are_noticed(cohort: Cohort) -> None:
    result = differences(Model(), cohort, stored=matrix(integrity.SAMPLE, 12))
    assert {name for name, value in result.items() if value > 1e-5} == {"stored"}


def test_a_difference_above_the_tolerance_is_told_in_one_sentence() -> None:
    worst = integrity.Difference(value=0.0123, patch="s1-p3")
    integrity.check_variation("order", worst, 0.02, "fp32 on cpu")
    with pytest.raises(EmbeddingError) as caught:
        integrity.check_variation("order", worst, 1e-5, "fp32 on cpu")
    assert str(caught.value) == (
        "a batch embedded forwards and backwards differ by 0.012 of the embedding's length (patch 's1-p3', "
        "fp32 on cpu), and 1e-05 is the most; let an embedding depend neither on its place in the batch nor "
        "on what came before."
    )


def test_the_precision_of_unknown_embeddings_is_seen_in_their_values() -> None:
    values = torch.from_numpy(matrix())
    for dtype, name in ((torch.bfloat16, "bf16"), (torch.float16, "fp16"), (torch.float32, "fp32")):
        assert integrity.precision_of(values.to(dtype).float().numpy()) == name


def test_every_run_takes_the_same_patches_in_whatever_order_they_stand(cohort: Cohort) -> None:
    rows = integrity.sample_of(cohort)
    order = np.random.default_rng(0).permutation(len(cohort))
    shuffled = dataclasses.replace(cohort, patches=cohort.patches.iloc[order].reset_index(drop=True))
    assert [cohort.keys[row] for row in rows] == [shuffled.keys[row] for row in integrity.sample_of(shuffled)]
    cells = cohort.patches.iloc[rows].groupby(["medical_center", "biological_class"]).size()
    assert cells.tolist() == [2] * 6


# -- the record --------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Prepared:
    """A stand-in that counts its loads."""

    model: Any = dataclasses.field(default_factory=Model)
    name: str = "colors"
    device: str = "cpu"
    identity: dict[str, object] = dataclasses.field(default_factory=lambda: {**Model.identity})
    loads: int = 0

    def load(self) -> Any:
        self.loads += 1
        return self.model


def no_index(*_: object) -> tuple[float, int]:
    raise MetricError("there is none", remedy="leave it")


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path / "cache")


@pytest.fixture
def embeddings(cohort: Cohort, store: EmbeddingStore) -> Embeddings:
    return obtain(Prepared(), cohort, store)


def record_of(store: EmbeddingStore, embeddings: Embeddings) -> Path:
    [path] = store.folder(embeddings.key).glob("integrity-*.json")
    return path


def test_what_is_on_record_costs_no_load(
    cohort: Cohort, store: EmbeddingStore, embeddings: Embeddings
) -> None:
    prepared = Prepared()
    first = established(prepared, cohort, embeddings, store, no_index)
    again = established(prepared, cohort, embeddings, EmbeddingStore(store.root), no_index)
    assert (prepared.loads, again) == (1, first)
    assert (first.precision, first.tolerance, first.drift) == ("fp32", 1e-5, None)
    assert first.environment["torch"] == torch.__version__
    assert {name: first.check(name) for name in integrity.VARIATIONS}.keys() == first.differences.keys()
    kept = json.loads(record_of(store, embeddings).read_text())["integrity"]
    assert kept["measured"].startswith("20")
    assert len(kept["sample"]) == integrity.SAMPLE


@pytest.mark.parametrize("damage", ["not JSON", '{"question": 1}', "cut", "changed"])
def test_a_damaged_record_is_measured_again(
    damage: str, cohort: Cohort, store: EmbeddingStore, embeddings: Embeddings
) -> None:
    prepared = Prepared()
    first = established(prepared, cohort, embeddings, store, no_index)
    path = record_of(store, embeddings)
    whole = path.read_text()
    edits = {"cut": whole[:-9], "changed": whole.replace('"order"', '"odor"')}
    path.write_text(edits.get(damage, damage))
    again = established(prepared, cohort, embeddings, store, no_index)
    assert prepared.loads == 2
    assert again.differences == first.differences
    assert json.loads(path.read_text())["question"]


def test_another_version_of_the_tests_asks_again(
    cohort: Cohort, store: EmbeddingStore, embeddings: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = Prepared()
    established(prepared, cohort, embeddings, store, no_index)
    monkeypatch.setattr(integrity_record, "VERSION", integrity_record.VERSION + 1)
    established(prepared, cohort, embeddings, store, no_index)
    assert prepared.loads == 2


def test_a_defect_on_record_fails_without_the_model(
    cohort: Cohort, store: EmbeddingStore, embeddings: Embeddings
) -> None:
    established(Prepared(Coupled()), cohort, embeddings, store, no_index)
    result = established(Prepared(None), cohort, embeddings, store, no_index)
    result.check("order")
    with pytest.raises(EmbeddingError, match=r"embedded alone and in a batch .* fp32 on cpu"):
        result.check("batch_size")


# -- precision ---------------------------------------------------------------------------------------------


def tiny(folder: Path, precision: str) -> PreparedModel:
    return prepare(
        resolve(parse_spec(f"local-dir:{folder}"), "tiny"), ModelSettings(device="cpu", precision=precision)
    )


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_vit(tmp_path_factory.mktemp("weights") / "tiny", seed=2)


def index_of(values: Float32, patches: Any, k: int | None, paired: bool) -> tuple[float, int]:
    result = robustness_index(values, patches, k=k, paired=paired, draws=100)
    return result.value, result.k


def test_fp32_is_the_same_network_without_autocast(weights: Path) -> None:
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    low: Any = tiny(weights, "bf16").load()
    full = tiny(weights, "fp32").load().embed(images)
    assert torch.equal(low.in_fp32().embed(images), full)
    assert not torch.equal(low.embed(images), full)  # asking for fp32 has changed nothing


def test_drift_is_what_a_second_extraction_in_fp32_would_show(
    weights: Path, cohort: Cohort, store: EmbeddingStore
) -> None:
    view = dataclasses.replace(cohort.views["robustness_index"], k=11)
    cohort = dataclasses.replace(cohort, views={"robustness_index": view})
    low = obtain(tiny(weights, "bf16"), cohort, store)
    full = obtain(tiny(weights, "fp32"), cohort, store)
    result = established(tiny(weights, "bf16"), cohort, low, store, index_of)
    drift = result.drift
    assert drift is not None
    values = {name: one.values[view.rows] for name, one in (("low", low), ("full", full))}
    cosines = torch.cosine_similarity(*(torch.from_numpy(v).double() for v in values.values()))
    assert (drift.cosine_min, drift.cosine_median) == pytest.approx(
        (cosines.min().item(), cosines.quantile(0.5).item()), abs=1e-9
    )
    assert 0.99 < drift.cosine_min < drift.cosine_median < 1
    errors = integrity.relative(values["low"], values["full"])
    assert (drift.error_median, drift.error_max) == pytest.approx((np.median(errors), errors.max()))
    exact = robustness_index(values["full"], view.patches, k=11)
    rounded = robustness_index(values["low"], view.patches, k=11)
    assert (drift.k, drift.robustness_index_fp32) == (11, exact.value)
    assert drift.by_metric() == {"robustness_index": abs(rounded.value - exact.value)}
    assert drift.by_metric()["robustness_index"] > 0
    drift.check()
    assert result.tolerance == 2**-5
    assert established(tiny(weights, "bf16"), cohort, low, store, no_index) == result


def test_fp32_has_no_drift(weights: Path, cohort: Cohort, store: EmbeddingStore) -> None:
    prepared = tiny(weights, "fp32")
    assert established(prepared, cohort, obtain(prepared, cohort, store), store, no_index).drift is None


def test_a_precision_that_gives_other_embeddings_is_refused(
    cohort: Cohort, store: EmbeddingStore, embeddings: Embeddings
) -> None:
    class Overflowing(Model):
        def in_fp32(self) -> Model:
            return Positional()

    prepared = Prepared(Overflowing(), identity={**Model.identity, "precision": "fp16"})
    drift = established(prepared, cohort, embeddings, store, no_index).drift
    assert drift is not None
    assert (drift.robustness_index, drift.by_metric(), drift.reason) == (None, {}, "there is none; leave it.")
    with pytest.raises(EmbeddingError, match=r"fp16 and fp32 give .* is 0\.\d+ at the least .* 88 patches"):
        dataclasses.replace(drift, cosine_min=0.98).check()


def test_a_model_without_fp32_is_an_error_not_a_drift_of_nothing(
    cohort: Cohort, store: EmbeddingStore, embeddings: Embeddings
) -> None:
    prepared = Prepared(identity={**Model.identity, "precision": "bf16"})
    with pytest.raises(ModelError, match="colors computes in bf16 and cannot be asked for fp32"):
        established(prepared, cohort, embeddings, store, no_index)


def test_of_a_large_view_512_patches_are_compared_at_a_scaled_k(cohort: Cohort) -> None:
    table = cohort.patches.iloc[np.arange(4000) % len(cohort)].reset_index(drop=True)
    table["patch_id"] = [f"q{row}" for row in range(len(table))]
    rows = np.arange(100, 4000, dtype=np.int64)
    view = View(rows=rows, patches=table.iloc[rows].reset_index(drop=True), k=61)
    excerpt = precision_drift.excerpt_of(
        dataclasses.replace(
            cohort,
            patches=table,
            views={"robustness_index": view},
            reading_order=lambda: np.arange(len(table), dtype=np.int64)[::-1],
        )
    )
    assert (len(excerpt.rows), excerpt.k) == (512, round(61 * 512 / 3900))
    assert excerpt.rows.min() >= 100
    assert (np.diff(excerpt.rows) < 0).all()
    assert excerpt.patches.patch_id.tolist() == table.patch_id.iloc[excerpt.rows[excerpt.positions]].tolist()
    per_slide = table.iloc[excerpt.rows].groupby("slide_id").size()
    assert per_slide.max() - per_slide.min() <= 1
    assert len(per_slide) == table.slide_id.nunique()


def test_in_a_paired_view_a_patch_keeps_all_its_subsets(cohort: Cohort) -> None:
    rows = np.concatenate([np.arange(80), np.arange(40)]).astype(np.int64)
    patches = cohort.patches.iloc[rows].reset_index(drop=True)
    patches["subset"] = ["one"] * 80 + ["two"] * 40
    view = View(rows=rows, patches=patches, paired=True, k=7)
    excerpt = precision_drift.excerpt_of(dataclasses.replace(cohort, views={"robustness_index": view}))
    assert (len(excerpt.rows), len(excerpt.patches), excerpt.k, excerpt.paired) == (80, 120, 7, True)
    assert excerpt.rows[excerpt.positions].tolist() == rows.tolist()


# -- the command -------------------------------------------------------------------------------------------


@pytest.fixture
def terminal(lone_terminal: Terminal) -> Terminal:
    write_cohort(lone_terminal.folder / "slides")
    return lone_terminal


def test_a_run_loads_the_model_once_and_the_next_one_not_at_all(
    terminal: Terminal, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cohort(terminal.folder / "few", slides=4)
    whole = timm_model.TimmModel.__init__
    loads = []

    def counting(self: timm_model.TimmModel, *arguments: Any, **settings: Any) -> None:
        loads.append(self)
        whole(self, *arguments, **settings)

    monkeypatch.setattr(timm_model.TimmModel, "__init__", counting)
    (terminal.folder / "test_mine.py").write_text(
        "from pathorob_checks.plugin.fixtures import GATE\n"
        "def test_drift(request, fm, cohort, integrity):\n"
        "    [pair] = request.config.stash[GATE].pairs\n"
        "    assert request.config.stash[GATE].drift(pair) == integrity.drift.by_metric() != {}\n"
    )
    arguments = (
        f"--fm=local-dir:{weights}", "--fm-cohort=few", "--fm-precision=bf16",
        "-kintegrity or drift", "suites/test_embedding_integrity.py", "test_mine.py",
    )  # fmt: skip
    for _ in range(2):
        run = terminal.pytest(*arguments)
        assert (run.code, "12 passed" in run.output) == (0, True), run.output
        assert len(loads) == 1


def test_precomputed_embeddings_are_tested_as_a_matrix_and_the_rest_is_a_named_skip(
    terminal: Terminal, cohort: Cohort, embeddings: Embeddings
) -> None:
    folder = terminal.folder / "given" / "slides"
    folder.mkdir(parents=True)
    np.save(folder / "embeddings.npy", embeddings.values)
    cohort.patches[["slide_id", "patch_id"]].to_csv(folder / "manifest.csv", index=False)
    run = terminal.pytest("--fm=embeddings:given", "--fm-cohort=slides", "-kintegrity", "-rs")
    assert run.code == 0, run.output
    assert "5 passed, 6 skipped" in run.output
    assert "given is given by its embeddings; how an FM embeds is tested" in " ".join(run.output.split())


def test_a_model_in_training_mode_fails_by_name(terminal: Terminal) -> None:
    (terminal.folder / "ours.py").write_text(
        "import numpy as np, torch\n"
        "class Ours:\n"
        "    def preprocess(self, image):\n"
        "        return torch.from_numpy(np.array(image.resize((8, 8)), dtype=np.float32)).permute(2, 0, 1)\n"
        "    def embed(self, batch):\n"
        "        return torch.nn.functional.dropout(batch.flatten(1), 0.1)\n"
    )
    (terminal.folder / "mine.toml").write_text(
        'schema = "pathorob-checks/criteria/1"\nname = "mine"\n[[criteria]]\nid = "only"\n'
        'metric = "robustness_index"\nat_least = 0.0\nrationale = "A test."\n'
    )
    run = terminal.pytest("--fm=python:ours:Ours", "--fm-cohort=slides", "--fm-criteria=mine.toml")
    assert run.code == 1
    failed = {line.split("::")[1].split("[")[0] for line in run.output.splitlines() if "FAILED" in line}
    assert failed == {
        "test_same_patch_twice", "test_same_as_stored", "test_batch_size_does_not_matter",
        "test_order_does_not_matter",
    }  # fmt: skip
    text = " ".join(run.output.split())
    assert "FAIL: test_same_patch_twice[Ours-slides] and 3 more tests failed; 1 of 1 criterion met" in text
    assert "the same patch embedded twice differ by 0." in text
    assert "put the model into evaluation mode" in text
    assert "Traceback" not in run.output


def test_embeddings_that_extraction_refuses_fail_the_first_test_once(terminal: Terminal) -> None:
    (terminal.folder / "ours.py").write_text(
        "import torch\n"
        "class Ours:\n"
        "    def preprocess(self, image):\n"
        "        return torch.zeros(1, 1, 1)\n"
        "    def embed(self, batch):\n"
        "        with open('batches', 'a') as file:\n"
        "            file.write('.')\n"
        "        return torch.full((len(batch), 4), torch.nan)\n"
    )
    run = terminal.pytest("--fm=python:ours:Ours", "--fm-cohort=slides", "-kintegrity")
    assert run.code == 1
    assert "FAILED suites/test_embedding_integrity.py::test_finite_and_not_all_equal" in run.output
    assert ("1 failed" in run.output, "10 errors" in run.output) == (True, True)
    assert "contain NaN or infinite values" in run.output
    assert (terminal.folder / "batches").read_text() == ".."  # a blank image on loading, and one batch
