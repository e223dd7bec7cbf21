"""What the packaged checks do not ask: pytest --fm=SPEC tests/ adds these rows to the table."""

from pathorob_checks.metrics import robustness_index


def test_a_wider_neighborhood(fm_measure, fm_check):
    """The detector's gallery shows twenty patches; the packaged check reads eleven neighbors."""
    fm_check(
        fm_measure("robustness_index", k=21),
        at_least=0.7,
        rationale="The gallery shows twenty patches.",
    )


def test_tumor_against_lymphocytes(fm_embeddings, fm_check):
    """The two classes that the detector must not mix up, without the third, which is easy."""
    patches = fm_embeddings.patches
    rows = (patches.biological_class.isin(["tumor", "lymphocytes"]) & (patches.subset == "ID")).to_numpy()
    fm_check(
        robustness_index(fm_embeddings.values[rows], patches[rows], k=11),
        at_least=0.6,
        rationale="A tumor that is taken for lymphocytes is a missed tumor.",
    )
