"""Whether this installation computes what it should: installation, operation and performance."""
