"""Answers that come a line at a time: newline-delimited JSON, and server-sent events of one data line each."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from providers.errors import BadAudio

MOST_LINE = 8 * 1024 * 1024
"""Bytes of one line: base64 of two minutes of sound."""


async def lines(pieces: AsyncGenerator[bytes], provider: str) -> AsyncGenerator[bytes]:
    """The lines of a body, none empty, without their ends, however it was cut into pieces. Closes `pieces`.

    Each byte is looked at once: a long line is not searched again with each piece of it.

    Raises:
        BadAudio: one is longer than any that a vendor sends.
        ProviderError: as `pieces` does.
    """
    begun = bytearray()
    async with aclosing(pieces):
        async for piece in pieces:
            *ended, rest = piece.split(b"\n")
            for end in ended:
                begun += end
                if line := bytes(begun).strip():
                    yield line
                begun.clear()
            begun += rest
            if len(begun) > MOST_LINE:
                raise BadAudio(f"{provider} sent a line that is far too long.", provider=provider)
    if line := bytes(begun).strip():
        yield line


def data(line: bytes) -> bytes | None:
    """What a `data:` line of an event carries; None: another line."""
    return line[len(b"data:") :].strip() if line.startswith(b"data:") else None
