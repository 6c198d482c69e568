"""The stock OpenAI client, asynchronous, two texts at once: python samples/openai_async.py [BASE_URL] [FOLDER]."""

import asyncio
import sys
from pathlib import Path

from openai import AsyncOpenAI

base_url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000/v1"
folder = Path(sys.argv[2] if len(sys.argv) > 2 else ".")


async def speak(client: AsyncOpenAI, name: str, text: str) -> None:
    """One text into one file."""
    speech = await client.audio.speech.create(model="tts-1", voice="nova", input=text, response_format="wav")
    (folder / name).write_bytes(speech.content)
    print(f"wrote {folder / name}: {len(speech.content)} bytes")


async def main() -> None:
    """Both at once."""
    async with AsyncOpenAI(base_url=base_url, api_key="not-needed") as client:
        await asyncio.gather(
            speak(client, "first.wav", "This is the first text."),
            speak(client, "second.wav", "And this is the second."),
        )


asyncio.run(main())
