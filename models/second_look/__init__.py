"""A second look at what was segmented, before it leaves: each check a function with codes of its own."""
