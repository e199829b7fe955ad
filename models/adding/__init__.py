"""Models from elsewhere become bundles: inspected, verified, labels mapped, weights converted once."""
