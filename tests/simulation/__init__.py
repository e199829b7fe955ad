"""Chances that nobody can work out on paper, drawn many times."""
