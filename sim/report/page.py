"""A page: one self-contained HTML file that needs no network. Its text is plain; data and the charting library are compressed, and
the browser decompresses them."""

import base64
import gzip
import html
import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from sim.errors import MissingToolError
from sim.files import write_whole

__all__ = ["check_charts", "escape", "page", "table", "write_page"]

_HERE = Path(__file__).parent
#: The page makes no requests.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"

escape = html.escape


def check_charts():
    """Raises MissingToolError without a charting library. Ask before the work begins."""
    _library()


@cache
def _library():
    """Plotly, from its Python package, packed."""
    # Not imported: that takes a second, and only the script is needed.
    package = find_spec("plotly")
    path = package and package.origin and Path(package.origin).parent / "package_data" / "plotly.min.js"
    if not path or not path.is_file():
        raise MissingToolError("pages are drawn by Plotly, which is not installed: pip install plotly (or crosscall[pages])")
    return _packed(path.read_bytes())


def _packed(octets):
    return base64.b64encode(gzip.compress(octets, 9, mtime=0)).decode()


def table(name, title, columns, rows, note=""):
    """A table that sorts and filters. columns : titles.  rows : of cells, texts or numbers, in order."""
    return {"name": name, "title": title, "columns": list(columns), "rows": [list(row) for row in rows], "note": note}


def page(title, body, data):
    """The text of a page.

    body : HTML, with an element for each thing that the script draws.  data : what ``page.js`` draws, as plain data: ``tables`` is
    a list of ``table``, ``bars`` a list of charts; ``sim.report.run_page`` describes what else a page of a run has. Only a page
    with charts needs the charting library. Raises MissingToolError.
    """
    script, style = (_HERE.joinpath(name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    packed = _packed(json.dumps(data, separators=(",", ":")).encode())
    charts = "timeline" in data or "bars" in data
    library = f'<script type="text/plain" id="library">{_library()}</script>\n' if charts else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<main>
{body}
<p class="dim" id="state">The charts and tables need JavaScript, and a browser of 2023 or later.</p>
</main>
<script type="text/plain" id="data">{packed}</script>
{library}<script>
{script}</script>
</body>
</html>
"""


def write_page(path, title, body, data):
    """Write it. Raises InputError or MissingToolError."""
    write_whole(path, page(title, body, data))
