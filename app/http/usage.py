"""`GET /v1/usage`: what who asks has had, and what is left to him."""

from datetime import date
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get
from litestar.datastructures import CacheControlHeader
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter

from app.errors import Forbidden, InvalidInput
from app.http.doorway import user_of
from app.speech.cast import Casting
from app.users.accounts import reading
from app.users.desk import Desk
from app.users.statement import Account, Span


def usage(desk: Desk, casting: Casting) -> HTTPRouteHandler:
    """The route. It counts among the user's requests: a year is a reading of four hundred days."""
    accounts, limits = desk.accounts, desk.limits

    @get(
        "/v1/usage",
        summary="What you have had, by day, voice and provider; what is left",
        tags=["users"],
        cache_control=CacheControlHeader(no_store=True),
    )
    async def account(
        request: Request[Any, Any, Any],
        first: Annotated[
            str | None, QueryParameter(name="from", description="The first day (UTC); left out: the month's.")
        ] = None,
        last: Annotated[
            str | None, QueryParameter(name="to", description="The last day (UTC); left out: today.")
        ] = None,
        user: Annotated[
            str | None, QueryParameter(name="user", description="Another user; for keys with the admin role.")
        ] = None,
    ) -> Response[Account]:
        """`characters` were charged, `saved` were not; `hits` of the `chunks` were found, or were being made already.

        Money (`spend`, and `spared` by hits) is in the currency of the prices. Days without speech are left out.
        """
        own = user_of(request.scope)
        limits.recall(own)
        whose = own.id if user is None else user
        if whose != own.id and not own.is_admin:
            raise Forbidden("Only keys with the admin role may ask for others' usage.", param="user")
        span = _span(first, last, accounts.today)
        entrance = limits.enter(own)
        await limits.admit(entrance)
        with reading():
            found = await accounts.of(whose, span)
            if whose == own.id:
                left = await accounts.limited(own.id, own.plan, casting.now.settings.limits_of(own.plan))
                found = msgspec.structs.replace(found, limits=left)
        return Response(found, headers=dict(entrance.headers))

    return account


def _span(first: str | None, last: str | None, today: date) -> Span:
    days: dict[str, date | None] = {}
    for name, written in (("from", first), ("to", last)):
        try:
            days[name] = None if written is None else date.fromisoformat(written)
        except ValueError:
            raise InvalidInput(f"`{name}` must be a date such as {today}.", param=name) from None
    try:
        return Span.of(days["from"], days["to"], today)
    except ValueError as error:
        raise InvalidInput(f"{error}.", param="from") from None
