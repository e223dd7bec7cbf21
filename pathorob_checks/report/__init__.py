"""Reports: terminal, failure messages, results file."""
