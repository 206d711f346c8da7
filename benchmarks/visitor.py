"""A visitor in headless Chromium: signs in, listens to what the browser asks for, keeps pictures."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Response, ViewportSize, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MISSING = "needs Chromium: apt-get install chromium"
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)  # fmt: skip
DESKTOP, PHONE = ViewportSize(width=1280, height=900), ViewportSize(width=390, height=844)
PATIENCE_MS = 60_000


@contextmanager
def chromium() -> Iterator[Browser]:
    """The machine's own Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visitor:
    """One browser profile on the page at *url*; pictures go to *folder*."""

    browser: Browser
    url: str
    folder: Path
    size: ViewportSize = field(default_factory=lambda: DESKTOP)
    dark: bool = False

    def __post_init__(self) -> None:
        self.context = self.browser.new_context(
            viewport=self.size,
            color_scheme="dark" if self.dark else "light",
            permissions=["microphone"],
            accept_downloads=True,
        )
        self.context.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        self.outside: list[str] = []
        self.errors: list[str] = []
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self._asked(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("response", self._answered)

    def _asked(self, url: str) -> None:
        if urlsplit(url).scheme in ("http", "https", "ws", "wss") and urlsplit(url).hostname != "127.0.0.1":
            self.outside.append(url)

    def _answered(self, answer: Response) -> None:
        if answer.status >= 500:
            self.errors.append(f"{answer.status} {answer.url}")

    def sign_in(self, key: str) -> Page:
        """Through the door; gives the page."""
        self.page.goto(f"{self.url}/ui/")
        self.page.get_by_label("API key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.locator("#bar .who").wait_for()
        return self.page

    def open(self, tab: str) -> None:
        """A panel."""
        more = self.page.get_by_role("tab", name=tab, exact=True)
        if not more.is_visible():
            self.page.locator(".overflow-menu button").first.click()
        self.page.get_by_role("tab", name=tab, exact=True).or_(
            self.page.locator(".overflow-dropdown").get_by_text(tab)
        ).first.click()

    def picture(self, name: str, *, full: bool = True) -> Path:
        """What a visitor sees now."""
        path = self.folder / f"{name}.png"
        self.page.screenshot(path=path, full_page=full)
        return path
