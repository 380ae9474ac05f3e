"""The terminal, which results, notes and the status line share: whoever prints clears the status line first."""

import os
import sys
import time
from contextlib import contextmanager

__all__ = ["clear_status", "note", "printable", "status"]

#: The least time between two updates of the status line, in seconds.
_PACE = 0.1
#: Back to the start of the line, which is then empty.
_CLEAR = "\r\x1b[K"
#: Control characters as Python writes them; a terminal would obey them. Tabs and line ends are text.
_SHOWN = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}


def printable(text):
    """The text, with what a terminal would obey made visible."""
    return text if text.isprintable() else text.translate(_SHOWN)


def note(line):
    """Print a remark beside the results."""
    clear_status()
    print(f"crosscall: {printable(line)}", file=sys.stderr)


class _Status:
    """The status line of the terminal: its text, or None, and when it was last drawn."""

    shown = None
    drawn = 0.0


def clear_status():
    """Clear the status line before something is printed. It comes back with the next ``show``."""
    if _Status.shown is not None:
        _Status.shown = None
        _Status.drawn = 0.0
        print(_CLEAR, end="", file=sys.stderr, flush=True)


@contextmanager
def status():
    """A function that shows a text during the work; on a terminal, and nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    try:
        yield _show
    finally:
        clear_status()


def _show(text):
    now = time.monotonic()
    if text == _Status.shown or now < _Status.drawn + _PACE:
        return
    _Status.shown, _Status.drawn = text, now
    width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
    print(f"{_CLEAR}{printable(text)[:width - 1]}", end="", file=sys.stderr, flush=True)
