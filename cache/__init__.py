"""The cache of clips: digests, tiers, flights and leases. Knows bytes, never text or sound."""
