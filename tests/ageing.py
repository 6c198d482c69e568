"""What is in a cache, made older than it is: nobody waits a week for a test."""

import time

from cache import value
from cache.link import RedisLink
from cache.redis import RedisTier
from cache.value import new_entry

DAY = 86_400.0


async def age(redis_url: str, days: float, *, ttl: float = 30 * DAY) -> int:
    """Have everything in Redis be as if made so long ago, to live `ttl` seconds from then; how many entries."""
    link = RedisLink(redis_url, timeout=5.0)
    tier = RedisTier(link)
    try:
        names = await link.client.keys(link.keys.of("clip", "*").replace("{", "\\{").replace("}", "\\}"))
        for name in names:
            entry = value.decode(await link.client.get(name))
            old = new_entry(entry.meta, entry.payload, made_at=time.time() - days * DAY, ttl=ttl)
            await tier.put(name.decode().partition("{")[2].rstrip("}"), old)
        return len(names)
    finally:
        await tier.aclose()
        await link.aclose()
