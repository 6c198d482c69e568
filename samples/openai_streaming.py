"""The stock OpenAI client, hearing an article while it is made: python samples/openai_streaming.py [BASE_URL] [OUT]."""

import sys
import time
from pathlib import Path

from openai import OpenAI

base_url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000/v1"
out = Path(sys.argv[2] if len(sys.argv) > 2 else "article.mp3")
article = (Path(__file__).parent / "article.txt").read_text(encoding="utf-8")

client = OpenAI(base_url=base_url, api_key="not-needed")
began = time.perf_counter()
speaking = client.audio.speech.with_streaming_response
with speaking.create(model="tts-1", voice="alloy", input=article) as speech, out.open("wb") as file:
    for number, piece in enumerate(speech.iter_bytes(4096)):
        if number == 0:
            print(f"first sound after {(time.perf_counter() - began) * 1000:.0f} ms")
        file.write(piece)
    print(f"again at {speech.headers['content-location']}, {speech.headers['cache-status']}")
print(f"wrote {out}: {out.stat().st_size} bytes after {(time.perf_counter() - began) * 1000:.0f} ms")
