"""Attacks against held-out text: figures with intervals, records per row, tables."""
