"""From files to batches. Knows nothing of networks."""
