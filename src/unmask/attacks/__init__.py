"""Every attack behind one interface: fit(pairs), invert(vectors, budget)."""
