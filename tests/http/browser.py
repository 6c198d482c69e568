"""A real browser for the tests, driven over a pipe by its own protocol; nothing to install but the browser.

https://chromedevtools.github.io/devtools-protocol
"""

import base64
import fcntl
import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

PROGRAM: Final = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
"""The browser of this machine; None: there is none."""

_OPTIONS: Final = (
    "--headless=new",
    "--no-sandbox",  # it would not start as root; it sees pages of ours only
    "--remote-debugging-pipe",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-audio-output",  # a sink that takes the samples at their pace, where there is no sound card
)
_KEYS: Final = {"Tab": 9, "Enter": 13, " ": 32}
_CONTROL: Final = 2


class Browser:
    """One process with a profile of its own. Not for threads."""

    def __init__(self, program: str, home: Path) -> None:
        """`home` takes the profile."""
        theirs, self._send = _pipe()
        self._receive, told = _pipe()
        quiet = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
        self._pid = os.posix_spawn(
            program,
            [program, *_OPTIONS, f"--user-data-dir={home}", "about:blank"],
            {**os.environ, "HOME": str(home)},
            file_actions=[*quiet, (os.POSIX_SPAWN_DUP2, theirs, 3), (os.POSIX_SPAWN_DUP2, told, 4)],
            setpgroup=0,
        )
        os.close(theirs)
        os.close(told)
        self._rest = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def command(self, method: str, session: str | None = None, **parameters: object) -> Any:
        """One command's result. What else is told meanwhile goes to `events`.

        Raises:
            RuntimeError: the browser refused, or is gone.
        """
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while True:
            heard = self._next()
            if heard.get("id") != self._number:
                self.events.append(heard)
            elif "error" in heard:
                raise RuntimeError(f"{method}: {heard['error']['message']}")
            else:
                return heard["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not (piece := os.read(self._receive, 1 << 16)):
                raise RuntimeError("The browser is gone.")
            self._rest += piece
        one, self._rest = self._rest.split(b"\0", 1)
        heard: dict[str, Any] = json.loads(one)
        return heard

    @contextmanager
    def tab(self, url: str) -> Iterator["Tab"]:
        """A page in a context of its own: nothing of another test is stored there."""
        context = self.command("Target.createBrowserContext")["browserContextId"]
        target = self.command("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.command(f"{domain}.enable")
        tab.go(url)
        yield tab
        self.command("Target.disposeBrowserContext", browserContextId=context)
        self.events = [event for event in self.events if event.get("sessionId") != session]

    def stop(self) -> None:
        """With all its processes: its launcher is a shell script on some systems."""
        os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._send)
        os.close(self._receive)


class Tab:
    """A page that is open."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def command(self, method: str, **parameters: object) -> Any:
        """A command to this page."""
        return self._browser.command(method, self._session, **parameters)

    def go(self, url: str) -> None:
        """To an address, until all that it is made of is there."""
        self.command("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def js(self, expression: str) -> Any:
        """The value of an expression, promises waited for."""
        told = self.command(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in told:
            raise RuntimeError(str(told["exceptionDetails"]))
        return told["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until it holds (the test's own time-out is the bound)."""
        while not self.js(f"Boolean({expression})"):
            self.js("new Promise((done) => setTimeout(done, 10))")

    def text(self, name: str) -> str:
        """What the element of that id says."""
        return str(self.js(f"document.getElementById('{name}').textContent"))

    def fill(self, name: str, value: str) -> None:
        """As if it had been typed: with the events that the page listens to."""
        self.js(
            f"(() => {{ const e = document.getElementById('{name}'); e.value = {json.dumps(value)};"
            "for (const kind of ['input', 'change']) e.dispatchEvent(new Event(kind, {bubbles: true})); })()"
        )

    def press(self, key: str, *, control: bool = False) -> None:
        """A key on the keyboard, wherever the focus is."""
        common = {"key": key, "windowsVirtualKeyCode": _KEYS[key], "modifiers": _CONTROL if control else 0}
        text = {"text": "\r"} if key == "Enter" else {}
        self.command("Input.dispatchKeyEvent", type="keyDown", **common, **text)
        self.command("Input.dispatchKeyEvent", type="keyUp", **common)

    def screenshot(self, file: Path) -> None:
        """The whole page, as PNG: to look at."""
        told = self.command("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(told["data"]))

    @property
    def complaints(self) -> list[str]:
        """Errors of the console: exceptions, what the policy blocked, what could not be loaded."""
        self.js("0")  # what was told before this has been read then
        found = []
        for event in self._mine():
            told = event["params"]
            match event["method"]:
                case "Runtime.exceptionThrown":
                    found.append(json.dumps(told["exceptionDetails"]))
                case "Log.entryAdded" if told["entry"]["level"] == "error":
                    found.append(f"{told['entry']['source']}: {told['entry']['text']}")
                case "Runtime.consoleAPICalled" if told["type"] == "error":
                    found.append(json.dumps(told["args"]))
        return found

    @property
    def asked(self) -> list[str]:
        """The addresses that were asked for, in order."""
        return [
            str(event["params"]["request"]["url"])
            for event in self._mine()
            if event["method"] == "Network.requestWillBeSent"
        ]

    def _mine(self) -> Iterator[dict[str, Any]]:
        return (
            event
            for event in self._browser.events
            if event.get("sessionId") == self._session and "method" in event
        )


def _pipe() -> tuple[int, int]:
    """Its ends, above the numbers that the browser wants to have them at."""
    ends = os.pipe()
    reading, writing = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return reading, writing
