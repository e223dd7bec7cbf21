"""Patch features that other tools have written, as embeddings and a cohort of this package."""
