# SPDX-License-Identifier: Apache-2.0
"""The pages as a browser shows them: errors, links, widths, colors, and what the search finds.

Needs Sphinx, Selenium and Chromium: `make docs-test` installs the first two and runs this.
"""

import re
import sys
from html.parser import HTMLParser

import pytest

from tests.support import processes
from tests.support.browser import LOOK, chromium, complaints, resize, served
from tests.support.paths import DOCS

pytestmark = pytest.mark.slow

SEARCHES = {
    "xavier": "initializers.html",
    "kaiming": "initializers.html",
    "trunc_normal": "torch.html",
    "glorot_uniform": "reference/philinit.html",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built pages."""
    for library in ("sphinx", "myst_parser", "furo", "sphinx_design", "sphinx_copybutton"):
        pytest.importorskip(library, reason=f"needs {library}: make docs-test")
    folder = tmp_path_factory.mktemp("site")
    builder = ["-m", "sphinx", "--fail-on-warning", "--quiet", "-b", "html"]
    processes.run([sys.executable, *builder, "-d", folder / "trees", DOCS, folder / "html"])
    return folder / "html"


@pytest.fixture(scope="module")
def address(site):
    with served(site) as found:
        yield found


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


def pages_of(site):
    return sorted(str(path.relative_to(site)) for path in site.rglob("*.html"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_no_page_scrolls_sideways_or_complains(site, address, browser, width, scheme):
    resize(browser, width, scheme)
    complaints(browser)
    wrong, backgrounds = [], set()
    pages = pages_of(site)
    assert len(pages) > 30
    for page in pages:
        browser.get(f"{address}/{page}")
        found = browser.execute_script(LOOK, width == 1280) + complaints(browser)
        wrong += [f"{page}: {what}" for what in found]
        color = "return getComputedStyle(document.body).backgroundColor"
        backgrounds.add(browser.execute_script(color))
    assert not wrong, "\n".join(wrong)
    (background,) = backgrounds
    red, green, blue = map(int, re.findall(r"\d+", background)[:3])
    assert (red + green + blue > 3 * 200) == (scheme == "light"), background


@pytest.mark.parametrize("words", SEARCHES)
def test_the_search_finds(address, browser, words):
    from selenium.webdriver.support.ui import WebDriverWait

    resize(browser, 1280, "light")
    browser.get(f"{address}/search.html?q={words}")
    links = "return [...document.querySelectorAll('ul.search li a')].map(a => a.pathname)"
    found = WebDriverWait(browser, 30).until(
        lambda one: "/" + SEARCHES[words] in (hits := one.execute_script(links)) and hits
    )
    assert len(found) >= 2


class _Page(HTMLParser):
    """The links of a page, and the places in it to which a link can lead."""

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors = set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.anchors |= {named.get("id")}
        if tag == "a" and "href" in named:
            self.links.add(named["href"])
        elif "src" in named:
            self.links.add(named["src"])


def broken(pages, folder):
    """Links that lead nowhere, of pages by their paths."""
    parsed = {path: _Page(text) for path, text in pages.items()}
    found = []
    for path, page in parsed.items():
        for link in page.links:
            if re.match(r"https?:|mailto:|data:", link):
                continue
            file, _, anchor = link.partition("#")
            target = ((path.parent / file.partition("?")[0]) if file else path).resolve()
            known = target in parsed
            if not (known or (target.is_file() and folder in target.parents)):
                found.append(f"{path.name}: {link}")
            elif known and anchor and anchor not in parsed[target].anchors:
                found.append(f"{path.name}: no such anchor: {link}")
    return found


def test_links_lead_somewhere(site):
    pages = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    assert broken(pages, site) == []
    index = site / "index.html"
    spoiled = {**pages, index: '<a href="torch.html#nothing"></a> <a href="nowhere.html"></a>'}
    assert len(broken(spoiled, site)) >= 2
