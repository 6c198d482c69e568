"""An issuer of tokens for the tests: its keys, its tokens, and the place where it publishes the keys."""

import asyncio
import functools
import json
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://issuer.example"
AUDIENCE = "refrain"


def private(name: str = "first", algorithm: str = "RS256") -> Any:
    """A private key, the same whenever it is asked for by this name."""
    return _private(name, algorithm)


@functools.cache
def _private(name: str, algorithm: str) -> Any:
    match algorithm[:2]:
        case "RS" | "PS":
            return rsa.generate_private_key(65537, 1024 if name == "short" else 2048)
        case "ES":
            curve = {"256": ec.SECP256R1, "384": ec.SECP384R1, "512": ec.SECP521R1}[algorithm[2:]]
            return ec.generate_private_key(curve())
        case _:
            return ed25519.Ed25519PrivateKey.generate()


def pem(name: str = "first", algorithm: str = "RS256") -> str:
    """The public key, as an operator writes it down."""
    public = private(name, algorithm).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def jwk(name: str = "first", algorithm: str = "RS256", **more: object) -> dict[str, object]:
    """The public key, as an issuer publishes it; `kid` is its name."""
    kinds: dict[str, Any] = {"RS": RSAAlgorithm, "PS": RSAAlgorithm, "ES": ECAlgorithm, "Ed": OKPAlgorithm}
    made = kinds[algorithm[:2]].to_jwk(private(name, algorithm).public_key(), as_dict=True)
    return {**made, "kid": name, "use": "sig", **more}


def claims(**changed: object) -> dict[str, object]:
    """Those of a token that is good for an hour; None takes one out."""
    now = int(time.time())
    usual: dict[str, object] = {
        "sub": "ann",
        "iat": now,
        "exp": now + 3600,
        "jti": uuid.uuid4().hex,
        "aud": AUDIENCE,
        "iss": ISSUER,
    }
    return {name: value for name, value in {**usual, **changed}.items() if value is not None}


def token(
    key: str = "first", algorithm: str = "RS256", headers: dict[str, object] | None = None, **changed: object
) -> str:
    """One that is good, but for what is changed."""
    return jwt.encode(
        claims(**changed),
        private(key, algorithm),
        algorithm=algorithm,
        headers={"kid": key, **(headers or {})},
    )


def key_set(*keys: dict[str, object]) -> bytes:
    """As it is published."""
    return json.dumps({"keys": list(keys)}).encode()


class Publisher:
    """Serves what is in `body` under `head`, on loopback. `hold` stops every answer behind its head until set."""

    def __init__(self) -> None:
        self.body: bytes = key_set(jwk())
        self.head: Sequence[str] = ("HTTP/1.1 200 OK", "Content-Type: application/json")
        self.hold = asyncio.Event()
        self.hold.set()
        self.arrived = asyncio.Event()
        self.requests = 0
        self.endless = False
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.requests += 1
            self.arrived.set()
            writer.write("\r\n".join((*self.head, "Connection: close", "", "")).encode())
            await self.hold.wait()
            writer.write(self.body)
            while self.endless:
                writer.write(b" " * 65536)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def publisher() -> AsyncIterator[Publisher]:
    """A place for keys, until the block ends."""
    place = Publisher()
    server = await asyncio.start_server(place.answer, "127.0.0.1", 0)
    place.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
    try:
        yield place
    finally:
        place.hold.set()
        server.close()
