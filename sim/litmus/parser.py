"""Text of a litmus test -> LitmusTest. What cannot be read is refused in words, with its place."""

from pathlib import Path

from sim.errors import InputError

from .reader import Reader
from .text import Refusal, split
from .tree import body

__all__ = ["parse", "read_test"]

#: A line with more characters than this is not quoted in an error.
_SHOWN = 300


def parse(text, path):
    """The LitmusTest in a text. ``path`` : its name in messages. Raises InputError."""
    path, text = Path(path), text.removeprefix("\ufeff").replace("\r", " ")
    try:
        header, tokens = split(text)
        return Reader(path, text, header, body(tokens)).test()
    except Refusal as problem:
        start = problem.token.start
        line = text.count("\n", 0, start) + 1
        column = start - text.rfind("\n", 0, start)
        shown = text.split("\n")[line - 1].rstrip()
        raise InputError(str(problem), file=path, line=line, column=column,
                         text=shown if len(shown) <= _SHOWN else None) from None


def read_test(path):
    """The LitmusTest in a file. Raises InputError."""
    try:
        raw = Path(path).read_bytes()
    except OSError as problem:
        raise InputError(f"cannot be read: {problem.strerror}", file=path) from None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as problem:
        good = raw[:problem.start].decode("utf-8")
        raise InputError("this is not UTF-8 text", file=path, line=good.count("\n") + 1,
                         column=len(good) - good.rfind("\n")) from None
    return parse(text, path)
