"""The site as its readers get it: built by Sphinx, opened from files in a real browser.

`make docs` runs these in an environment that has Sphinx; elsewhere they are skipped.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

from tests.docs import browser as chromium
from tests.docs import typography
from tests.docs.browser import Browser
from tests.lab.errors import MissingProgram
from tests.lab.require import cannot_run

DOCS = typography.DOCS
LOOK = (Path(__file__).parent / "look.js").read_text(encoding="utf-8")

#: CSS pixels: the phones of today, and those of some years ago.
PHONES = (390, 360)

#: Pages, or chapters of pages, that have to be marked as English.
ENGLISH = ("index.html", "dns.en.html", "packaging.html")

if importlib.util.find_spec("sphinx") is None:
    pytest.skip("Sphinx is not in this environment: make docs", allow_module_level=True)


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The folder of the site, and how Sphinx fared."""
    folder = tmp_path_factory.mktemp("site")
    command = ["-W", "--keep-going", "-n", "-q", "-b", "html", str(DOCS), str(folder)]
    run = subprocess.run(
        [sys.executable, "-m", "sphinx", *command], capture_output=True, text=True, check=False
    )
    return folder, run


@pytest.fixture(scope="module")
def pages(built: tuple[Path, subprocess.CompletedProcess[str]]) -> list[Path]:
    """Every page of the site."""
    found = sorted(built[0].glob("**/*.html"))
    assert found
    return found


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    try:
        with chromium.start(tmp_path_factory.mktemp("chromium")) as running:
            yield running
    except MissingProgram as error:
        cannot_run(str(error))


@pytest.fixture
def browser(started: Browser) -> Browser:
    """A browser with a window as on a desk and light colours."""
    started.resize(1280)
    started.prefer("light")
    return started


def look(browser: Browser, page: Path, question: str) -> Any:
    """Open a page and call a function of look.js there."""
    browser.open(page.as_uri())
    return browser.run(f"{LOOK}; {question}()")


def test_the_site_builds_without_a_warning(built):
    _, run = built
    assert (run.returncode, run.stderr) == (0, "")


def test_every_link_anchor_and_image_leads_somewhere(browser, pages):
    seen = {page: look(browser, page, "references") for page in pages}
    faults = [
        f"{page.name}: {fault}"
        for page in pages
        for fault in [
            *seen[page]["brokenImages"],
            *seen[page]["imagesWithoutText"],
            *_broken_links(seen[page]["links"], seen),
        ]
    ]
    assert faults == []


def _broken_links(links: list[str], seen: dict[Path, Any]) -> list[str]:
    """The links to files that aren't there, or to anchors that aren't in them.

    Links to other sites are left alone: whether they are up is not for this test to say.
    """
    broken = []
    for link in links:
        address, anchor = urldefrag(link)
        if urlsplit(address).scheme in ("http", "https", "mailto"):
            continue
        target = Path(unquote(urlsplit(address).path))
        anchors = seen[target]["anchors"] if target in seen else []
        if not target.is_file() or (anchor and unquote(anchor) not in anchors):
            broken.append(link)
    return broken


def test_reading_the_site_asks_nobody_outside(browser, pages):
    outside, failed = [], []
    for page in pages:
        browser.open(page.as_uri(), "networkIdle")
        failed += [f"{page.name}: {reason}" for reason in browser.failed]
        outside += [
            url for url in browser.requested if urlsplit(url).scheme not in ("file", "data")
        ]
    assert (outside, failed) == ([], [])


@pytest.mark.parametrize("width", PHONES)
def test_on_a_phone_no_page_has_to_be_moved_sideways(browser, pages, width):
    browser.resize(width)
    faults = [f"{page.name}: {part}" for page in pages for part in look(browser, page, "sideways")]
    assert faults == []


@pytest.mark.parametrize("width", [1280, PHONES[0]])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_background(browser, pages, scheme, width):
    browser.resize(width)
    browser.prefer(scheme)
    faint = [
        f"{page.name}: {text}"
        for page in [*pages, *_diagrams()]
        for text in look(browser, page, "faintTexts")
    ]
    assert faint == []


def test_screen_readers_are_told_which_parts_are_french_and_which_english(browser, pages):
    for page in pages:
        browser.open(page.as_uri())
        assert browser.run("document.documentElement.lang") == "fr", page.name
    for name in ENGLISH:
        browser.open((pages[0].parent / name).as_uri())
        assert browser.run("document.querySelectorAll('section[lang=en]').length") > 0, name


def test_the_french_pages_are_set_as_french_is(pages):
    faults = [
        f"{page.name}: {fault}"
        for page in pages
        for fault in typography.faults(page.read_text(encoding="utf-8"))
    ]
    assert faults == []


def test_the_search_finds_a_word_without_a_server(browser, pages):
    browser.open(f"{(pages[0].parent / 'search.html').as_uri()}?q=certbot")
    hits = browser.run(
        """new Promise((tell) => {
             const look = () => {
               const hits = document.querySelectorAll("#search-results li a");
               if (hits.length) tell([...hits].map((hit) => hit.href));
               else requestAnimationFrame(look);
             };
             look();
             setTimeout(() => tell([]), 20000);
           })"""
    )
    assert hits


# The diagrams


def _diagrams() -> list[Path]:
    found = sorted((DOCS / "diagrams").glob("*.svg"))
    assert found
    return found


@pytest.mark.parametrize("path", _diagrams(), ids=lambda path: path.name)
def test_a_diagram_is_legible_on_a_phone_and_described(browser, path):
    seen = look(browser, path, "faultsOfDiagram")
    assert seen["faults"] == []
    assert seen["title"]
    assert len(seen["description"]) > 100
    beside = 32  # the margins of the page
    assert seen["smallestText"] * (PHONES[-1] - beside) / seen["width"] >= 11.5


# That these tests would notice


BAD_PAGE = """<!doctype html><html lang="fr"><title>x</title>
<body style="margin: 0; background: white"><a href="nowhere.html">Lien</a> <img src="no.png">
<a href="#nowhere">Ancre</a>
<p style="color: #999">Pâle</p><p style="width: 700px; white-space: nowrap">Large {}</p>
<script src="http://elsewhere.invalid/x.js"></script>
""".format("x" * 60)


def test_a_page_with_every_fault_would_be_noticed(browser, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(BAD_PAGE, encoding="utf-8")
    browser.resize(PHONES[0])
    seen = look(browser, page, "references")
    assert "http://elsewhere.invalid/x.js" in browser.requested
    assert len(browser.failed) == 2
    assert len(seen["brokenImages"]) == len(seen["imagesWithoutText"]) == 1
    assert len(_broken_links(seen["links"], {page: seen})) == 2
    assert browser.run("sideways()") == ["HTML : 700 px"]
    assert browser.run("faintTexts()") == ["2.85: Pâle"]


def test_a_diagram_whose_texts_collide_would_be_noticed(browser, tmp_path):
    drawing = tmp_path / "bad.svg"
    drawing.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 340 100">'
        '<rect width="60" height="90"/><text x="5" y="20">much too long for it</text>'
        '<text x="25" y="22">up</text></svg>',
        encoding="utf-8",
    )
    faults = look(browser, drawing, "faultsOfDiagram")["faults"]
    assert sorted(fault.partition(":")[0] for fault in faults) == ["over each other", "too long"]


RIGHT = (
    "Voici\u00a0: «\u00a0ceci\u00a0», l’autre\u202f; et…",
    "<code>a:b</code>\u00a0: <code>'x...'</code> 10:30 https://x.fr/?q",
    "<span lang='en'>It's \"English\": fine!</span>",
    "1<sup>er</sup> mai",
)
WRONG = (
    "Voici : cela",
    "<code>ini</code> : cela",
    "Vraiment ?",
    "Vraiment?!",
    "Ceci ; cela",
    "« ceci »",
    "l'autre",
    'dit "ceci"',
    "et...",
    "le 1er mai",
    "la 2ème fois",
)


@pytest.mark.parametrize("text", [*RIGHT, *WRONG])
def test_a_fault_of_french_typography_would_be_noticed(text):
    found = typography.faults(f"<html lang='fr'><body><p>{text}</p></body></html>")
    assert bool(found) == (text in WRONG), found
