"""Runs kept in a SQLite file, and the trend of an FM family's values."""
