"""How good a network is, with its uncertainty. Trains nothing."""
