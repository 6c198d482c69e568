"""The OpenAPI document: the raw routes, which Litestar does not describe, and of all of them what they refuse."""

from typing import Any, Final

import msgspec
from litestar import Litestar
from litestar.openapi.spec import (
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    Parameter,
    PathItem,
    Reference,
    RequestBody,
    Schema,
    SecurityScheme,
)
from litestar.openapi.spec.enums import OpenAPIType
from litestar.status_codes import HTTP_431_REQUEST_HEADER_FIELDS_TOO_LARGE

from app import errors
from app.audio.formats import FORMATS
from app.errors import TABLE, RefrainError
from app.http.captions import FORMS
from app.http.doorway import takes_anybody
from app.http.purging import Forgotten, PurgeBody
from app.http.requests import SpeechBody
from app.http.tokens import IssuedToken, TokenBody
from app.speech.estimate import Estimate

_COMPONENT = "#/components/schemas/{name}"
_JSON, _PROBLEM = "application/json", "application/problem+json"
_CONNECTIONS: Final = {400: ["invalid_http"], 431: ["head_too_large"]}
"""What is no request is refused before anybody looks for its route."""

Errors = tuple[type[RefrainError], ...]
_EVERYWHERE: Final[Errors] = (
    errors.InvalidInput, errors.MissingKey, errors.InvalidKey, errors.Revoked, errors.Forbidden, errors.Internal,
    errors.UsersUnavailable, errors.Draining,
)  # fmt: skip
_BODY: Final[Errors] = (errors.InvalidJson, errors.UnsupportedMedia, errors.BodyTooLarge)
_PLANNING: Final[Errors] = (
    *_BODY, errors.InvalidSsml, errors.UnknownVoice, errors.UnsupportedFormat, errors.InputTooLong,
    errors.ProvidersUnavailable, errors.DeadlineExceeded,
)  # fmt: skip
_SPEAKING: Final[Errors] = (
    *_PLANNING, errors.NotFound, errors.NotCached, errors.IdempotencyMismatch, errors.RateLimited,
    errors.CharactersExceeded, errors.TooManyConcurrent, errors.BudgetExceeded, errors.ProviderFailed,
)  # fmt: skip
_ADDRESS: Final[Errors] = (errors.NotFound, errors.ProvidersUnavailable, errors.DeadlineExceeded)
_OWN: Final[dict[str, Errors]] = {
    "/v1/audio/speech": _SPEAKING,
    "/v1/speech/plan": (*_PLANNING, errors.RateLimited),
    "/v1/cache/purge": (*_BODY, errors.CacheUnavailable),
    "/v1/models/{model}": (errors.NotFound,),
    "/v1/tokens": _BODY,
    "/v1/usage": (errors.RateLimited,),
}
"""By path; under the address of a speech they are alike."""
_SCHEMES: Final[dict[str, SecurityScheme | Reference]] = {
    "bearer": SecurityScheme(
        type="http", scheme="bearer", description="A key of `refrain keys create`, or a JWT."
    ),
    "key": SecurityScheme(
        type="apiKey", security_scheme_in="header", name="xi-api-key", description="The same."
    ),
}


def document(app: Litestar, *, needs_key: bool, public_listings: bool) -> None:
    """Add the routes that are raw ASGI to the app's document, and what any of them refuses."""
    told = {name: form.struct for name, form in FORMS.items() if form.struct is not None}
    (body, estimate, purge, forgotten, wanted, issued, *structs), components = msgspec.json.schema_components(
        (SpeechBody, Estimate, PurgeBody, Forgotten, TokenBody, IssuedToken, *told.values()),
        ref_template=_COMPONENT,
    )
    json_of = dict(zip(told, structs, strict=True))
    schema = app.openapi_schema
    schema.components.schemas.update({name: _Raw(content) for name, content in components.items()})
    schema.components.schemas.update({"Error": _Raw(_ERROR), "Problem": _Raw(_RFC9457)})
    schema.components.security_schemes = _SCHEMES
    paths = schema.paths
    assert paths is not None
    paths["/v1/audio/speech"] = PathItem(
        post=_operation("speech", "Text to speech, as audio or server-sent events", _sounds(), _request(body))
    )
    paths["/v1/speech/plan"] = PathItem(
        post=_operation(
            "plan", "What it would cost: chunks, hits, price; calls nobody", _media(estimate), _request(body)
        )
    )
    paths["/v1/cache/purge"] = PathItem(
        post=_operation(
            "purge", "Have what fits forgotten; for administrators", _media(forgotten), _request(purge)
        )
    )
    paths["/v1/speech/{address}"] = PathItem(
        parameters=[_address(), _token()],
        get=_operation("replay", "What was said once, by its address; Range, ETag", _sounds()),
        head=_operation("replay_head", "The same without the sound", {}),
        delete=_operation("forget", "Have it and its clips forgotten, by every replica", {}, status=204),
    )
    paths["/v1/tokens"] = PathItem(
        post=_operation(
            "token",
            "A short-lived token for the `?token=` of a speech's address, or of one WebSocket",
            _media(issued),
            RequestBody(content=_media(wanted)),
        )
    )
    for name, form in FORMS.items():
        known = json_of.get(name)
        body_of = Reference(known["$ref"]) if known else Schema(type=OpenAPIType.STRING)
        written = {form.media_type.partition(";")[0]: OpenAPIMediaType(schema=body_of)}
        paths[f"/v1/speech/{{address}}/{name}"] = PathItem(
            parameters=[_address(), _token()],
            get=_operation(name.replace(".", "_"), "What is heard when", written),
        )
    for path, item in paths.items():
        is_open = not needs_key or takes_anybody(path, public_listings=public_listings)
        for method in ("get", "head", "post", "delete"):
            if (operation := getattr(item, method)) is not None:
                operation.security = [{"bearer": []}, {"key": []}, *([{}] if is_open else [])]
                _refuses(operation, path, method)


def _refuses(operation: Operation, path: str, method: str) -> None:
    """Put what it says no with in the place of what Litestar takes for that."""
    assert operation.responses is not None
    well = {status: told for status, told in operation.responses.items() if int(status) < _FAILURES}
    own = _OWN.get(path, ())
    if path.startswith("/v1/speech/{address}"):
        own = (errors.NotFound, errors.CacheUnavailable) if method == "delete" else _ADDRESS
        if method != "delete":
            well["304"] = OpenAPIResponse(description="It is what you have.")
    if path == "/v1/speech/{address}" and method != "delete":
        well["412"] = OpenAPIResponse(description="It is not what you have (`If-Match`).")
    if path == "/v1/speech/{address}" and method == "get":
        well["206"] = OpenAPIResponse(description="The part that was asked for.", content=_sounds())
        well["416"] = OpenAPIResponse(description="There is no such part.")
    codes: dict[int, list[str]] = {status: [*names] for status, names in _CONNECTIONS.items()}
    for error in (*_EVERYWHERE, *own):
        codes.setdefault(TABLE[error].status, []).append(TABLE[error].code)
    operation.responses = well | {
        str(status): OpenAPIResponse(
            description=", ".join(dict.fromkeys(names)),
            content=None if method == "head" else _forms(path, status),
        )
        for status, names in sorted(codes.items())
    }


_FAILURES: Final = 400
_TEXT: Final = {"type": "string"}
_ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": _TEXT,
                "type": _TEXT,
                "param": {"type": ["string", "null"]},
                "code": _TEXT,
            },
        }
    },
}
_RFC9457: Final = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": _TEXT, "title": _TEXT, "status": {"type": "integer"}, "detail": _TEXT, "code": _TEXT, "param": _TEXT
    },
}  # fmt: skip


def _forms(path: str, status: int) -> dict[str, OpenAPIMediaType]:
    problem = {_PROBLEM: OpenAPIMediaType(schema=Reference(_COMPONENT.format(name="Problem")))}
    if not path.startswith("/v1/audio/") or status == HTTP_431_REQUEST_HEADER_FIELDS_TOO_LARGE:
        return problem
    form = {_JSON: OpenAPIMediaType(schema=Reference(_COMPONENT.format(name="Error")))}
    return form | problem if status in _CONNECTIONS else form


def _request(body: dict[str, Any]) -> RequestBody:
    return RequestBody(content=_media(body), required=True)


def _media(body: dict[str, Any]) -> dict[str, OpenAPIMediaType]:
    return {_JSON: OpenAPIMediaType(schema=Reference(body["$ref"]))}


def _token() -> Parameter:
    return Parameter(
        name="token",
        param_in="query",
        description="From `POST /v1/tokens`, for what can send no header.",
        schema=Schema(type=OpenAPIType.STRING),
    )


def _address() -> Parameter:
    return Parameter(
        name="address",
        param_in="path",
        required=True,
        description="The digest from Content-Location, with or without the format's extension.",
        schema=Schema(type=OpenAPIType.STRING),
    )


class _Raw(Schema):
    """A JSON schema that is one already."""

    def __init__(self, content: dict[str, Any]) -> None:
        super().__init__()
        self._content = content

    def to_schema(self) -> dict[str, Any]:
        return self._content


def _sounds() -> dict[str, OpenAPIMediaType]:
    binary = Schema(type=OpenAPIType.STRING, format="binary")  # type: ignore[arg-type]
    media = {fmt.media_type: OpenAPIMediaType(schema=binary) for fmt in FORMATS.values()}
    events = Schema(description="Each event's `data` is an object with a `type`; docs/http.md has them.")
    return {**media, "text/event-stream": OpenAPIMediaType(schema=events)}


def _operation(
    name: str,
    summary: str,
    content: dict[str, OpenAPIMediaType],
    request: RequestBody | None = None,
    *,
    status: int = 200,
) -> Operation:
    responses: dict[str, OpenAPIResponse | Reference] = {
        str(status): OpenAPIResponse(description="Done.", content=content or None)
    }
    return Operation(
        operation_id=name, summary=summary, tags=["speech"], request_body=request, responses=responses
    )
