"""Studies: many runs with one question, and one table and one figure as the answer."""
