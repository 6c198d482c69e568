"""The headers of an answer that has speech in it."""

import time

from app.http.wire import Headers, encoded
from app.speech.following import Followed
from app.speech.making import Live
from app.speech.ready import Ready

Pairs = list[tuple[str, str]]


def ready_headers(speech: Ready, seconds: float, charged: int, *, sse: bool = False) -> Headers:
    """A whole hit: everything is known. `seconds`: from the request's body to here. `charged` characters.

    Written as it is sent: this is of every hit.
    """
    manifest = speech.manifest
    count, stale = len(manifest.clips), len(speech.stale)
    outcome = f'refrain; hit; detail="chunks={count} hits={count - stale} joined=0 stale={stale}"'
    took = f"{seconds * 1000:.2f}"
    pairs = [
        (b"content-location", b"/v1/speech/" + speech.digest.encode("ascii")),
        (b"cache-status", outcome.encode("ascii")),
        (b"x-refrain-provider", ", ".join(manifest.providers).encode("latin-1")),
        (b"x-refrain-characters", b"%d" % charged),
        (b"server-timing", f"first_audio;dur={took}, cache;dur={took}, provider;dur=0.00".encode("ascii")),
    ]
    if sse:
        return [*pairs, *encoded(_SSE)]
    return [
        *pairs,
        (b"content-type", manifest.fmt.media_type.encode("ascii")),
        (b"content-length", b"%d" % speech.size),
        (b"etag", manifest.etag.encode("ascii")),
        (b"accept-ranges", b"none"),
    ]


def live_headers(speech: Live, seconds: float, *, sse: bool = False) -> Pairs:
    """Sound that leaves while it is being made: what is not known yet is not guessed."""
    pairs = [
        ("Cache-Status", "refrain; fwd=miss"),
        ("Server-Timing", f"first_audio;dur={seconds * 1000:.2f}"),
    ]
    if (
        speech.plan.request.cache != "bypass"
    ):  # what is not kept can be had nowhere; others' sound may be there
        pairs.append(("Content-Location", f"/v1/speech/{speech.plan.digest}"))
    return [*pairs, *(_SSE if sse else [("Content-Type", speech.plan.request.output.format.media_type)])]


def replay_headers(speech: Ready, *, private: bool) -> Pairs:
    """A replay, whole or in part, without its length. `private`: caches on the way must not give it to others."""
    manifest = speech.manifest
    return [
        ("Content-Location", f"/v1/speech/{speech.digest}"),
        ("Cache-Status", "refrain; hit"),
        ("Cache-Control", manifest.cache_control(time.time(), private=private)),
        ("X-Refrain-Provider", ", ".join(manifest.providers)),
        ("ETag", manifest.etag),
        ("Accept-Ranges", "bytes"),
    ]


def followed_headers(speech: Followed) -> Pairs:
    """What somebody else is having made: collapsed into that (RFC 9211, 2.6), not to be kept as if it were all."""
    return [
        ("Content-Location", f"/v1/speech/{speech.digest}"),
        ("Cache-Status", "refrain; fwd=miss; collapsed"),
        ("Cache-Control", "no-store"),
        ("Accept-Ranges", "none"),
        ("Content-Type", speech.begun.fmt.media_type),
    ]


_SSE: Pairs = [("Content-Type", "text/event-stream; charset=utf-8"), ("Cache-Control", "no-store")]
