"""Predictions for new material: here, image files."""
