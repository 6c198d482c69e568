"""The page in a real browser, where the machine has one."""

import asyncio
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.users.keys import Keys
from app.users.store import Secret
from cache.link import RedisLink
from tests.http.browser import PROGRAM, Browser, Tab
from tests.http.servers import VOICES, Server, Valkey

SECRET = "s" * 32
KEYED = f'[auth]\nmode = "keys"\nsecret = "{SECRET}"\n{VOICES}'
FAILING = """
[providers.late]
kind = "scripted"
delay = 600
[providers.dying]
kind = "scripted"
attempts = 1
die_after = 4800
when = "Never"
[voices.late]
language = "en"
chain = [{ provider = "late", voice = "low" }]
[voices.dying]
language = "en"
after_failure = "same-voice"
chain = [{ provider = "dying", voice = "low" }]
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for all of these tests."""
    if PROGRAM is None:
        pytest.skip("there is no Chromium on this machine (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        running = Browser(PROGRAM, Path(home))
        yield running
        running.stop()


@pytest.fixture(scope="module")
def failing() -> Iterator[Server]:
    """A server with voices that do not come to an end."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        running = Server(Path(home), VOICES + FAILING)
        yield running
        running.stop()


@pytest.fixture
def keyed(valkey: Valkey, tmp_path: Path) -> Iterator[tuple[Server, str, str]]:
    """A server that asks for keys; one that is good, and one that was."""
    valkey.command("FLUSHALL")

    async def made() -> tuple[str, str]:
        link = RedisLink(valkey.url)
        keys = Keys(link, Secret(link, SECRET))
        _, good = await keys.create("alice")
        old, gone = await keys.create("bob")
        await keys.revoke(old.id)
        await link.aclose()
        return good, gone

    good, gone = asyncio.run(made())
    running = Server(tmp_path, f'[redis]\nurl = "{valkey.url}"\n{KEYED}')
    yield running, good, gone
    running.stop()


def speak(tab: Tab, **fields: str) -> None:
    """Fill in, press the button, and wait until it is over, well or not."""
    for name, value in fields.items():
        tab.fill(name, value)
    tab.js("$('speak').click()")
    tab.until("$('speak').textContent === 'Speak'")


@pytest.mark.parametrize(
    "form",
    ["mp3", "wav", *(pytest.param(name, marks=pytest.mark.soak) for name in ("opus", "aac", "m4a", "flac"))],
)
def test_every_format_is_heard(browser: Browser, server: Server, form: str):
    """The page would offer what the browser cannot play, or the policy would silence it."""
    with browser.tab(server.url) as tab:
        tab.until("$('voice').length")
        for source in ("a provider", "the cache"):
            speak(tab, text=f"This is heard as {form}.", format=form)
            tab.until("$('player').currentTime > 0.1 || !$('problem').hidden")
            assert tab.text("problem") == ""
            assert tab.text("status") == "All of it is here."
            assert source in tab.text("facts")
            assert float(tab.js("$('player').duration")) < 10  # the head of a stream knows no length
        assert tab.js("$('facts').querySelector('a[download]').href.startsWith('blob:')")
        assert tab.complaints == []


def test_the_keyboard_is_enough(browser: Browser, server: Server):
    """Who uses no mouse could not speak, or would not reach the sound."""
    with browser.tab(server.url) as tab:
        tab.until("$('voice').length")
        tab.js("$('text').focus()")
        tab.press("Enter", control=True)
        tab.until("$('status').textContent === 'All of it is here.'")
        reached = []
        while (name := tab.js("document.activeElement.id")) not in reached[1:]:
            reached.append(name)
            tab.press("Tab")
        wanted = {"text", "voice", "format", "speed", "kind", "language", "speak", "estimate", "player"}
        assert wanted <= set(reached)


def test_everything_has_a_name(browser: Browser, server: Server):
    """A screen reader would say "edit text" and nothing else."""
    with browser.tab(server.url) as tab:
        tab.until("$('voice').length")
        tab.js("($('asked').hidden = false, $('program').open = true)")
        tab.command("Accessibility.enable")
        roles = {"textbox", "combobox", "spinbutton", "button", "searchbox"}
        controls = [
            node
            for node in tab.command("Accessibility.getFullAXTree")["nodes"]
            if not node["ignored"] and node["role"]["value"] in roles
        ]
        assert len(controls) >= 9
        assert [node for node in controls if not node["name"]["value"]] == []


@pytest.mark.soak
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_phone_is_wide_enough(browser: Browser, server: Server, path: str, scheme: str):
    """One would have to scroll sideways to read."""
    with browser.tab(server.url + path) as tab:
        tab.command(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
        )
        tab.command(
            "Emulation.setDeviceMetricsOverride", width=320, height=640, deviceScaleFactor=1, mobile=True
        )
        tab.until("document.querySelectorAll('option, h2').length > 8")
        assert tab.js("document.documentElement.scrollWidth") == 320
        assert tab.complaints == []


@pytest.mark.soak
def test_what_it_would_cost_is_told(browser: Browser, server: Server):
    """Who pays by the character would find out afterwards."""
    with browser.tab(server.url) as tab:
        tab.until("$('voice').length")
        tab.fill("text", "Nobody has said this sentence before.")
        tab.js("$('estimate').click()")
        tab.until("$('status').textContent")
        assert "To be spoken anew: 37 characters; cost 0.00037" in tab.text("status")
        assert server.url + "/v1/audio/speech" not in tab.asked


@pytest.mark.soak
def test_a_command_says_the_same(browser: Browser, server: Server):
    """What is copied into a shell would break at the first apostrophe."""
    with browser.tab(server.url) as tab:
        tab.until("$('voice').length")
        tab.js("$('program').open = true")
        tab.fill("text", "It's $HOME.")
        assert r'{"input":"It' + r"'\''s $HOME." in tab.text("curl")
        assert "Authorization" not in tab.text("curl")


def test_who_waits_can_stop(browser: Browser, failing: Server):
    """A slow provider would hold the page until it is loaded anew."""
    with browser.tab(failing.url) as tab:
        tab.until("$('voice').length")
        tab.fill("voice", "late")
        tab.js("$('speak').click()")
        assert tab.text("speak") == "Stop"
        assert tab.text("status") == "Waiting for the first sound."
        speak(tab)
        assert tab.text("status") == "Stopped."
        speak(tab, voice="default")
        assert tab.text("status") == "All of it is here."


@pytest.mark.soak
def test_a_limit_says_how_long(browser: Browser, tmp_path: Path):
    """The reader sees no header: "after Retry-After" alone tells nobody when."""
    running = Server(tmp_path, "[limits.default]\nrequests_per_minute = 1\n" + VOICES)
    try:
        with browser.tab(running.url) as tab:
            tab.until("$('voice').length")
            speak(tab)
            assert tab.text("problem") == ""
            speak(tab)
            assert re.search(r"1 requests a minute.* Wait \d+ s\.$", tab.text("problem"))
    finally:
        running.stop()


def test_a_cut_is_told(browser: Browser, failing: Server):
    """Half a text would pass for all of it, or the format be blamed."""
    with browser.tab(failing.url) as tab:
        tab.until("$('voice').length")
        speak(tab, voice="dying", text="This is said to its end. " * 10 + "Never is this one.")
        assert "Speak again" in tab.text("problem")
        assert tab.text("status") == ""


@pytest.mark.soak
def test_a_server_that_is_gone_is_told(browser: Browser, tmp_path: Path):
    """The reader would be told "Failed to fetch"."""
    running = Server(tmp_path, VOICES)
    try:
        with browser.tab(running.url) as tab:
            tab.until("$('voice').length")
            running.stop()
            speak(tab)
            assert "does not answer" in tab.text("problem")
    finally:
        running.process.kill()


def test_a_key_stays_in_its_tab(browser: Browser, keyed: tuple[Server, str, str]):
    """A key that is in an address is in histories and logs; one that is stored longer is the next user's."""
    server, good, gone = keyed
    with browser.tab(server.url) as tab:
        tab.until("$('voice').length")
        assert tab.js("$('asked').checkVisibility()")
        assert tab.complaints == []
        speak(tab)
        assert tab.text("problem") == "This server needs a key: enter yours above."
        assert tab.js("document.activeElement.id") == "key"
        for key in ("rf_wrong", "ключ", gone):
            speak(tab, key=key)
            assert tab.text("problem")
            assert tab.js("sessionStorage.length") == 0
        for form in ("mp3", "wav"):
            speak(tab, key=good, format=form)
            tab.until("$('player').currentTime > 0.1 || !$('problem').hidden")
            assert tab.text("problem") == ""
        stored = tab.js(
            "[Object.keys(sessionStorage).join(), localStorage.length, document.cookie, location.href]"
        )
        assert stored == ["key", 0, "", server.url + "/"]
        tab.js("$('program').open = true")
        tab.until("$('curl').textContent")
        assert '-H "Authorization: Bearer $KEY"' in tab.text("curl")
        seen = [
            *tab.asked,
            tab.js("document.body.innerText"),
            *tab.js("[...document.links].map((a) => a.href)"),
        ]
        assert not [where for where in seen if good in where or "token=" in where]
        tab.go(server.url)
        assert tab.js("$('key').value") == good


@pytest.mark.soak
def test_voices_that_are_listed_to_keys_only(
    browser: Browser, keyed: tuple[Server, str, str], tmp_path: Path
):
    """Who sends the key off with Enter would speak with no voice."""
    config = keyed[0].file.read_text(encoding="utf-8")
    running = Server(tmp_path / "closed", f"[server]\npublic_listings = false\n{config}")
    try:
        with browser.tab(running.url) as tab:
            tab.until("!$('problem').hidden")
            assert tab.text("problem") == "This server needs a key: enter yours above."
            assert tab.js("document.activeElement.id") == "key"
            tab.command("Input.insertText", text=keyed[1])
            tab.press("Enter")
            tab.until("$('status').textContent === 'All of it is here.'")
            assert tab.js("$('voice').value") == "default"
    finally:
        running.stop()


@pytest.mark.soak
def test_a_long_text_is_heard_beyond_what_a_browser_buffers(browser: Browser, tmp_path: Path):
    """Past some ten megabytes the browser takes no more while it plays: the rest would not be there to be heard."""
    running = Server(tmp_path, "[sound]\nmp3_bit_rate = 160000\n" + VOICES)
    try:
        with browser.tab(running.url) as tab:
            tab.until("$('voice').length")
            text = " ".join(f"This is sentence number {number} of a chapter." for number in range(400))
            speak(tab, text=text)
            tab.until("$('player').duration > 700 || !$('problem').hidden")
            assert tab.text("problem") == ""
            assert tab.js("$('player').src === $('facts').querySelector('a[download]').href")
            tab.js("$('player').currentTime = $('player').duration - 0.5")
            tab.until("$('player').ended")
            assert tab.complaints == []
    finally:
        running.stop()
