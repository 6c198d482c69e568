"""What all that is kept of users is opened with."""

import logging

import pytest

from app.settings import parse
from app.users.desk import open_desk
from cache.errands import Errands
from cache.errors import Away


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:1/0", "redis+sentinel://127.0.0.1:1/refrain", "redis+cluster://127.0.0.1:1"]
)
async def test_the_log_says_which_redis_is_away(errands: Errands, caplog: pytest.LogCaptureFixture, url: str):
    """Its reader would look at the cache's, which is well, while all keys are refused."""
    caplog.set_level(logging.WARNING, "refrain")
    settings = parse(f'[redis]\nusers_url = "{url}"\n[auth]\nmode = "keys"\n', {})
    async with open_desk(settings, errands, lambda: settings) as desk:
        with pytest.raises(Away):
            await desk.keys.all()
    assert "The users' Redis does not answer; going on without it until it does" in caplog.messages
    assert not [said for said in caplog.messages if said.startswith("Redis ")]
