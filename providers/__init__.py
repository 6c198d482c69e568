"""Text-to-speech providers: one file per vendor behind one interface, and the chain over them."""
