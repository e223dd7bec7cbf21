"""An FM must be a sound measuring instrument before its robustness means anything."""


def test_finite_and_not_all_equal(integrity):
    integrity("finite_and_not_all_equal")


def test_not_nearly_constant(integrity):
    integrity("not_nearly_constant")


def test_not_collapsed(integrity):
    integrity("not_collapsed")


def test_patches_differ(integrity):
    integrity("patches_differ")


def test_columns_vary(integrity):
    integrity("columns_vary")


def test_same_patch_twice(integrity):
    integrity("same_patch_twice")


def test_same_as_stored(integrity):
    integrity("same_as_stored")


def test_batch_size_does_not_matter(integrity):
    integrity("batch_size_does_not_matter")


def test_order_does_not_matter(integrity):
    integrity("order_does_not_matter")


def test_reading_threads_do_not_matter(integrity):
    integrity("reading_threads_do_not_matter")


def test_precision_keeps_the_embeddings(integrity):
    integrity("precision_keeps_the_embeddings")
