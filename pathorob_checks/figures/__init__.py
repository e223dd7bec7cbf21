"""Figures of results: functions that take `Results` and return a matplotlib figure."""
