"""The speech body: OpenAI's fields and ours on top, decoded and checked."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from app.errors import InvalidInput, InvalidJson
from app.speech.outputs import Outputs
from app.speech.plan import SPEED_MAX, SPEED_MIN, CacheMode, SpeechRequest
from app.speech.voices import Voices
from app.text.intake.kinds import InputType
from app.text.language import is_tag
from app.unprinted import Unprinted

_AT = re.compile(r" - at `\$\.?([^`\[]*)[^`]*`$")
_MISSING = re.compile(r"missing required field `([^`]+)`")


class VoiceId(msgspec.Struct, frozen=True):
    """OpenAI's second way of naming a voice."""

    id: str


class SpeechBody(Unprinted, frozen=True):
    """The body of `POST /v1/audio/speech` and `POST /v1/speech/plan`; unknown fields are let be."""

    input: Annotated[str, Meta(description="The text to speak; `input_type` says how it is read.")]
    voice: Annotated[
        str | VoiceId, Meta(description="Name or alias of a voice; GET /v1/audio/voices lists them.")
    ] = "default"
    model: Annotated[
        str | None, Meta(description="Taken from stock clients and ignored: the voice decides who speaks.")
    ] = None
    response_format: Annotated[
        str | None,
        Meta(description="mp3 (default), opus, aac, m4a, flac, wav, pcm (16 bit), ulaw or alaw; all mono."),
    ] = None
    speed: Annotated[float | None, Meta(description="From 0.25 to 4; 1 is the voice's own pace.")] = None
    instructions: Annotated[
        str | None, Meta(description="How to speak, for providers that take it; ignored by the others.")
    ] = None
    stream_format: Annotated[
        Literal["audio", "sse"] | None, Meta(description="Bytes of sound (default), or server-sent events.")
    ] = None
    input_type: Annotated[
        InputType | None,
        Meta(
            description="What `input` is: text (default), markdown, html (a whole page is read by its article) "
            "or ssml."
        ),
    ] = None
    language: Annotated[
        str | None,
        Meta(
            description='Of the text, such as "en" or "pt-BR"; left out: what SSML says itself, else the voice\'s.'
        ),
    ] = None
    cache: Annotated[
        CacheMode | None,
        Meta(
            description="default; refresh (make it anew and keep that); only (404 rather than call a provider); "
            "bypass (neither look nor keep)."
        ),
    ] = None
    tags: Annotated[
        list[str] | None,
        Meta(
            description="At most 16 words of yours, of 1 to 64 characters each, by which this sound can be purged."
        ),
    ] = None
    sample_rate: Annotated[
        int | None,
        Meta(
            description="In Hz. wav, pcm, flac: 8000, 16000, 22050, 24000 (default), 44100, 48000; mp3: 24000 "
            "(default), 48000; the others have no choice."
        ),
    ] = None
    bit_rate: Annotated[
        int | None,
        Meta(
            description="Of mp3, opus, aac and m4a, in bits per second, such as 32000, 64000 or 96000; left out: as "
            "the operator set it."
        ),
    ] = None


_CHOICES = {
    "stream_format": ("audio", "sse"),
    "input_type": get_args(InputType),
    "cache": get_args(CacheMode),
}
MOST_INSTRUCTIONS = 4_096
"""Characters, as at OpenAI: they go out, are hashed and are paid for with every chunk."""
MOST_TAGS, LONGEST_TAG = 16, 64
_DECODER = msgspec.json.Decoder(SpeechBody)


def decode(body: bytes) -> SpeechBody:
    """The body's fields; unknown ones are let be, as OpenAI's clients send new ones.

    Raises:
        InvalidJson: not JSON in UTF-8, a lone surrogate, or nested too deep.
        InvalidInput: a field is missing or of the wrong type.
    """
    try:
        return _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise _field_error(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidJson(
            "The body is not valid JSON in UTF-8. Send an object with at least `input`."
        ) from None
    except RecursionError:
        raise InvalidJson("The body is nested too deep. Send a flat object.") from None


def speech_request(
    body: SpeechBody, voices: Voices, outputs: Outputs, owner: str | None = None
) -> SpeechRequest:
    """What to speak, how, and whose it is.

    Raises:
        UnknownVoice, UnsupportedFormat, InvalidInput: each naming its field.
    """
    return SpeechRequest(
        text=body.input,
        voice=voices.find(body.voice if isinstance(body.voice, str) else body.voice.id),
        output=outputs.find(body.response_format, body.sample_rate, body.bit_rate),
        speed=_speed(body.speed),
        instructions=_instructions(body.instructions),
        language=_language(body.language),
        cache=body.cache or "default",
        input_type=body.input_type or "text",
        tags=_tags(body.tags or ()),
        owner=owner,
    )


def _speed(speed: float | None) -> float:
    if speed is None:
        return 1.0
    if not SPEED_MIN <= speed <= SPEED_MAX:
        raise InvalidInput(f"`speed` must be from {SPEED_MIN} to {SPEED_MAX:g}.", param="speed")
    return round(speed, 3)


def _instructions(instructions: str | None) -> str | None:
    if instructions and len(instructions) > MOST_INSTRUCTIONS:
        message = f"`instructions` must be at most {MOST_INSTRUCTIONS} characters."
        raise InvalidInput(message, param="instructions")
    return instructions or None


def _tags(tags: Sequence[str]) -> tuple[str, ...]:
    """In one order, each once: the same tags are the same request."""
    if len(tags) > MOST_TAGS:
        raise InvalidInput(f"There are more than {MOST_TAGS} `tags`. Send fewer.", param="tags")
    if not all(len(tag) <= LONGEST_TAG and tag.isprintable() and tag.strip() for tag in tags):
        message = (
            f"Each of the `tags` must be 1 to {LONGEST_TAG} printable characters, not all of them blanks."
        )
        raise InvalidInput(message, param="tags")
    return tuple(sorted(set(tags))) if tags else ()


def _language(language: str | None) -> str | None:
    if not language:
        return None
    if not is_tag(language):
        raise InvalidInput('`language` must be a tag such as "en" or "pt-BR".', param="language")
    return language


def _field_error(message: str) -> InvalidInput | InvalidJson:
    """Msgspec's sentence names types and fields, never values, except of enumerations; we keep types and fields."""
    at = _AT.search(message)
    if missing := _MISSING.search(message):
        path = f"{at[1]}.{missing[1]}" if at and at[1] else missing[1]
        return InvalidInput(f"`{path}` is missing. Send it as a string.", param=path)
    if not at or not at[1]:
        return InvalidJson("The body must be a JSON object with at least `input`.")
    field = at[1]
    if message.startswith("Invalid enum value"):
        known = " or ".join(_CHOICES.get(field, ()))
        return InvalidInput(
            f"`{field}` has a value that is not known. Use {known or 'one from /docs'}.", param=field
        )
    return InvalidInput(f"`{field}` has the wrong type: {_AT.sub('', message).lower()}.", param=field)
