"""A CT comes in: Storage SCP, completeness of a series, routing."""
