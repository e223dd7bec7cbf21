"""Cohorts: patches with labels and images, rendered, downloaded or the user's own."""
