"""What `pathorob-checks` does beside the gate: look ahead, fill caches, list recipes."""
