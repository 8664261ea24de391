"""The forward process: schedules, masking and the loss."""
