"""Headless Chromium, controlled by the DevTools protocol."""

from __future__ import annotations

import base64
import collections
import contextlib
import json
import os
import select
import time

import pytest

from tests.support.servers.processes import PATIENCE, program, running, wait_for

# The protocol uses a pair of pipes, so it needs neither a port nor a library.
# Chromium expects descriptors 3 and 4.  A pipe may already be 3 or 4, so move both away first.
_COMMAND = """
exec {in}<&"$BROWSER_IN" {out}>&"$BROWSER_OUT"
exec "$@" 3<&"$in" 4>&"$out"
"""


class Browser:
    """A page in a browser, and a record of what it did.

    Attributes:
        problems: errors, exceptions, policy violations, and requests that failed.
        requested: the requested URLs.
    """

    def __init__(self, to_browser, from_browser):
        self._to, self._from = to_browser, from_browser
        self._buffer = b""
        # Events that no call of _wait() has returned yet.
        self._events = collections.deque()
        self._count = 0
        self._session = None
        self.problems, self.requested = [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Audits"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        """Send a command and return its result."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session and not method.startswith("Browser."):
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._count:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self._note(answer)
            self._events.append(answer)

    def open(self, url):
        """Load a page, with everything that it includes."""
        self._events.clear()
        self.call("Page.navigate", url=url)
        self._wait(lambda event: event["method"] == "Page.loadEventFired")

    def evaluate(self, expression):
        """The value of a JavaScript expression in the page; of a promise, its result."""
        answer = self.call(
            "Runtime.evaluate",
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
            # Otherwise Chromium may ask for permission for a second download.
            userGesture=True,
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def set_screen(self, width, height, *, dark=False):
        """Set the size of the screen and the preferred colour scheme."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self):
        """The whole page, as PNG."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def download(self, selector, directory):
        """Click on a link; return the suggested name of the download, and its contents."""
        self.call(
            "Browser.setDownloadBehavior",
            behavior="allowAndName",
            downloadPath=str(directory),
            eventsEnabled=True,
        )
        self._events.clear()
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")
        begun = self._wait(lambda event: event["method"] == "Browser.downloadWillBegin")
        self._wait(
            lambda event: (
                event["method"] == "Browser.downloadProgress"
                and event["params"]["state"] == "completed"
            )
        )
        path = directory / begun["params"]["guid"]
        wait_for(path.exists, what="the download")
        return begun["params"]["suggestedFilename"], path.read_bytes()

    def _wait(self, wanted):
        """Return the first matching event, also one that came before the result of a command."""
        while True:
            if self._events:
                event = self._events.popleft()
            else:
                event = self._read()
                self._note(event)
            if "method" in event and wanted(event):
                return event

    def _note(self, event):
        parameters = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requested.append(parameters["request"]["url"])
            case "Log.entryAdded" | "Runtime.exceptionThrown" | "Audits.issueAdded":
                self.problems.append(parameters)
            case "Runtime.consoleAPICalled" | "Network.loadingFailed":
                # Chromium reports a download as a cancelled navigation.
                if not parameters.get("canceled"):
                    self.problems.append(parameters)

    def _read(self):
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._from], [], [], left)[0]:
                pytest.fail("the browser does not say anything any more")
            chunk = os.read(self._from, 1 << 16)
            if not chunk:
                pytest.fail("the browser is gone")
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)


@contextlib.contextmanager
def started(directory):
    """A browser with an empty page; its profile is in this directory."""
    from_us, to_browser = os.pipe()
    from_browser, to_us = os.pipe()
    command = [
        *("bash", "-c", _COMMAND, "bash"),
        program("chromium", "chromium"),
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
        *("--remote-debugging-pipe", f"--user-data-dir={directory / 'profile'}"),
    ]
    environment = {"HOME": directory, "BROWSER_IN": from_us, "BROWSER_OUT": to_us}
    with running(
        command,
        log=directory / "chromium.log",
        ready=lambda: True,
        pass_fds=(from_us, to_us),
        env={**os.environ, **{name: str(value) for name, value in environment.items()}},
    ):
        os.close(from_us)
        os.close(to_us)
        try:
            yield Browser(to_browser, from_browser)
        finally:
            os.close(to_browser)
            os.close(from_browser)


@pytest.fixture
def browser(tmp_path):
    """A browser with an empty page."""
    directory = tmp_path / "browser"
    directory.mkdir()
    with started(directory) as browser:
        yield browser
