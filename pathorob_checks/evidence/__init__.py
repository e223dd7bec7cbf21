"""Evidence of a run: a folder that can be signed, archived, and verified years later without a network."""
