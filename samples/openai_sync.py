"""The stock OpenAI client, synchronous: python samples/openai_sync.py [BASE_URL] [OUT]."""

import sys
from pathlib import Path

from openai import OpenAI

base_url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000/v1"
out = Path(sys.argv[2] if len(sys.argv) > 2 else "openai_sync.mp3")

client = OpenAI(base_url=base_url, api_key="not-needed")
speech = client.audio.speech.create(
    model="tts-1", voice="alloy", input="What was said once is there at once."
)
out.write_bytes(speech.content)
print(f"wrote {out}: {len(speech.content)} bytes")
