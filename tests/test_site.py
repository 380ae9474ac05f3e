"""The documentation site: Sphinx builds it without a warning, and no link inside it is dead."""

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parent.parent
SITE = ROOT / "build" / "site"

pytestmark = pytest.mark.docs


class Page(HTMLParser):
    """What a page links to, and where in it one can go."""

    def __init__(self, path):
        super().__init__()
        self.links, self.places = [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id" or (name, tag) == ("name", "a"):
                self.places.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


def dead_links(site):
    """(page, link) of every link inside a site that leads to no file of it, or to no place in that page."""
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file() or parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].places:
                yield path.relative_to(site).as_posix(), link


@pytest.fixture(scope="module")
def site():
    pytest.importorskip("sphinx", reason="Sphinx is not installed: make docs")
    # All anew: of a page that has not changed, Sphinx does not warn a second time.
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-Ea", "-c", "docs", "-d", "build/doctrees", ".", SITE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return SITE


def test_no_link_is_dead(site):
    assert (site / "index.html").exists()
    assert not list(dead_links(site))


def test_a_dead_link_is_found(tmp_path):
    (tmp_path / "a.html").write_text('<a id="here" href="b.html#there"></a> <a href="#here"></a> <a href="https://x.y/z"></a>')
    (tmp_path / "b.html").write_text('<p id="there"><a href="a.html#there"></a><img src="c.png"></p>')
    assert list(dead_links(tmp_path)) == [("b.html", "a.html#there"), ("b.html", "c.png")]
