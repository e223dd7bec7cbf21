"""The typed document that a run ends with, and what each of its checks means."""
