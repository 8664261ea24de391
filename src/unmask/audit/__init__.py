"""A vector store in, a leak report out."""
