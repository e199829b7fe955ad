"""The card of a model bundle and its sections, the bundles that there are, their weights by hash."""
