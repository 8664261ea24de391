"""The server: a model behind HTTP, and the page."""
