"""Scripts with which a cluster starts a training: for Slurm, and for a site with Open MPI.

They only start the ranks; how a rank finds out who it is lives in `parallel.environment`.
"""
