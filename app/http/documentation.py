"""The raw routes in the OpenAPI document: Litestar describes only its own handlers."""

from typing import Any

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
)
from litestar.openapi.spec.enums import OpenAPIType

from app.audio.formats import FORMATS
from app.errors import TABLE
from app.http.captions import FORMS
from app.http.requests import SpeechBody
from app.http.tokens import IssuedToken, TokenBody
from app.speech.estimate import Estimate

_COMPONENT = "#/components/schemas/{name}"


def document(app: Litestar) -> None:
    """Add the routes that are raw ASGI to the app's document."""
    told = {name: form.struct for name, form in FORMS.items() if form.struct is not None}
    (body, estimate, wanted, issued, *structs), components = msgspec.json.schema_components(
        (SpeechBody, Estimate, TokenBody, IssuedToken, *told.values()), ref_template=_COMPONENT
    )
    json_of = dict(zip(told, structs, strict=True))
    schema = app.openapi_schema
    schema.components.schemas.update({name: _Raw(content) for name, content in components.items()})
    request = RequestBody(
        content={"application/json": OpenAPIMediaType(schema=Reference(body["$ref"]))}, required=True
    )
    planned = {"application/json": OpenAPIMediaType(schema=Reference(estimate["$ref"]))}
    address = Parameter(
        name="address",
        param_in="path",
        required=True,
        description="The digest from Content-Location, with or without the format's extension.",
        schema=Schema(type=OpenAPIType.STRING),
    )
    token = Parameter(
        name="token",
        param_in="query",
        description="From `POST /v1/tokens`, for what can send no header.",
        schema=Schema(type=OpenAPIType.STRING),
    )
    paths = schema.paths
    assert paths is not None
    paths["/v1/audio/speech"] = PathItem(
        post=_operation("speech", "Text to speech, as audio or server-sent events", 200, _sounds(), request)
    )
    paths["/v1/speech/plan"] = PathItem(
        post=_operation(
            "plan", "What it would cost: chunks, hits, price; calls nobody", 200, planned, request
        )
    )
    paths["/v1/speech/{address}"] = PathItem(
        parameters=[address, token],
        get=_operation("replay", "What was said once, by its address; Range, ETag", 200, _sounds()),
        head=_operation("replay_head", "The same without the sound", 200, {}),
        delete=_operation("forget", "Have it and its clips forgotten, by every replica", 204, {}),
    )
    told_token = {"application/json": OpenAPIMediaType(schema=Reference(issued["$ref"]))}
    asked_token = RequestBody(
        content={"application/json": OpenAPIMediaType(schema=Reference(wanted["$ref"]))}
    )
    paths["/v1/tokens"] = PathItem(
        post=_operation(
            "token",
            "A short-lived token for the `?token=` of a speech's address",
            200,
            told_token,
            asked_token,
        )
    )
    for name, form in FORMS.items():
        known = json_of.get(name)
        body_of = Reference(known["$ref"]) if known else Schema(type=OpenAPIType.STRING)
        written = {form.media_type.partition(";")[0]: OpenAPIMediaType(schema=body_of)}
        paths[f"/v1/speech/{{address}}/{name}"] = PathItem(
            parameters=[address, token],
            get=_operation(name.replace(".", "_"), "What is heard when", 200, written),
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
    return {**media, "text/event-stream": OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING))}


def _operation(
    name: str,
    summary: str,
    status: int,
    content: dict[str, OpenAPIMediaType],
    request: RequestBody | None = None,
) -> Operation:
    failures: dict[int, list[str]] = {}
    for row in TABLE.values():
        failures.setdefault(row.status, []).append(row.code)
    responses: dict[str, OpenAPIResponse | Reference] = {
        str(code): OpenAPIResponse(description=", ".join(codes)) for code, codes in failures.items()
    }
    responses[str(status)] = OpenAPIResponse(description="Done.", content=content or None)
    return Operation(
        operation_id=name, summary=summary, tags=["speech"], request_body=request, responses=responses
    )
