"""Criteria: bounds with reasons, and the verdicts they lead to."""
