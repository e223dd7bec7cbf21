"""Reports on results: what the terminal shows at the end of a run."""
