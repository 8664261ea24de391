"""(tokens, vector) pairs on disk: preparing them and reading them back."""
