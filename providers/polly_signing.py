"""AWS's signature (SigV4) on httpx's requests, by botocore's own signer."""

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import httpx

from providers.errors import BadCredentials, Unavailable

if TYPE_CHECKING:
    from botocore.auth import SigV4Auth
    from botocore.credentials import Credentials


class Signed(httpx.Auth):
    """Signs each request, with credentials that renew themselves where they can."""

    def __init__(
        self, provider: str, service: str, region: str, *, key: str | None, profile: str | None
    ) -> None:
        """`key` is `ACCESS_KEY_ID:SECRET_ACCESS_KEY`; None: the environment, a profile, the machine's own role."""
        self._provider = provider
        self._service = service
        self._region = region
        self._key = key
        self._profile = profile
        self._credentials: Credentials | None = None

    async def warm(self) -> None:
        """Find the credentials.

        Raises:
            BadCredentials: there are none.
        """
        await asyncio.to_thread(self._signer)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """See httpx."""
        body = await request.aread()
        # In a thread: the first use imports botocore (0.7 s), and credentials of a role are fetched now and then.
        signer = await asyncio.to_thread(self._signer)
        _sign(signer, request, body)
        response = yield request
        # Expired, or replaced in its file: looked for anew next time, or they would be refused until a restart.
        if response.status_code == httpx.codes.FORBIDDEN:
            self._credentials = None

    def _signer(self) -> "SigV4Auth":
        from botocore.auth import SigV4Auth  # noqa: PLC0415 - costly, and only for those who have Polly

        found = self._credentials or self._found()
        if found is None:
            raise BadCredentials(
                f"{self._provider} has no credentials; give api_key or configure AWS on this machine.",
                provider=self._provider,
            )
        self._credentials = found
        try:
            frozen = found.get_frozen_credentials()
        except Exception:  # noqa: BLE001 - a role's are renewed here, over a network, and botocore has no tree for it
            raise Unavailable(
                f"{self._provider} cannot renew its credentials of AWS.", provider=self._provider
            ) from None
        return SigV4Auth(frozen, self._service, self._region)

    def _found(self) -> "Credentials | None":
        from botocore.credentials import Credentials  # noqa: PLC0415
        from botocore.session import Session  # noqa: PLC0415

        if self._key:
            access, _, secret = self._key.partition(":")
            return Credentials(access, secret)
        try:
            return Session(profile=self._profile).get_credentials()
        except Exception:  # noqa: BLE001 - an unknown profile, an unreadable file: botocore has no tree for these
            return None


def _sign(signer: "SigV4Auth", request: httpx.Request, body: bytes) -> None:
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415

    # Only these two are signed: what httpx or a proxy adds to the others must not make the signature wrong.
    signed = {key: request.headers[key] for key in ("content-type", "host") if key in request.headers}
    asked = AWSRequest(method=request.method, url=str(request.url), data=body, headers=signed)
    signer.add_auth(asked)
    request.headers.update(dict(asked.headers.items()))
