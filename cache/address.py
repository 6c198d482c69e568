"""Whether an address of Redis can be one: for the configuration, which is read before anything is connected."""

from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError


def refused(url: str) -> bool:
    """Whether no connection can be made of this URL, whatever is behind it. Connects to nothing."""
    try:
        pool: ConnectionPool = ConnectionPool.from_url(url)
        pool.make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, RedisError):  # a port that is no number, an option that does not exist
        return True
    return False
