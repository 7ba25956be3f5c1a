"""The loop and what it needs: optimisers, schedules, precision, checkpoints. Knows nothing of files' formats."""
