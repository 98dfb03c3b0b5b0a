"""Headless Chromium, controlled by the DevTools protocol."""

from __future__ import annotations

import base64
import collections
import contextlib
import itertools
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


class Process:
    """A running browser: messages to it, and from it."""

    def __init__(self, to_browser, from_browser):
        self._to, self._from = to_browser, from_browser
        self._buffer = b""
        self._ids = itertools.count(1)

    def send(self, message):
        """Send a command and return its id."""
        number = next(self._ids)
        os.write(self._to, json.dumps({"id": number, **message}).encode() + b"\0")
        return number

    def read(self):
        """The next result or event."""
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


class Browser:
    """A page in a browser, and a record of what it did.

    It shares cookies, caches and permissions with no other page.

    Attributes:
        problems: errors, exceptions, policy violations, and requests that failed.
        requested: the requested URLs.
    """

    def __init__(self, process):
        self._process = process
        # Events that no call of _wait() has returned yet.
        self._events = collections.deque()
        self._session = None
        self.problems, self.requested = [], []
        # Requests whose response is not complete.
        self._running = set()
        self._context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call(
            "Target.createTarget", url="about:blank", browserContextId=self._context
        )["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Audits"):
            self.call(f"{domain}.enable")

    def close(self):
        """Close the page, and forget what it stored."""
        self._session = None
        self.call("Target.disposeBrowserContext", browserContextId=self._context)

    def call(self, method, **parameters):
        """Send a command and return its result."""
        message = {"method": method, "params": parameters}
        if method.startswith("Browser."):
            parameters["browserContextId"] = self._context
        elif self._session:
            message["sessionId"] = self._session
        number = self._process.send(message)
        while True:
            answer = self._process.read()
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self._note(answer)

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

    def settle(self):
        """Wait until no request is running: one that is cancelled raises an error in the page."""
        while self._running:
            self._note(self._process.read())

    def _wait(self, wanted):
        """Return the first matching event, also one that came before the result of a command."""
        while True:
            while not self._events:
                self._note(self._process.read())
            event = self._events.popleft()
            if wanted(event):
                return event

    def _note(self, event):
        # Pages that are closed may still tell something.
        if event.get("sessionId") not in (None, self._session):
            return
        self._events.append(event)
        parameters = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requested.append(parameters["request"]["url"])
                self._running.add(parameters["requestId"])
            case "Network.loadingFinished":
                self._running.discard(parameters["requestId"])
            case "Log.entryAdded" | "Runtime.exceptionThrown" | "Audits.issueAdded":
                self.problems.append(parameters)
            case "Runtime.consoleAPICalled" | "Network.loadingFailed":
                self._running.discard(parameters.get("requestId"))
                # Chromium reports a download as a cancelled navigation.
                if not parameters.get("canceled"):
                    self.problems.append(parameters)


@contextlib.contextmanager
def running_browser(directory):
    """A browser without a page; its profile is in this directory."""
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
            yield Process(to_browser, from_browser)
        finally:
            os.close(to_browser)
            os.close(from_browser)


@contextlib.contextmanager
def page_of(process):
    """An empty page of a running browser."""
    page = Browser(process)
    yield page
    page.close()


@pytest.fixture(scope="module")
def browser_process(tmp_path_factory):
    """A browser for the pages of a module's tests: to start it takes seconds of CPU time."""
    with running_browser(tmp_path_factory.mktemp("browser")) as process:
        yield process


@pytest.fixture
def browser(browser_process):
    """An empty page of a browser."""
    with page_of(browser_process) as page:
        yield page
