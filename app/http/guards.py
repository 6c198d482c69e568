"""What browsers are told not to do with an answer."""

from typing import Final

from litestar.status_codes import HTTP_400_BAD_REQUEST

from app.http.wire import Headers

_PAGE: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; media-src 'self' blob:; "
    b"img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_NOTHING: Final = b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_PAGES: Final = ("/docs", "/page/")
_SPEECH: Final = "/v1/speech/"
_SPEAKING: Final = "/v1/audio/speech"
_PLAN: Final = "/v1/speech/plan"

_ALWAYS: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]

_OF_SOUND: Final = {b"x-content-type-options", b"cross-origin-resource-policy"}


class Guards:
    """The headers for every answer, by its path and status."""

    def __init__(self, *, embedded: bool) -> None:
        """`embedded`: speeches may be heard in other sites' pages, whose media elements do not say whose they are.

        Where they are not, and need no key, such a page would learn what has been spoken here: the address of a text is
        no secret to who knows the text.
        """
        ours, anybodys = (
            [*_ALWAYS, (b"cross-origin-resource-policy", policy)]
            for policy in (b"same-origin", b"cross-origin")
        )
        # Sound is no document: it has no links, and nothing to be framed. Each field is looked over once more by the
        # server, at each answer.
        self._speech, self._sound = (
            [pair for pair in headers if pair[0] in _OF_SOUND]
            for headers in (anybodys if embedded else ours, ours)
        )
        self._page: Headers = [*ours, (b"content-security-policy", _PAGE)]
        self._error: Headers = [*ours, (b"content-security-policy", _NOTHING)]
        self._ours: Headers = ours

    def of(self, path: str, status: int) -> Headers:
        """For one answer. Sound has no policy for what it contains: it is no document."""
        if path == "/" or path.startswith(_PAGES):
            return self._page
        if status >= HTTP_400_BAD_REQUEST:
            return self._error
        if path == _SPEAKING:
            return self._sound
        return self._speech if path.startswith(_SPEECH) and path != _PLAN else self._ours
