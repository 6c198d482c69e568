"""What every provider must hold. A vendor's test hands a `Subject` to this suite; see test_conformance.py."""

import asyncio
import io
import traceback
import wave
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest

from providers.errors import ProviderError
from providers.interface import Provider, ProviderVoice, Utterance

CANARY_TEXT = "The canary sings quietly at dawn."
CANARY_KEY = "sk-canary-0123456789"


@dataclass
class Subject:
    """A provider under test, and what the suite has to know of it.

    `settled` says whether nothing is left open upstream; `broken` makes every later call fail; `turns` of the event
    loop are more than there are different awaits in an utterance.
    """

    provider: Provider
    voice: ProviderVoice
    settled: Callable[[], bool]
    broken: Callable[[], None]
    seconds: Callable[[str], tuple[float, float]] = field(
        default=lambda text: (0.03 * len(text), 0.3 + 0.15 * len(text))
    )
    turns: int = 400

    def says(self, text: str) -> Utterance:
        """An utterance of this text."""
        return Utterance(text, self.voice)


async def heard(subject: Subject, text: str) -> bytes:
    """All the sound for this text."""
    async with subject.provider.speak(subject.says(text)) as sound, aclosing(sound.pieces) as pieces:
        return b"".join([piece async for piece in pieces])


def unpacked(file: bytes) -> tuple[int, int, bytes]:
    """A WAV's sample rate in Hz, its channels and its samples."""
    with wave.open(io.BytesIO(file)) as opened:
        assert opened.getsampwidth() == 2
        return opened.getframerate(), opened.getnchannels(), opened.readframes(opened.getnframes())


async def step_and_cancel(subject: Subject, steps: int) -> bool:
    """Speak, cancelled after so many turns of the event loop; whether it had ended before."""
    task = asyncio.create_task(heard(subject, CANARY_TEXT))
    for _ in range(steps):
        await asyncio.sleep(0)
        if task.done():
            await task
            return True
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return False


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until it holds; fails after 5 s."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the upstream has no event to wait for
            await asyncio.sleep(0.001)


class Conformance:
    """The suite. `subject` is a fixture of whoever inherits it."""

    async def test_capabilities_need_no_io(self, subject: Subject) -> None:
        """A plan asks every link of every voice: a capability that waits or raises would stop all of them."""
        able = subject.provider.capabilities(subject.voice)
        low, high = able.speed_range
        assert low <= 1.0 <= high
        assert able.identity
        assert hash(able.identity) == hash(subject.provider.capabilities(subject.voice).identity)
        assert subject.settled()

    async def test_sound_has_the_announced_shape(self, subject: Subject) -> None:
        """The listener hears chipmunks or noise if rate, width or length are not what was announced."""
        async with subject.provider.speak(subject.says(CANARY_TEXT)) as sound:
            body = b"".join([piece async for piece in sound.pieces])
        sample_rate, channels = sound.sample_rate, sound.channels
        if sound.encoding == "file":
            assert sample_rate == 0
            sample_rate, channels, body = unpacked(body)
        low, high = subject.seconds(CANARY_TEXT)
        assert channels == 1
        assert len(body) % 2 == 0
        assert low <= len(body) / 2 / sample_rate <= high
        assert len(set(body)) > 50

    async def test_same_text_is_the_same_sound(self, subject: Subject) -> None:
        """Two askers of one text would otherwise get different bytes under one address."""
        assert await heard(subject, CANARY_TEXT) == await heard(subject, CANARY_TEXT)

    async def test_concurrent_speech_does_not_mix(self, subject: Subject) -> None:
        """One listener would hear another one's sentence."""
        texts = [CANARY_TEXT, "Seven grey geese flew over the lake in the evening."]
        alone = [await heard(subject, text) for text in texts]
        together = await asyncio.gather(*(heard(subject, text) for text in texts * 3))
        assert together == alone * 3

    async def test_leaving_early_closes_the_upstream(self, subject: Subject) -> None:
        """A listener who hangs up would otherwise go on costing money and a slot."""
        async with subject.provider.speak(subject.says(CANARY_TEXT * 10)) as sound:
            assert await anext(sound.pieces)
        await until(subject.settled)
        with pytest.raises(StopAsyncIteration):
            await anext(sound.pieces)

    async def test_an_exception_of_the_listener_passes_through(self, subject: Subject) -> None:
        """A fault of the caller must neither be swallowed nor look like the provider's."""
        with pytest.raises(LookupError, match="mine"):  # noqa: PT012
            async with subject.provider.speak(subject.says(CANARY_TEXT)) as sound:
                await anext(sound.pieces)
                raise LookupError("mine")
        await until(subject.settled)

    async def test_cancelled_at_every_await_leaves_nothing(self, subject: Subject) -> None:
        """A slot or a connection lost at one unlucky moment adds up until nothing can be spoken at all."""
        alone = await heard(subject, CANARY_TEXT)
        for steps in range(subject.turns):
            if await step_and_cancel(subject, steps):
                break
        await until(subject.settled)
        assert await heard(subject, CANARY_TEXT) == alone

    async def test_errors_are_of_the_tree_and_keep_secrets(self, subject: Subject) -> None:
        """A stray exception type skips the failover; a message with text or key in it ends up in a log."""
        subject.broken()
        with pytest.raises(ProviderError) as caught:
            await heard(subject, CANARY_TEXT)
        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.args)
        assert caught.value.provider == subject.provider.name
        assert CANARY_TEXT not in shown
        assert CANARY_KEY not in shown

    async def test_health_and_voices(self, subject: Subject) -> None:
        """The doctor and the listing would fail with the first provider that has something to say."""
        assert (await subject.provider.health()).ok
        assert all(voice.id and voice.name for voice in await subject.provider.voices())
        await subject.provider.warm()

    async def test_closing_twice_is_closing(self, subject: Subject) -> None:
        """A shutdown that meets a provider twice must not fail half way through the others."""
        await subject.provider.aclose()
        await subject.provider.aclose()
