"""The report: a run as one HTML file without any outside resource, and its charts for notebooks."""

from konvoi.report.figures import plot
from konvoi.report.html import render, write_report

__all__ = ["plot", "render", "write_report"]
