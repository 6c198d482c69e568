"""A request planned and performed: chunks to clips, in order, ahead of the listener."""
