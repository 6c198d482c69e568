"""Tokens that others have signed: JWTs, by the keys and rules of the configuration and by nothing that they say."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import jwt

from app.errors import InvalidKey, Revoked
from app.settings.signing import VerifyingKey
from app.settings.tables import Jwt
from app.users.revocations import Issued, Revocations, id_of
from app.users.store import Secret
from app.users.user import DEFAULT_PLAN, Role, User

LONGEST: Final = 8192
"""Characters of a token."""
LONGEST_ID: Final = 255
"""Characters of a user's id, as OpenID Connect has it."""
LONGEST_PLAN: Final = 64
"""Characters of a plan's name, as the configuration has it."""
_MOST_KEYS: Final = 8
"""Keys that are tried for a token that names none."""


class VerifyingKeys(Protocol):
    """Where the keys are that tokens are checked with."""

    async def find(self, key_id: str | None, algorithm: str) -> Sequence[VerifyingKey]:
        """Those that a token with this `kid` (None: without one) and algorithm may be signed with.

        Raises:
            Away: that cannot be known now.
        """
        ...


class GivenKey:
    """The one of the configuration, whatever a token calls it."""

    def __init__(self, keys: Mapping[str, VerifyingKey]) -> None:
        """`keys` by algorithm."""
        self._keys = keys

    async def find(self, key_id: str | None, algorithm: str) -> Sequence[VerifyingKey]:  # noqa: ARG002
        """As `VerifyingKeys`."""
        key = self._keys.get(algorithm)
        return () if key is None else (key,)


class JwtTokens:
    """Checks them. `now` is the time of day, in seconds; what has expired is judged by the machine's own."""

    def __init__(
        self,
        rules: Jwt,
        keys: VerifyingKeys,
        revocations: Revocations,
        secret: Secret,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._rules = rules
        self._keys = keys
        self._revocations = revocations
        self._secret = secret
        self._now = now

    async def find(self, presented: str) -> tuple[User, float]:
        """Whose it is, and until when it is good at the most (epoch seconds).

        Raises:
            InvalidKey: it is not to be believed, or not for us, or not now.
            Revoked: it was good.
            Away: that cannot be known now.
        """
        if len(presented) > LONGEST:
            raise InvalidKey(
                f"This token is longer than {LONGEST} characters. Have one with fewer claims made."
            )
        key_id, algorithm = self._header(presented)
        keys = await self._keys.find(key_id, algorithm)
        claims = self._claims(presented, keys)
        if isinstance(claims.get("events"), dict):
            # Of a log-out, say: by the same key, for the same audience, about the same user (RFC 8417, 4.6).
            raise InvalidKey(
                "This token tells of an event, and lets nobody in. Send one that was issued for that."
            )
        name = _name(claims["sub"], LONGEST_ID)
        if name is None:
            raise InvalidKey(f"A token's `sub` must be 1 to {LONGEST_ID} printable characters.")
        issued = self._issued(presented, claims)
        if await self._revocations.revoked(name, issued):
            raise Revoked("This token has been revoked. Log in again.")
        role: Role = "admin" if claims.get(self._rules.role_claim) == "admin" else "user"
        plan = _name(claims.get(self._rules.plan_claim), LONGEST_PLAN) or DEFAULT_PLAN
        return User(name, role, plan, str(issued), await self._secret.owner(name)), issued.until

    async def still_good(self, user: User) -> bool:
        """Whether the token by which this user came in has not been revoked since.

        Raises:
            Away: that cannot be known now.
        """
        issued = Issued.of(user.credential)
        return issued is not None and not await self._revocations.revoked(user.id, issued)

    def _header(self, presented: str) -> tuple[str | None, str]:
        """By which key, and how, it says that it was signed: of the ways that are taken here."""
        try:
            header = jwt.get_unverified_header(presented)
        except (jwt.PyJWTError, ValueError):
            raise _invalid() from None
        algorithm = header.get("alg")
        if algorithm not in self._rules.algorithms:
            raise _invalid()
        return header.get("kid"), algorithm

    def _claims(self, presented: str, keys: Sequence[VerifyingKey]) -> dict[str, Any]:
        """What it says, once it is known that it may.

        Raises:
            InvalidKey: no key has signed this, or it is not for us, or not now.
        """
        for key in keys[:_MOST_KEYS]:
            try:
                return self._verified(presented, key)
            except jwt.InvalidSignatureError:
                continue
            except jwt.ExpiredSignatureError:
                raise InvalidKey("This token has expired. Get a new one.") from None
            except jwt.ImmatureSignatureError:
                raise InvalidKey("This token is not valid yet. Check the clocks.") from None
            except (jwt.InvalidAudienceError, jwt.InvalidIssuerError):
                raise InvalidKey(
                    "This token is made out for another service, or by another issuer."
                ) from None
            except jwt.MissingRequiredClaimError as error:
                raise InvalidKey(f"This token has no `{error.claim}`, which is needed here.") from None
            # Strangers write this. Whatever the library trips over in it, it is no token of ours.
            except (jwt.PyJWTError, ValueError, TypeError, ArithmeticError, AttributeError):
                raise _invalid() from None
        raise _invalid()

    def _verified(self, presented: str, key: VerifyingKey) -> dict[str, Any]:
        rules = self._rules
        return jwt.decode(
            presented,
            key,
            algorithms=list(rules.algorithms),
            audience=rules.audience or None,
            issuer=rules.issuer or None,
            leeway=rules.leeway,
            options={
                "require": ["sub", "exp"],
                "verify_aud": bool(rules.audience),
                "verify_iss": bool(rules.issuer),
                "enforce_minimum_key_length": True,
            },
        )

    def _issued(self, presented: str, claims: Mapping[str, Any]) -> Issued:
        """When, and by what name it can be revoked.

        Raises:
            InvalidKey: it is good for longer than revocations are kept.
        """
        try:
            expires = float(claims["exp"])
            at = float(claims["iat"]) if "iat" in claims else 0.0
        except (ValueError, TypeError, OverflowError):
            raise _invalid() from None
        if not expires - (at or self._now()) <= self._rules.max_lifetime:
            raise InvalidKey("This token is made out for too long a time. Have one made that expires sooner.")
        jti = claims.get("jti")
        return Issued(id_of(jti if isinstance(jti, str) else presented), at, expires + self._rules.leeway)


def _name(claim: object, longest: int) -> str | None:
    """Of a user or plan, as far as it can be one."""
    if isinstance(claim, str) and 0 < len(claim) <= longest and claim.isprintable():
        return claim
    return None


def _invalid() -> InvalidKey:
    return InvalidKey("This token is not valid here. Check which issuer it is from, and get a new one.")
