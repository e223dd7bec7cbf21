"""An FM must be a sound measuring instrument before its robustness means anything."""


def test_finite_and_not_all_equal(fm_integrity):
    fm_integrity("finite_and_not_all_equal")


def test_not_nearly_constant(fm_integrity):
    fm_integrity("not_nearly_constant")


def test_not_collapsed(fm_integrity):
    fm_integrity("not_collapsed")


def test_patches_differ(fm_integrity):
    fm_integrity("patches_differ")


def test_columns_vary(fm_integrity):
    fm_integrity("columns_vary")


def test_same_patch_twice(fm_integrity):
    fm_integrity("same_patch_twice")


def test_same_as_stored(fm_integrity):
    fm_integrity("same_as_stored")


def test_batch_size_does_not_matter(fm_integrity):
    fm_integrity("batch_size_does_not_matter")


def test_order_does_not_matter(fm_integrity):
    fm_integrity("order_does_not_matter")


def test_reading_threads_do_not_matter(fm_integrity):
    fm_integrity("reading_threads_do_not_matter")


def test_precision_keeps_the_embeddings(fm_integrity):
    fm_integrity("precision_keeps_the_embeddings")
