"""Parts of the golden cohorts on which margins are compared with the library `croma`."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from pathorob_checks.evidence.qualification import golden_cohorts as golden

PAIRED = "tcga_2x2"
TABLES = ("camelyon_reduced", PAIRED, "tolkach_esca_reduced")


@cache
def golden_part(table_name: str) -> tuple[npt.NDArray[np.float32], pd.DataFrame]:
    """Two of the paired subsets of TCGA, or every fourth patch of a cohort."""
    table = golden.TABLES[table_name]()
    paired = table_name == PAIRED
    table = table[table.subset.isin(table.subset.unique()[:2])] if paired else table[::4]
    table = table.reset_index(drop=True)
    return golden.embeddings(table, biology=0.6, seed=3), table


def manifest(table: pd.DataFrame) -> pd.DataFrame:
    """The table in the form that `croma` reads."""
    return pd.DataFrame(
        {
            "sample_id": np.arange(len(table)).astype(str),
            "label": table.biological_class,
            "group_id": table.slide_id,
            "image_path": "none",
            "center": table.medical_center,
            "subset": table.subset,
        }
    )


def design(table_name: str) -> str:
    """Of the evaluation, as `croma` names it."""
    return "paired_2x2" if table_name == PAIRED else "all"
