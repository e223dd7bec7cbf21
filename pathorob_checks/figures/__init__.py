"""Figures of results: functions that take `Results` and return a matplotlib figure."""

from pathorob_checks.figures.curves import accuracy_over_correlation, curve, index_over_k
from pathorob_checks.figures.forest import intervals
from pathorob_checks.figures.grids import clustering_heatmap, grid, neighbor_shares
from pathorob_checks.figures.inline import svg_of
from pathorob_checks.figures.maps import embedding_map, embeddings_in_plane
from pathorob_checks.figures.methods import changes_by_method
from pathorob_checks.figures.patches import misled_patches
from pathorob_checks.figures.picture import Picture
from pathorob_checks.figures.pictures import pictures_of
from pathorob_checks.figures.published import among_published

__all__ = [
    "Picture",
    "accuracy_over_correlation",
    "among_published",
    "changes_by_method",
    "clustering_heatmap",
    "curve",
    "embedding_map",
    "embeddings_in_plane",
    "grid",
    "index_over_k",
    "intervals",
    "misled_patches",
    "neighbor_shares",
    "pictures_of",
    "svg_of",
]
