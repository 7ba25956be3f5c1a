"""What this machine can do, measured: memory, products, convolutions, and a network's layers under their roofline.

One file a kind of work; `bench` runs them all, and the figures have files of their own. Nothing here trains.
"""
