"""A headless browser that is told what to do over its debugging pipe: no driver, no further package."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import subprocess
import time

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
KEYS = {"Tab": 9, "Enter": 13, " ": 32}


def _high(pipe):
    raised = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in pipe)
    for end in pipe:
        os.close(end)
    return raised


class Browser:
    """One page.  ``requests`` are the addresses it asked for, ``console`` what it complained about."""

    def __init__(self, profile):
        # Numbers from 10 on: the shell's redirections to 3 and 4 must not close one of these first.
        here_read, there_write = _high(os.pipe())
        there_read, here_write = _high(os.pipe())
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]  # fmt: skip
        # The browser reads commands from descriptor 3 and writes answers to 4.
        script = f'exec "$@" 3<&{there_read} 4>&{there_write}'
        self.process = subprocess.Popen(
            ["bash", "-c", script, "sh", BROWSER, *flags], pass_fds=(there_read, there_write),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(there_read)
        os.close(there_write)
        self._in, self._out, self._left, self._last = here_read, here_write, b"", 0
        self.requests, self.console, self._loaded = [], [], 0
        self.session = None
        page = next(t for t in self.send("Target.getTargets")["targetInfos"] if t["type"] == "page")
        found = self.send("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self.session = found["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.send(f"{domain}.enable")

    def close(self):
        os.close(self._out)
        self.process.terminate()
        self.process.wait(20)
        os.close(self._in)

    def send(self, method, **parameters):
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            found = self._receive()
            if found.get("id") == self._last:
                assert "error" not in found, found
                return found.get("result", {})

    def _receive(self):
        until = time.monotonic() + 60
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._in], [], [], max(until - time.monotonic(), 0))
            assert ready, "the browser does not answer"
            more = os.read(self._in, 1 << 16)
            assert more, "the browser has ended"
            self._left += more
        text, _, self._left = self._left.partition(b"\0")
        found = json.loads(text)
        if found.get("method") == "Network.requestWillBeSent":
            self.requests.append(found["params"]["request"]["url"])
        elif found.get("method") == "Page.loadEventFired":
            self._loaded += 1
        elif found.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
            self.console.append(found["params"])
        return found

    def _wait(self, before):
        while self._loaded <= before:
            self._receive()

    def go(self, address):
        before = self._loaded
        self.send("Page.navigate", url=address)
        self._wait(before)

    def run(self, script):
        """The value of an expression in the page."""
        found = self.send("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key, *, loads=False):
        before = self._loaded
        text = {"Enter": "\r", "Tab": ""}.get(key, key)
        common = {"key": key, "windowsVirtualKeyCode": KEYS.get(key, 0)}
        self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.send("Input.dispatchKeyEvent", type="keyUp", **common)
        if loads:
            self._wait(before)

    def type(self, text):
        for character in text:
            self.send("Input.dispatchKeyEvent", type="char", text=character)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if BROWSER is None:
        pytest.skip("needs chromium")
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()
