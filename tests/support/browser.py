# SPDX-License-Identifier: Apache-2.0
"""The built pages in a real browser: a server, a headless Chromium, and what a page looks like."""

import functools
import http.server
import shutil
import threading
from contextlib import contextmanager

import pytest

# Debian's names, then others'.
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# What is wrong with the page as it is laid out now; the second argument forbids wide code as well.
LOOK = """
const root = document.scrollingElement, wide = [];
if (root.scrollWidth > window.innerWidth) wide.push(`the page: ${root.scrollWidth} pixels`);
if (arguments[0]) for (const block of document.querySelectorAll("pre"))
  if (block.checkVisibility() && block.scrollWidth > block.clientWidth)
    wide.push(`${block.scrollWidth - block.clientWidth} pixels too wide: ` + block.innerText);
for (const image of document.images) if (!image.naturalWidth) wide.push(`no image ${image.src}`);
return wide;
"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@contextmanager
def served(folder):
    """The address at which a folder is served on this machine."""
    handler = functools.partial(_Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def chromium():
    """A headless Chromium, driven by Selenium; skips where one of them is missing."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: make docs-test")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("needs chromium and chromedriver on PATH (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.chrome.service.Service(driver)
    opened = webdriver.Chrome(options=options, service=service)
    try:
        yield opened
    finally:
        opened.quit()


def resize(browser, width, scheme):
    """A window of that width, for a reader who likes light or dark pages."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def complaints(browser):
    """What the console has said since it was last asked."""
    return [entry["message"] for entry in browser.get_log("browser")]
