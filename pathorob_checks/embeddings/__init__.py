"""Embeddings: extracted once, checked, and stored under a digest of all that decides them."""
