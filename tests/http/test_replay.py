"""`GET|HEAD /v1/speech/{digest}`: what was said once, whole and in part."""

import httpx
import pytest

from tests.http.servers import Server

TEXT = "The wall considered it. Then it said the name, quite clearly, in her own voice."


@pytest.fixture(scope="module")
def said(server: Server) -> httpx.Response:
    """Something that was said, heard to its end."""
    return server.post(input=TEXT, response_format="mp3").raise_for_status()


@pytest.fixture
def address(said: httpx.Response) -> str:
    """Where it can be had again."""
    return said.headers["content-location"]


def test_the_address_gives_the_very_bytes(server: Server, said: httpx.Response, address: str):
    """A player that was given the address would play something else than what was said, or nothing."""
    again = server.get(address)
    assert again.status_code == 200
    assert again.content == said.content
    assert again.headers["content-type"] == "audio/mpeg"
    assert again.headers["content-length"] == str(len(said.content))
    assert again.headers["cache-status"].startswith("refrain; hit")
    assert "immutable" in again.headers["cache-control"]
    assert again.headers["accept-ranges"] == "bytes"
    assert again.headers["content-location"] == address
    assert again.headers["x-refrain-provider"] == "first"


def test_the_extension_of_its_format_is_taken(server: Server, said: httpx.Response, address: str):
    """Players that go by the name's ending would refuse the address."""
    assert server.get(f"{address}.mp3").content == said.content


@pytest.mark.parametrize("ending", [".wav", ".opus", ".exe", ".", "x", "/"])
def test_another_extension_is_not_found(server: Server, address: str, ending: str):
    """A player would be told that MP3 is WAV."""
    refused = server.get(address + ending)
    if ending == "/":  # as everywhere else, a slash at the end is no difference
        assert refused.status_code == 200
        return
    assert refused.status_code == 404
    assert refused.json()["code"] == "not_found"


def test_head_says_all_but_the_sound(server: Server, said: httpx.Response, address: str):
    """A downloader could not know the length before it begins."""
    head = server.client.head(address)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(said.content))
    assert head.headers["etag"] == server.get(address).headers["etag"]


def test_head_minds_no_range(server: Server, said: httpx.Response, address: str):
    """RFC 9110, 14.2: a range is defined for GET only; a proxy would keep 206 as the answer to HEAD."""
    head = server.client.head(address, headers={"Range": "bytes=0-9"})
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(said.content)))


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-99", 0, 100),
        ("bytes=1000-1999", 1000, 2000),
        ("bytes=-500", -500, None),
        ("bytes=2000-", 2000, None),
        ("bytes=0-", 0, None),
        ("bytes=3000-99999999", 3000, None),
        ("bytes=-99999999", 0, None),
        ("bytes= 5-9", 5, 10),
    ],
)
def test_a_range_is_that_part(server: Server, said: httpx.Response, asked: str, start: int, end: int | None):
    """A broken download would go on with the wrong bytes."""
    part = server.get(said.headers["content-location"], Range=asked)
    assert part.status_code == 206
    assert part.content == said.content[start:end]
    size = len(said.content)
    first = start % size if start < 0 else start
    assert part.headers["content-range"] == f"bytes {first}-{first + len(part.content) - 1}/{size}"
    assert part.headers["content-length"] == str(len(part.content))
    assert part.headers["content-type"] == "audio/mpeg"


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=99999999-100000000", "bytes=-0"])
def test_a_range_past_the_end_is_416(server: Server, said: httpx.Response, address: str, asked: str):
    """A player that asks too far would wait, or take an empty answer for sound."""
    refused = server.get(address, Range=asked)
    assert refused.status_code == 416
    assert refused.headers["content-range"] == f"bytes */{len(said.content)}"


@pytest.mark.parametrize(
    "asked",
    ["bytes=9-3", "bytes=a-b", "bytes=-", "bytes=", "items=0-5", "0-5", "bytes=0-1,5-6", "bytes=1-2-3"],
)
def test_a_range_that_cannot_be_read_is_ignored(
    server: Server, said: httpx.Response, address: str, asked: str
):
    """RFC 9110, 14.2: an invalid range is ignored; several may be, rather than sent as multipart."""
    whole = server.get(address, Range=asked)
    assert (whole.status_code, whole.content) == (200, said.content)


def test_what_one_has_is_not_sent_again(server: Server, address: str):
    """Browsers would load the same sound at every visit."""
    etag = server.get(address).headers["etag"]
    for known in (etag, f'"other", W/{etag}', "*"):
        same = server.get(address, If_None_Match=known)
        assert (same.status_code, same.content) == (304, b"")
        assert same.headers["etag"] == etag
        assert "content-type" not in same.headers
        assert "cache-control" in same.headers
    assert server.get(address, If_None_Match='"other"').status_code == 200


def test_a_range_of_other_bytes_is_not_mixed_in(server: Server, said: httpx.Response, address: str):
    """A download would be joined out of two different sounds."""
    etag = server.get(address).headers["etag"]
    assert server.get(address, Range="bytes=0-9", If_Range=etag).status_code == 206
    for other in ('"other"', f"W/{etag}", "Sun, 22 Nov 2026 00:00:00 GMT"):
        whole = server.get(address, Range="bytes=0-9", If_Range=other)
        assert (whole.status_code, whole.content) == (200, said.content)


def test_the_sum_of_ranges_is_the_whole(server: Server, said: httpx.Response, address: str):
    """Ranges that cross the clips' borders would lose or repeat bytes."""
    step = 777
    parts = [
        server.get(address, Range=f"bytes={start}-{start + step - 1}").content
        for start in range(0, len(said.content), step)
    ]
    assert b"".join(parts) == said.content


@pytest.mark.parametrize(
    "path", ["f" * 40, "nonsense", "F" * 40, "f" * 39, "f" * 41, "%00", "..%2f..", "%ff%fe"]
)
def test_an_unknown_address_is_not_found(server: Server, path: str):
    """A stranger who guesses would see a defect, or somebody's sound."""
    refused = server.get(f"/v1/speech/{path}")
    assert refused.status_code == 404
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == "not_found"
    assert refused.headers["x-request-id"]


def test_a_clip_is_not_a_speech(server: Server, said: httpx.Response):
    """Clips have no head and no rights of their own: they would be served as broken files."""
    plan = server.client.post("/v1/speech/plan", json={"input": TEXT}).json()
    assert [chunk["hit"] for chunk in plan["chunks"]] == [True, True]
    for chunk in plan["chunks"]:
        assert server.get(f"/v1/speech/{chunk['digest']}").status_code == 404


def test_what_an_address_takes_can_be_asked(server: Server, address: str):
    """A browser that asks before it deletes would be told that nothing can be deleted here."""
    asked = server.client.options(address)
    assert asked.status_code == 204
    assert set(asked.headers["allow"].split(", ")) == {"DELETE", "GET", "HEAD", "OPTIONS"}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_another_method_is_refused(server: Server, address: str, method: str):
    """A client that changes it would believe that it has, or see a defect."""
    refused = server.client.request(method, address)
    assert refused.status_code == 405
    assert set(refused.headers["allow"].split(", ")) == {"DELETE", "GET", "HEAD", "OPTIONS"}
    assert refused.json()["code"] == "method_not_allowed"
    assert server.get(address).status_code == 200
