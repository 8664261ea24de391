"""Training: batches, steps, optimiser, average, resume, validation."""
