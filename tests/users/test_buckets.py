"""One process' own limits."""

from app.users.buckets import Buckets


def test_nothing_is_left_where_more_was_used_than_there_is_room():
    """With two plans, or a smaller one since, a client would be told that it has less than nothing."""
    buckets = Buckets(lambda: 0.0)
    buckets.pour("ann", 90, 100)
    assert (buckets.pour("ann", 5, 10).left, buckets.pour("ann", 11, 10).left) == (0, 0)
