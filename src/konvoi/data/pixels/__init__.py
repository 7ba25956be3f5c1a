"""Splits of one scene's labelled pixels: one file a method, the guard band between the parts, and the audit of leakage.

Each method is a pure function on the ground-truth map `(H, W)`, with -1 where a pixel has no label and 0 … K-1
elsewhere. What a split is beyond a map of parts stands in `data.split`; windows are cut in `data.windows`.
"""
