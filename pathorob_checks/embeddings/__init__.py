"""Embeddings: extracted once, checked, kept on disk under what decides them."""
