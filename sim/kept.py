"""Parts of documents that are made from the code: a command lists stale ones, or rewrites them."""

import sys

from sim.files import write_whole

__all__ = ["keep"]


def keep(documents, update, arguments, module):
    """The exit code of ``python -m module [--write]``.

    documents : paths.  update : returns the text of a document as it should be.  arguments : of the command.
    """
    texts = {document: document.read_text(encoding="utf-8") for document in documents}
    stale = {document: new for document, text in texts.items() if (new := update(text)) != text}
    if stale and arguments != ["--write"]:
        names = " and ".join(document.name for document in stale)
        print(f"not up to date: {names}; run python -m {module} --write", file=sys.stderr)
        return 1
    for document, text in stale.items():
        write_whole(document, text)
    return 0
