"""The benchmark's cohorts: views from the published tables, images from parquet files of a repository."""

from __future__ import annotations

import hashlib
import http.server
import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import miniature
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pathorob_checks import hub
from pathorob_checks.cohorts import benchmark
from pathorob_checks.cohorts.registry import CohortSources, load_cohort
from pathorob_checks.cohorts.tables import Pin, Tables
from pathorob_checks.errors import CohortError

COMMIT = "c" * 40
Publish = Callable[[pd.DataFrame], Path]


@pytest.fixture(scope="module")
def metadata(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return miniature.write_tables(tmp_path_factory.mktemp("metadata"))


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Make a folder the repository of every cohort."""
    repository = tmp_path / "repository"

    def list_files(repo: str, commit: str, kind: str) -> list[hub.RemoteFile]:
        assert (commit, kind) == (COMMIT, "dataset")
        files = (path for path in repository.rglob("*") if path.is_file())
        return sorted(
            (hub.RemoteFile(path.relative_to(repository).as_posix(), 1) for path in files),
            key=lambda file: file.name,
        )

    monkeypatch.setattr(hub, "list_files", list_files)
    monkeypatch.setattr(hub, "fetch", lambda repo, commit, name, kind: repository / name)
    return lambda patches: miniature.write_repository(repository, patches)


def load(name: str, metadata: Path, tmp_path: Path, commit: str | None = COMMIT) -> benchmark.Cohort:
    return load_cohort(name, CohortSources(metadata=metadata, cache=tmp_path / "cache"), commit)


@pytest.mark.parametrize("name", miniature.COHORTS)
def test_every_view_reads_the_rows_of_its_table(name: str, metadata: Path, tmp_path: Path) -> None:
    cohort = load(name, metadata, tmp_path, commit=None)
    tables = miniature.tables()
    reads = {
        "camelyon": ("camelyon.csv", "camelyon.csv", "camelyon_reduced.csv"),
        "tcga": ("tcga_2x2.csv", "tcga_4x4.csv", "tcga_4x4.csv"),
        "tolkach_esca": ("tolkach_esca_reduced.csv", "tolkach_esca.csv", "tolkach_esca_reduced.csv"),
    }[name]
    metrics = ("robustness_index", "performance_drop", "clustering_score")
    for metric, file in zip(metrics, reads, strict=True):
        view, table = cohort.views[metric], tables[file]
        if (metric, file) in (("robustness_index", "camelyon.csv"), ("clustering_score", "tcga_4x4.csv")):
            table = table[table.subset == "ID"].reset_index(drop=True)
        pd.testing.assert_frame_equal(view.patches, table, check_dtype=False)
        keys = np.array(cohort.keys)[view.rows]
        assert keys.tolist() == (table.slide_id + "-" + table.patch_id).tolist()
    settings = {metric: (view.k, view.paired, view.schedule) for metric, view in cohort.views.items()}
    k = {"camelyon": 11, "tcga": 61, "tolkach_esca": 46}[name]
    assert settings == {
        "robustness_index": (k, name == "tcga", None),
        "performance_drop": (None, False, name),
        "clustering_score": (None, False, None),
    }
    assert len(cohort) == len(miniature.patches_of(name)) == len(set(cohort.keys))


@pytest.mark.parametrize(
    ("name", "commercial"), [("camelyon", True), ("tcga", False), ("tolkach_esca", None)]
)
def test_a_cohort_has_its_license_and_source(
    name: str, commercial: bool | None, metadata: Path, tmp_path: Path
) -> None:
    cohort = load(name, metadata, tmp_path)
    assert cohort.commercial is commercial
    assert cohort.license != "unknown"
    assert cohort.source == f"bifold-pathomics/PathoROB-{name}@{COMMIT}"


def test_images_come_from_several_files_in_any_order(
    publish: Publish, metadata: Path, tmp_path: Path
) -> None:
    patches = miniature.patches_of("camelyon")
    publish(patches)
    cohort = load("camelyon", metadata, tmp_path)
    assert cohort.reading_order is not None
    order = cohort.reading_order()
    assert sorted(order.tolist()) == list(range(len(cohort)))
    assert order.tolist() != list(range(len(cohort)))
    for row in (0, 200, len(cohort) - 1):
        expected = Image.open(io.BytesIO(miniature.picture(next(cohort.patches.iloc[[row]].itertuples()))))
        assert cohort.read_image(row).tobytes() == expected.convert("RGB").tobytes()


def test_not_all_images_are_in_memory(publish: Publish, metadata: Path, tmp_path: Path) -> None:
    publish(miniature.patches_of("camelyon"))
    cohort = load("camelyon", metadata, tmp_path)
    assert cohort.reading_order is not None
    for row in cohort.reading_order():
        cohort.read_image(int(row))
    images = cohort.read_image._opened[0]  # type: ignore[attr-defined]
    assert 0 < len(images._kept) < len(images._groups)


def without(patches: pd.DataFrame) -> pd.DataFrame:
    return patches.drop(index=[3, 4])


def with_more(patches: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([patches, patches.iloc[[0]].assign(patch_id="stray")], ignore_index=True)


def with_a_double(patches: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([patches, patches.iloc[[7]]], ignore_index=True)


def with_another_label(patches: pd.DataFrame) -> pd.DataFrame:
    changed = patches.copy()
    changed.loc[5, "medical_center"] = "UMCU" if changed.medical_center[5] != "UMCU" else "RUMC"
    return changed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            without,
            "not have 2 patches of the tables ('normal_RUMC_000-normal.03', 'normal_RUMC_000-normal.04')",
        ),
        (with_more, "the repository has 1 patch that is in no table ('normal_RUMC_000-stray')"),
        (with_a_double, "the repository has 1 patch ('normal_RUMC_001-normal.00') twice"),
        (with_another_label, "other labels for 1 patch ('normal_RUMC_000-normal.05')"),
    ],
)
def test_images_and_tables_that_do_not_match_are_reported(
    change: Callable[[pd.DataFrame], pd.DataFrame],
    words: str,
    publish: Publish,
    metadata: Path,
    tmp_path: Path,
) -> None:
    publish(change(miniature.patches_of("camelyon")))
    cohort = load("camelyon", metadata, tmp_path)
    with pytest.raises(CohortError) as caught:
        cohort.read_image(0)
    assert words in str(caught.value)
    assert "--fm-cohort=camelyon@REVISION" in str(caught.value)


def test_a_truncated_parquet_file_is_reported(publish: Publish, metadata: Path, tmp_path: Path) -> None:
    folder = publish(miniature.patches_of("camelyon"))
    shard = folder / "data" / "train-00001-of-00003.parquet"
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(CohortError, match=r"data/train-00001-of-00003\.parquet of .* is damaged"):
        load("camelyon", metadata, tmp_path).read_image(0)


def test_an_undecodable_image_is_named(
    publish: Publish, metadata: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint = miniature.picture
    broken = "tumor_UMCU_003-tumor.02"

    def some_broken(row: object) -> bytes:
        key = f"{row.slide_id}-{row.patch_id}"  # type: ignore[attr-defined]
        return b"no image" if key == broken else paint(row)

    monkeypatch.setattr(miniature, "picture", some_broken)
    publish(miniature.patches_of("camelyon"))
    cohort = load("camelyon", metadata, tmp_path)
    cohort.read_image(0)
    with pytest.raises(
        CohortError, match=rf"row \d+ of data/train-\S+ of \S+ \(patch '{broken}'\) cannot be"
    ):
        cohort.read_image(cohort.keys.index(broken))


def test_a_repository_without_parquet_files_is_reported(
    publish: Publish, metadata: Path, tmp_path: Path
) -> None:
    folder = publish(miniature.patches_of("camelyon"))
    for shard in (folder / "data").iterdir():
        shard.rename(shard.with_name(shard.name.replace("train", "test")))
    with pytest.raises(CohortError, match=r"no parquet file of a split 'train' \(it has data/test-"):
        load("camelyon", metadata, tmp_path).read_image(0)


def test_tables_of_a_folder_that_are_not_the_published_ones_are_noted(metadata: Path, tmp_path: Path) -> None:
    cohort = load("tcga", metadata, tmp_path)
    assert cohort.notes == (
        "tcga_2x2.csv, tcga_4x4.csv of --fm-metadata differ from the published tables: values cannot be "
        "compared with the benchmark's.",
    )
    content = (metadata / "tcga_4x4.csv").read_bytes()
    assert cohort.tables is not None
    assert cohort.tables["tcga_4x4.csv"] == hashlib.sha256(content).hexdigest()


def test_tables_of_ones_own_are_in_the_digest(metadata: Path, tmp_path: Path) -> None:
    cohort = load("camelyon", metadata, tmp_path)
    assert cohort.own_tables == ("camelyon.csv", "camelyon_reduced.csv")
    folder = miniature.write_tables(tmp_path / "metadata")
    assert load("camelyon", folder, tmp_path).digest == cohort.digest
    table = pd.read_csv(folder / "camelyon.csv", dtype=str)
    table.iloc[:-1].to_csv(folder / "camelyon.csv", index=False)
    changed = load("camelyon", folder, tmp_path)
    assert changed.digest != cohort.digest
    assert changed.images == cohort.images
    assert load("camelyon", metadata, tmp_path, commit="d" * 40).digest != cohort.digest


@pytest.mark.parametrize("name", ["RUMC\u200b", "R\u0423MC", "R-UMC"])
def test_names_in_tables_of_ones_own_are_checked(tmp_path: Path, name: str) -> None:
    folder = miniature.write_tables(tmp_path / "metadata")
    for file in ("camelyon.csv", "camelyon_reduced.csv"):
        table = pd.read_csv(folder / file, dtype=str)
        split = (table.medical_center == "RUMC") & table.slide_id.str[-1].isin(list("02468"))
        table.loc[split, "medical_center"] = name
        table.to_csv(folder / file, index=False)
    with pytest.raises(CohortError, match=r"medical.center"):
        load("camelyon", folder, tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no rows"),
        ("subset,slide_id,patch_id,biological_class\nID,s,p,normal\n", "lacks the column medical_center"),
        (
            "subset,slide_id,patch_id,biological_class,medical_center\nID,s,,normal,RUMC\n",
            "empty cell in line 2",
        ),
        (
            "subset,slide_id,patch_id,biological_class,medical_center\n" + "ID,s,p,normal,RUMC\n" * 2,
            "has 1 patch ('s-p') twice",
        ),
    ],
)
def test_an_invalid_table_is_reported(text: str, words: str, metadata: Path, tmp_path: Path) -> None:
    folder = tmp_path / "metadata"
    folder.mkdir()
    for path in metadata.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "camelyon.csv").write_text(text or "subset,slide_id,patch_id,biological_class,medical_center\n")
    with pytest.raises(CohortError) as caught:
        load("camelyon", folder, tmp_path)
    assert words in str(caught.value)


def test_a_table_that_is_not_in_the_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"has no readable table camelyon\.csv"):
        load("camelyon", tmp_path, tmp_path)


def test_tables_that_disagree_are_reported(metadata: Path, tmp_path: Path) -> None:
    folder = miniature.write_tables(tmp_path / "metadata")
    reduced = pd.read_csv(folder / "camelyon_reduced.csv", dtype=str)
    reduced.loc[0, "biological_class"] = "tumor"
    reduced.to_csv(folder / "camelyon_reduced.csv", index=False)
    with pytest.raises(CohortError, match=r"the tables disagree on the labels of 1 patch"):
        load("camelyon", folder, tmp_path)


# -- downloads of tables, from a server on 127.0.0.1 --------------------------------------------------------


class Web:
    """A folder on 127.0.0.1, with requests that fail on demand."""

    def __init__(self, folder: Path) -> None:
        web = self
        self.folder, self.requests, self.failures = folder, 0, 0

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args: object) -> None:
                super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

            def do_GET(self) -> None:
                web.requests += 1
                if web.failures:
                    web.failures -= 1
                    self.send_error(503)
                else:
                    super().do_GET()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Keep the output of the tests clean."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def tables(self, cache: Path, file: str, content: bytes) -> Tables:
        sha256 = hashlib.sha256(content).hexdigest()
        pins = {file: Pin(file=file, git_sha1=hub.git_blob_sha1(content), sha256=sha256)}
        url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        return Tables(pins=pins, url=url, folder=None, cache=cache)


@pytest.fixture
def web(metadata: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    web = Web(metadata)
    yield web
    web.server.shutdown()
    web.server.server_close()


def test_a_table_is_downloaded_once_and_verified(web: Web, metadata: Path, tmp_path: Path) -> None:
    content = (metadata / "camelyon.csv").read_bytes()
    source = web.tables(tmp_path, "camelyon.csv", content)
    assert source.content("camelyon.csv") == content
    assert source.content("camelyon.csv") == content
    assert web.requests == 1


def test_a_request_to_a_server_that_is_down_for_a_moment_is_repeated(
    web: Web, metadata: Path, tmp_path: Path
) -> None:
    content = (metadata / "camelyon.csv").read_bytes()
    web.failures = 2
    assert web.tables(tmp_path, "camelyon.csv", content).content("camelyon.csv") == content


def test_a_table_with_another_digest_is_refused_and_not_kept(web: Web, tmp_path: Path) -> None:
    source = web.tables(tmp_path, "camelyon.csv", b"what was published")
    with pytest.raises(CohortError, match="is not the published table"):
        source.content("camelyon.csv")
    assert not list(tmp_path.rglob("*.csv"))


def test_a_table_without_a_sha256_is_compared_by_gits_digest(
    web: Web, metadata: Path, tmp_path: Path
) -> None:
    content = (metadata / "tcga_2x2.csv").read_bytes()
    for sha1, fits in ((hub.git_blob_sha1(content), True), ("0" * 40, False)):
        source = web.tables(tmp_path / sha1[:4], "tcga_2x2.csv", content)
        source.pins["tcga_2x2.csv"] = Pin(file="tcga_2x2.csv", git_sha1=sha1)
        if fits:
            assert source.content("tcga_2x2.csv") == content
        else:
            with pytest.raises(CohortError, match="is not the published table"):
                source.content("tcga_2x2.csv")


def test_a_damaged_table_in_the_cache_is_downloaded_again(web: Web, metadata: Path, tmp_path: Path) -> None:
    content = (metadata / "camelyon.csv").read_bytes()
    source = web.tables(tmp_path, "camelyon.csv", content)
    (tmp_path / "camelyon.csv").write_bytes(content[:-5])
    assert source.content("camelyon.csv") == content
    assert web.requests == 1


def test_the_error_without_table_and_server_has_workarounds(web: Web, tmp_path: Path) -> None:
    web.failures = 99
    with pytest.raises(
        CohortError,
        match=r"cannot be downloaded \(HTTP 503\); .* --fm-metadata, or set PATHOROB_CHECKS_METADATA_URL ",
    ) as caught:
        web.tables(tmp_path, "camelyon.csv", b"").content("camelyon.csv")
    assert "127.0.0.1" not in str(caught.value)


def test_offline_no_table_is_requested(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "is_offline", lambda: True)
    with pytest.raises(CohortError, match=r"HF_HUB_OFFLINE forbids .*prefetch"):
        web.tables(tmp_path, "camelyon.csv", b"").content("camelyon.csv")
    assert not web.requests


def test_the_published_pins_are_those_of_all_tables_that_views_read() -> None:
    facts = benchmark.facts()
    read = {view.table for cohort in facts.cohorts.values() for view in cohort.views.values()}
    assert read == set(facts.tables)
    assert all(len(pin.git_sha1) == 40 for pin in facts.tables.values())
