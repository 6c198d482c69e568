"""The surfaces: one file each, thin over `app.speech`."""
