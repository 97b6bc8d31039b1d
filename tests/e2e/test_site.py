"""The documentation site: complete, readable on phones and in dark mode, and self-contained."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import threading
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

pytest.importorskip("zensical", reason="zensical is not installed: make test-heavy installs it")

from tools import documents

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver.chrome.webdriver import WebDriver

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]
needs_browser = pytest.mark.skipif(not (BROWSER and DRIVER), reason="Chromium and its driver are not installed")
LOADED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src")}
"""Attributes with URLs that a browser loads automatically."""
OVERFLOWING = """
const width = document.documentElement.clientWidth;
const inside = element => {
  for (let above = element.parentElement; above; above = above.parentElement) {
    const isPage = above === document.body || above === document.documentElement;
    if (!isPage && getComputedStyle(above).overflowX !== "visible") return true;
  }
  return false;
};
const wide = [...document.querySelectorAll(".md-main *, .md-header *")].filter(element => {
  const box = element.getBoundingClientRect();
  return box.width > 0 && box.right > width + 1 && box.left < width && !inside(element);
});
return [document.documentElement.scrollWidth - width, wide.map(element => element.outerHTML.slice(0, 120))];
"""
"""Returns how far the page exceeds the window's width, and the elements that overflow without a scroll bar."""


class Page(HTMLParser):
    """The anchors and references of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.references: list[tuple[str, str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record the anchors and references of a tag."""
        for name, value in attrs:
            if name in {"id", "name"} and value:
                self.anchors.add(value)
            elif name in {"href", "src"} and value:
                self.references.append((tag, name, value))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as by `make docs`."""
    return documents.build(tmp_path_factory.mktemp("documents"))


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    """All pages by path."""
    found = sorted(site.rglob("*.html"))
    return {path.relative_to(site).as_posix(): Page(path.read_text(encoding="utf-8")) for path in found}


@pytest.fixture
def url(site: Path) -> Iterator[str]:
    """The URL of a loopback server for the site."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def open_browser(width: int, scheme: str) -> WebDriver:
    """Open a headless Chromium with a viewport width and color scheme, limited to this machine."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER or ""
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    return browser


def test_every_link_leads_somewhere(site: Path, pages: dict[str, Page]) -> None:
    """Internal links point to existing files and anchors, and no page loads external resources."""
    dead = []
    for name, page in pages.items():
        for tag, attribute, reference in page.references:
            assert (tag, attribute) not in LOADED or urlsplit(reference).scheme in {"", "data"}, f"{name}: {reference}"
            path, anchor = urldefrag(reference)
            if urlsplit(path).scheme or name == "404.html":  # the location of the 404 page is unknown
                continue
            target = (site / name).parent / unquote(path) if path else site / name
            found = pages.get(target.resolve().relative_to(site).as_posix())
            if not target.is_file() or (anchor and found is not None and unquote(anchor) not in found.anchors):
                dead.append(f"{name}: {reference}")
    assert dead == []
    assert len(pages) > 25


def test_every_page_is_in_the_navigation(tmp_path: Path) -> None:
    """A page missing from the navigation is reported."""
    (tmp_path / "decisions").mkdir()
    for name in ("tutorial.md", "forgotten.md", "decisions/0001-contract-first.md"):
        (tmp_path / name).touch()
    assert documents.not_in_navigation(tmp_path) == {"forgotten.md"}


def test_a_dead_link_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link to a missing page or anchor fails the build and is reported with its location."""
    docs = tmp_path / "docs"
    shutil.copytree(documents.DOCUMENTS, docs)
    page = docs / "async.md"
    text = page.read_text(encoding="utf-8")
    monkeypatch.setattr(documents, "DOCUMENTS", docs)
    for link in ("nowhere.md", "retries.md#nowhere"):
        page.write_text(f"{text}\n[dead]({link})\n", encoding="utf-8")
        with pytest.raises(documents.DocumentsError, match=r"async\.md:\d+"):
            documents.build(tmp_path / "build")


@needs_browser
@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1280, "light")])
def test_pages_fit_and_stay_at_home(url: str, pages: dict[str, Page], width: int, scheme: str) -> None:
    """At each width and color scheme nothing overflows, no script fails and only the site is requested."""
    browser = open_browser(width, scheme)
    faults: list[Any] = []
    try:
        for name in pages:
            browser.get(f"{url}/{name}")
            beyond, wide = browser.execute_script(OVERFLOWING)
            if beyond > 0 or wide:
                faults.append((name, beyond, wide))
        dark = browser.execute_script("return document.body.getAttribute('data-md-color-scheme') === 'slate'")
        log = browser.get_log("browser")  # type: ignore[no-untyped-call]  # untyped in Selenium
        events = [json.loads(each["message"])["message"] for each in browser.get_log("performance")]  # type: ignore[no-untyped-call]  # as above
    finally:
        browser.quit()
    sent = [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]
    assert faults == []
    assert dark == (scheme == "dark")
    assert [entry for entry in log if entry["level"] == "SEVERE"] == []
    assert len(sent) > len(pages)
    assert [each for each in sent if not each.startswith((url, "data:", "blob:"))] == []
