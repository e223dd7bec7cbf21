"""Cohorts: patches with labels and images, from a generator or a folder."""
