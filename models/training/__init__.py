"""Phantoms, synthetic CT, losses and the training command."""
