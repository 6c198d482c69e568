"""Markdown, HTML and SSML, planned and spoken: python samples/documents.py [SERVER] [FOLDER]."""

import sys
from pathlib import Path

import httpx

server = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
folder = Path(sys.argv[2] if len(sys.argv) > 2 else ".")

DOCUMENTS = {
    "markdown": "# Tea\n\n| Name | Price |\n|---|---|\n| Assam | $2 |\n\nSee [the shop](https://example.com).",
    "html": "<h1>Tea</h1><p>It is <b>not</b> coffee.<sup><a href='#note'>1</a></sup></p><script>no()</script>",
    "ssml": '<speak>Wait.<break time="800ms"/>For the <sub alias="kettle">K.</sub> &amp; the cup.</speak>',
}

with httpx.Client(base_url=server, timeout=60) as client:
    for kind, text in DOCUMENTS.items():
        body = {"input": text, "input_type": kind, "response_format": "wav"}
        plan = client.post("/v1/speech/plan", json=body).raise_for_status().json()
        for chunk in plan["chunks"]:
            for sentence, (start, end) in zip(chunk["sentences"], chunk["source"], strict=True):
                print(f"{sentence!r} stands at {start} to {end}")
        speech = client.post("/v1/audio/speech", json=body).raise_for_status()
        out = folder / f"{kind}.wav"
        out.write_bytes(speech.content)
        print(f"{plan['billable_characters']} characters to pay, {plan['seconds']} s; wrote {out}")
