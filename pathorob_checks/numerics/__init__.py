"""The computations behind the metrics, on arrays."""
