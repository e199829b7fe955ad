"""A structure set goes out: Storage SCU, retries, outcomes."""
