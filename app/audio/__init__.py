"""Sound: formats, check, edit, encode, join. Bytes in, bytes out."""
