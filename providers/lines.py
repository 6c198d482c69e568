"""Answers that come a line at a time: newline-delimited JSON, and server-sent events of one data line each."""

from collections.abc import AsyncGenerator

from providers.errors import BadAudio

MOST_LINE = 8 * 1024 * 1024
"""Bytes of one line: base64 of two minutes of sound."""


async def lines(pieces: AsyncGenerator[bytes], provider: str) -> AsyncGenerator[bytes]:
    """The lines of a body, without their ends, however it was cut into pieces; also the last, if it has no end.

    Raises:
        BadAudio: one is longer than any that a vendor sends.
        ProviderError: as `pieces` does.
    """
    begun = bytearray()
    async for piece in pieces:
        # Only the new piece is searched: a long line must not be searched again with each piece of it.
        head, *rest = piece.split(b"\n")
        begun += head
        for following in rest:
            yield bytes(begun).rstrip(b"\r")
            begun = bytearray(following)
        if len(begun) > MOST_LINE:
            raise BadAudio(f"{provider} sent a line without an end.", provider=provider)
    if begun:
        yield bytes(begun).rstrip(b"\r")


def data(line: bytes) -> bytes | None:
    """What a `data:` line of an event carries; None: another line."""
    return line[len(b"data:") :].strip() if line.startswith(b"data:") else None
