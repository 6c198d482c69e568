"""Plain httpx: speak, replay by address, resume a broken download: python samples/httpx_client.py [SERVER] [OUT]."""

import sys
from pathlib import Path

import httpx

server = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
out = Path(sys.argv[2] if len(sys.argv) > 2 else "httpx.opus")

with httpx.Client(base_url=server, timeout=60) as client:
    body = {"input": "A broken download goes on where it stopped.", "response_format": "opus"}
    speech = client.post("/v1/audio/speech", json=body).raise_for_status()
    address = speech.headers["content-location"]
    half = len(speech.content) // 2
    rest = client.get(address, headers={"Range": f"bytes={half}-"}).raise_for_status()
    assert speech.content[:half] + rest.content == speech.content
    print(f"{address}: {rest.status_code}, {rest.headers['content-range']}")
    again = client.get(address, headers={"If-None-Match": rest.headers["etag"]})
    print(f"asked with its ETag: {again.status_code}")
    out.write_bytes(speech.content)
    print(f"wrote {out}")
