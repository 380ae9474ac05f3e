"""The documentation site (``make docs``). Its root is the repository, so every link is the same here and where git is browsed."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent

project = "crosscall"
author = "the crosscall authors"
copyright = "the crosscall authors, BSD 2-clause"
release = version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "docs/index"
include_patterns = ["docs/**.md", "CONTRIBUTING.md", "CHANGELOG.md", "waves/README.md"]
# Folders that are not even looked into.
exclude_patterns = [".*", "build", "dist", "crosscall*", "rtl", "sim", "tests", "typings", "waves/*[!d]"]

# A link that leads nowhere is an error, inside the pages and in docstrings.
nitpicky = True
# Types of the annotations that others document elsewhere.
nitpick_ignore_regex = [("py:.*", r"(?!(crosscall|rtl|sim)\.).*")]
myst_heading_anchors = 4

html_theme = "furo"
html_title = "crosscall"
html_copy_source = False
# The first page is in docs/ like all others; who asks for the root is led there.
html_additional_pages = {"index": "redirect.html"}
templates_path = ["templates"]

autodoc_class_signature = "separated"
autodoc_member_order = "bysource"
autodoc_typehints = "none"


def _sections(app, what, name, obj, options, lines):
    """Docstrings as the house writes them: below a heading (``Members``), "name : what" on a line each, and more of it indented."""
    text = re.sub(r"^(\w[\w ]*)\n-+$", r".. rubric:: \1\n", "\n".join(lines), flags=re.MULTILINE)
    names = r"[a-z_]\w*(?:, [a-z_]\w*)*"
    # Several on a line ("a : of this.  b : of that.") each get their own.
    text = re.sub(rf"\.  (?={names} : )", ".\n", text)
    text = re.sub(rf"^({names}) : ", r"* **\1**: ", text, flags=re.MULTILINE)
    # What goes on below a name belongs to the same paragraph.
    text = re.sub(r"^\* .*(?:\n +\S.*)+", lambda item: re.sub(r"\n +", "\n  ", item[0]), text, flags=re.MULTILINE)
    # A list begins and ends with an empty line.
    text = re.sub(r"^(?=\* )(?<!\n\n)(?<!\A)", "\n", text, flags=re.MULTILINE)
    lines[:] = re.sub(r"^(\* .*(?:\n +.*)*)\n(?=\S)", r"\1\n\n", text, flags=re.MULTILINE).split("\n")


def setup(app):
    app.connect("autodoc-process-docstring", _sections)
