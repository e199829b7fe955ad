"""What becomes of a run: a bundle with its card and the statistics on it."""
