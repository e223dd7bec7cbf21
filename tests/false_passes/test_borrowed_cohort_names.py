"""Names: a user's cohort or tables under the name of what is published, to get its bounds and its trust."""

from __future__ import annotations

import miniature
import pytest
from attack import Attack, assert_not_passed


@pytest.mark.parametrize("name", ["camelyon", "Camelyon", "camelyon@v1", "demo"])
def test_a_folder_that_calls_itself_a_published_cohort(attack: Attack, name: str) -> None:
    (attack.folder / "coh").rename(attack.folder / name)
    outcome = attack.run(cohort=f"./{name}", fm="embeddings:good", criteria="floor")
    assert_not_passed(outcome)
    assert "is yours but is called like the cohort" in outcome.output


def test_a_link_that_calls_itself_a_published_cohort(attack: Attack) -> None:
    (attack.folder / "tcga").symlink_to(attack.folder / "coh")
    assert_not_passed(attack.run(cohort="./tcga", fm="embeddings:good", criteria="median"))


def test_tables_of_ones_own_get_no_published_bounds(attack: Attack) -> None:
    miniature.write_tables(attack.folder / "tables")
    outcome = attack.run("--fm-metadata=tables", cohort="camelyon", fm="embeddings:good", criteria="median")
    assert_not_passed(outcome)
    assert "is not what was published of camelyon" in " ".join(outcome.output.split())
