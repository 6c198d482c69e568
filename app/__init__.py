"""The service: text in, speech out."""
