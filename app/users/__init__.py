"""Who asks, and how much of what he may have: keys, tokens, limits, usage."""
