"""A server that answers anything at once with the same number of bytes: `python -m benchmarks.constant SIZE`."""

import asyncio
import sys
from typing import cast

import uvloop


class _Constant(asyncio.Protocol):
    def __init__(self, size: int) -> None:
        self._answer = f"HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n".encode() + bytes(size)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not subclasses of asyncio's

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 - requests are small and come whole
        self._transport.write(self._answer)


async def _serve(size: int) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Constant(size), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
