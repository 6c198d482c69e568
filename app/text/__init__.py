"""Text to sentences to chunks: pure functions, no I/O."""
