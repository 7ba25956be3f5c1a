"""Where the time of a training step goes: recorded from the real loop, in words, and what to change.

`recording` runs the steps under PyTorch's profiler, `trace` reads what that wrote, `slices` says of every moment which
part of the step it belongs to and which kind of work is done, and `advice` draws conclusions.
"""
