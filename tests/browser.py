"""A real browser, driven over WebDriver's HTTP: it clicks, reads the console and takes pictures."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""Key of an element's reference (W3C WebDriver, §12.2)."""


@dataclass(frozen=True)
class Browser:
    """One window."""

    session: str

    def post(self, path: str, **body: Any) -> Any:
        answer = requests.post(f"{self.session}/{path}", json=body, timeout=60).json()["value"]
        assert not (isinstance(answer, dict) and "error" in answer), answer
        return answer

    def open(self, page: Path, fragment: str = "") -> None:
        self.post("url", url="about:blank")  # another fragment alone would not load the page again
        self.post("url", url=page.resolve().as_uri() + fragment)

    def run(self, script: str, *arguments: Any) -> Any:
        """Value of a JavaScript expression."""
        return self.post("execute/sync", script=f"return {script}", args=list(arguments))

    def click(self, selector: str) -> None:
        self.run("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", selector)  # clear of the bar
        self.post(f"element/{self._find(selector)}/click")

    def type(self, selector: str, text: str) -> None:
        self.post(f"element/{self._find(selector)}/value", text=text)

    def choose(self, selector: str, value: str) -> None:
        """Choose an option of a select."""
        self.click(f'{selector} option[value="{value}"]')

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.run(f"[...document.querySelectorAll({selector!r})].map((e) => e.textContent)")
        return found

    def resize(self, width: int, height: int, dark: bool = False) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.cdp("Emulation.setDeviceMetricsOverride", metrics)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.cdp("Emulation.setEmulatedMedia", {"features": scheme})

    def picture(self, path: Path) -> Path:
        shot = self.cdp("Page.captureScreenshot", {"captureBeyondViewport": True, "format": "png"})
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    def console(self) -> list[str]:
        """Errors and warnings since the last call."""
        return [entry["message"] for entry in self.post("se/log", type="browser")]

    def cdp(self, command: str, parameters: dict[str, Any]) -> Any:
        return self.post("goog/cdp/execute", cmd=command, params=parameters)

    def _find(self, selector: str) -> str:
        found: str = self.post("element", using="css selector", value=selector)[ELEMENT]
        return found


@contextmanager
def open_browser(profile: Path) -> Iterator[Browser]:
    """Start chromium without a window; skips the test where it or its driver is not installed."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no chromium with chromedriver here; apt-get install chromium chromium-driver")
    service = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, text=True)
    try:
        assert service.stdout
        port = next(m[1] for line in service.stdout if (m := re.search(r"successfully on port (\d+)", line)))
        options = {
            "binary": chromium,
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--hide-scrollbars", f"--user-data-dir={profile}"],
        }  # fmt: skip
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        url = f"http://127.0.0.1:{port}/session"
        started = requests.post(url, json={"capabilities": {"alwaysMatch": wanted}}, timeout=120).json()["value"]
        assert "sessionId" in started, started
        browser = Browser(f"{url}/{started['sessionId']}")
        try:
            yield browser
        finally:
            requests.delete(browser.session, timeout=60)
    finally:
        service.terminate()
        service.wait(timeout=30)
