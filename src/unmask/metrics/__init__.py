"""How close recovered text is to the true one: pure functions, intervals, and language models for fluency."""
