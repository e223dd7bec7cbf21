"""An FM must be a sound measuring instrument before its robustness means anything."""

import pytest

from pathorob_checks.embeddings import matrix_checks as tests


@pytest.mark.usefixtures("fm", "cohort")
def test_finite_and_not_all_equal(request):
    # Extraction refuses other embeddings; here that is a failure of the FM.
    request.getfixturevalue("embeddings")


def test_not_nearly_constant(embeddings, record_property):
    record_property("pathorob_checks.spread", tests.check_spread(embeddings.values))


def test_not_collapsed(embeddings, record_property):
    record_property("pathorob_checks.directions", tests.check_directions(embeddings.values))


def test_patches_differ(embeddings, cohort, record_property):
    record_property("pathorob_checks.twins", tests.check_twins(embeddings.values, cohort.keys))


def test_columns_vary(embeddings, record_property):
    record_property("pathorob_checks.dead_columns", tests.check_columns(embeddings.values))


def test_same_patch_twice(integrity, record_property):
    record_property("pathorob_checks.difference", integrity.check("again"))


def test_same_as_stored(integrity, record_property):
    record_property("pathorob_checks.difference", integrity.check("stored"))


def test_batch_size_does_not_matter(integrity, record_property):
    record_property("pathorob_checks.difference", integrity.check("batch_size"))


def test_order_does_not_matter(integrity, record_property):
    record_property("pathorob_checks.difference", integrity.check("order"))


def test_reading_threads_do_not_matter(integrity, record_property):
    record_property("pathorob_checks.difference", integrity.check("threads"))


def test_precision_keeps_the_embeddings(integrity, record_property):
    if integrity.drift is None:
        pytest.skip(f"computed in {integrity.precision}; there is no fp32 to compare with but itself")
    for metric, drift in integrity.drift.by_metric().items():
        record_property(f"pathorob_checks.drift.{metric}", drift)
    integrity.drift.check()
