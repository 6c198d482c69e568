"""Every kind of input to a document."""
