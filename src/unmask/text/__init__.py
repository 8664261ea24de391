"""Where text comes from, cleaning, cutting, and tokens."""
