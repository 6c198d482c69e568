"""Text-to-speech providers: one file per vendor or engine behind one interface; `kinds.py` is the table."""
