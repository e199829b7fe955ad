"""Recipes: what decides what a network learns, read from YAML and overridden."""
