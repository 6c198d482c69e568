"""Voices and models, in the forms that stock clients look for."""

from typing import Any

from litestar import Request, Router, get
from litestar.params import FromPath

from app.errors import NotFound
from app.speech.cast import Casting

MODELS = ("refrain", "tts-1", "tts-1-hd", "gpt-4o-mini-tts")
"""Names that clients send; the voice decides who speaks, so all of them are taken and mean the same."""


def listings(casting: Casting) -> Router:
    """The routes."""

    @get("/v1/audio/voices", summary="Voices", sync_to_thread=False)
    def audio_voices() -> dict[str, list[dict[str, object]]]:
        """Every name that `voice` takes: the configured voices, then their aliases."""
        voices = casting.now.voices
        named: list[dict[str, object]] = [
            {"id": voice.name, "name": voice.name, "language": voice.language, "alias_of": None}
            for voice in voices.all
        ]
        aliases: list[dict[str, object]] = [
            {"id": alias, "name": alias, "language": voice.language, "alias_of": voice.name}
            for voice in voices.all
            for alias in voice.aliases
        ]
        return {"voices": [*named, *aliases]}

    @get("/v1/audio/models", summary="Speech models", sync_to_thread=False)
    def audio_models() -> dict[str, list[dict[str, str]]]:
        """The names that `model` takes."""
        return {"models": [{"id": model} for model in MODELS]}

    @get("/v1/models", summary="Models", sync_to_thread=False)
    def models(request: Request[Any, Any, Any]) -> dict[str, object] | list[dict[str, object]]:
        """OpenAI's form; ElevenLabs' where `xi-api-key` is sent."""
        if "xi-api-key" in request.headers:
            return [{"model_id": model, "name": model, "can_do_text_to_speech": True} for model in MODELS]
        return {"object": "list", "data": [_model(model) for model in MODELS]}

    @get("/v1/models/{model:str}", summary="One model", sync_to_thread=False)
    def model(model: FromPath[str]) -> dict[str, object]:
        """OpenAI's form."""
        if model not in MODELS:
            raise NotFound(f"No such model. Use one of {', '.join(MODELS)}.")
        return _model(model)

    return Router("/", route_handlers=[audio_voices, audio_models, models, model], tags=["listings"])


def _model(model: str) -> dict[str, object]:
    return {"id": model, "object": "model", "created": 0, "owned_by": "refrain"}
