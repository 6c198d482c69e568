"""A vendor of speech on loopback: `python -m benchmarks.vendor`.

OpenAI's wire, each connection in its own task. What is asked of `/slow` begins after 30 ms, of `/down` is refused
with 500, of anything else begins at once; the sound is a tone as long as speech would be.
"""

import asyncio
import json

from providers.tones import tone_pcm

_DELAY = 0.03
_PIECE = 4_800


async def _connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            await _answer(await reader.readuntil(b"\r\n\r\n"), reader, writer)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    line, *fields = head.decode("latin-1").lower().split("\r\n")
    length = next((int(one.partition(":")[2]) for one in fields if one.startswith("content-length:")), 0)
    body = await reader.readexactly(length)
    if " /down" in line or not body:
        writer.write(b"HTTP/1.1 500 X\r\ncontent-length: 2\r\n\r\n{}")
        return
    if " /slow" in line:
        await asyncio.sleep(_DELAY)
    sound = tone_pcm(json.loads(body)["input"], "alloy")
    writer.write(b"HTTP/1.1 200 X\r\ncontent-type: audio/pcm\r\ntransfer-encoding: chunked\r\n\r\n")
    for start in range(0, len(sound), _PIECE):
        piece = sound[start : start + _PIECE]
        writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def _serve() -> None:
    server = await asyncio.start_server(_connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
