# SPDX-License-Identifier: Apache-2.0
"""Headless Chromium through chromedriver's HTTP interface (W3C WebDriver), with nothing but Debian's packages.

    with Browser(directory) as browser:
        browser.open("http://127.0.0.1:14868/")
        browser.run("return document.title")
"""
import base64
import http.client
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from harness.process import Server, wait_until

CALL_TIMEOUT_S = 120
# The page is on this host; the rest is what Chromium would do on its own account.
WORDS = ["--headless=new", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-quic", "--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb", "--font-render-hinting=none"]


class BrowserFailed(Exception):
    """The driver's own text, and the end of its log."""


def require_browser() -> None:
    """Skips the test on a machine without the browser."""
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} (Debian packages chromium and chromium-driver)")


class Driver(Server):
    name = "chromedriver"

    def __init__(self, directory):
        super().__init__(directory)
        self.stop_timeout_s = 20.0

    def command(self) -> list[str]:
        return ["chromedriver", "--port=0", "--allowed-ips=127.0.0.1", "--log-level=WARNING"]

    @property
    def port(self) -> int:
        found = re.search(r"started successfully on port (\d+)", self.log_text())
        return int(found[1]) if found else 0

    def ready(self) -> bool:
        return self.port != 0


class Browser:
    """One window. `run`, `open` and the rest raise BrowserFailed."""

    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        self.driver = Driver(directory / "driver")
        self.session = ""

    def __enter__(self):
        self.driver.start()
        words = [*WORDS, f"--user-data-dir={self.directory / 'profile'}"] + (["--no-sandbox"] if os.geteuid() == 0 else [])
        made = self._call("POST", "", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"binary": shutil.which("chromium"), "args": words}}}})
        self.session = "/" + made["sessionId"]
        return self

    def __exit__(self, *_):
        try:
            self._call("DELETE", "")
        except (OSError, BrowserFailed):
            pass
        self.driver.kill()

    def _call(self, method: str, path: str, body: dict | None = None):
        connection = http.client.HTTPConnection("127.0.0.1", self.driver.port, timeout=CALL_TIMEOUT_S)
        try:
            connection.request(method, f"/session{self.session}{path}", None if method == "DELETE" else json.dumps(body or {}),
                               {"Content-Type": "application/json"})
            value = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        if isinstance(value, dict) and "error" in value:
            raise BrowserFailed(f"{value['error']}: {value['message']}\n{self.driver.log_tail()}")
        return value

    def open(self, address: str) -> None:
        self._call("POST", "/url", {"url": address})

    def run(self, script: str, *arguments):
        """The value that a function with this body returns; if that is a promise, the value that it resolves to."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def chrome(self, command: str, **parameters):
        """A command of the DevTools protocol."""
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def shape(self, width: int, height: int, scheme: str = "light", motion: str = "no-preference") -> None:
        """The size of the window's content in CSS pixels, and the preferences of the user."""
        self.chrome("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if width < 600 else 1, mobile=False)
        self.chrome("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme},
                                                            {"name": "prefers-reduced-motion", "value": motion}])

    def press(self, key: str) -> None:
        """A key of the keyboard, such as "Tab" or "ArrowLeft"."""
        codes = {"Tab": 9, "ArrowLeft": 37, "Enter": 13, "End": 35, "ArrowRight": 39}
        for kind in ("rawKeyDown", "keyUp"):
            self.chrome("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key])

    def screenshot(self, file: pathlib.Path) -> None:
        """The whole page, also what is below the window."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(self.chrome("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]))

    def console(self) -> list[str]:
        """What the page has written to the console since the last call: errors, and what the Content-Security-Policy rejected."""
        return [entry["message"] for entry in self._call("POST", "/se/log", {"type": "browser"})]

    def wait_for(self, script: str, what: str):
        return wait_until(lambda: self.run(script), 60, what, 0.1)
