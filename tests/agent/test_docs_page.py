"""The API docs: the document, and the interactive page in a real browser."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.agent.helpers import DOCUMENT

if TYPE_CHECKING:
    from tests.threaded_agent import ThreadedAgent

pytestmark = pytest.mark.contract
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")


def test_document_is_served(agent: ThreadedAgent) -> None:
    """/openapi.json is the contract, and needs no token."""
    response = httpx.get(f"{agent.url}/openapi.json")
    assert response.json() == DOCUMENT
    assert response.headers["content-type"] == "application/json"


def test_page_takes_nothing_from_elsewhere(agent: ThreadedAgent) -> None:
    """The page and all its assets come from the agent, and the browser may load nothing else."""
    page = httpx.get(f"{agent.url}/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) == 4
    for path in loaded:
        asset = httpx.get(agent.url + path)
        assert (asset.status_code, asset.content != b"") == (200, True)
        assert path.startswith("/docs/")
        policy = asset.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "http" not in policy
    assert '"/openapi.json"' in httpx.get(f"{agent.url}/docs/start.js").text
    assert httpx.get(f"{agent.url}/docs/swagger-ui.css").headers["content-type"].startswith("text/css")
    for path in ("/docs/", "/docs/index.html", "/docs/%2e%2e/__init__.py"):
        assert httpx.get(agent.url + path).status_code == 404, path


@pytest.mark.heavy
@pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs Chromium and its driver, which this machine does not have")
def test_page_runs_an_action(agent: ThreadedAgent) -> None:
    """In Chromium the page renders without an error, authorises with the token, and shows the results of two runs."""
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.expected_conditions import text_to_be_present_in_element
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,1600"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    run = "[id$=-run_plugin_release]"
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER)) as browser:
        wait = WebDriverWait(browser, 120)

        def shown(selector: str) -> webdriver.remote.webelement.WebElement:
            return wait.until(lambda _: next(iter(browser.find_elements(By.CSS_SELECTOR, selector)), None) or False)

        def click(selector: str) -> None:
            browser.execute_script("arguments[0].click()", shown(selector))

        def fill(selector: str, text: str) -> None:
            shown(selector).send_keys(Keys.CONTROL, "a")
            shown(selector).send_keys(text)

        browser.get(f"{agent.url}/docs")
        assert shown("h1.title, h2.title").text.startswith(DOCUMENT["info"]["title"])
        wait.until(lambda _: len(browser.find_elements(By.CSS_SELECTOR, ".opblock")) == 7)
        click(".auth-wrapper .authorize")
        fill(".auth-container input", agent.token)
        click(".auth-btn-wrapper .authorize")
        click(".auth-btn-wrapper .btn-done")
        click(f"{run} .opblock-summary-control")
        fill(f"{run} tr[data-param-name=lookup] input", "shared@1.0.0+lite")
        for word in ("first", "second"):
            fill(f"{run} textarea", json.dumps({"action": "run", "params": {"seen": word}}))
            click(f"{run} .execute")
            result = (By.CSS_SELECTOR, f"{run} .live-responses-table tbody")
            wait.until(text_to_be_present_in_element(result, word))
        log = browser.get_log("browser")  # type: ignore[no-untyped-call]  # Selenium has no types here
        assert [entry for entry in log if entry["level"] == "SEVERE"] == []
