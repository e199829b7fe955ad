"""Synthetic CT with known labels: of procedural phantoms, and of patients of whom organs were drawn."""
