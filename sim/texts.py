"""Texts from people and programs: read, or refused with the place of the error if they are not text, or not JSON."""

import json
import re
from pathlib import Path

from .errors import InputError

__all__ = ["count", "decode", "integer", "nested", "read_json", "read_text", "shown"]

#: The most characters of a value in a message.
_LONGEST = 60
_TOO_LARGE = 10**1000


def read_text(path):
    """The text of a file, its line ends as ``\\n``. Raises InputError if it cannot be read, or is not UTF-8."""
    path = Path(path)
    try:
        octets = path.read_bytes()
    except FileNotFoundError:
        raise InputError("there is no such file", file=path) from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {getattr(error, 'strerror', None) or error}", file=path) from None
    return decode(octets, path)


def decode(octets, path):
    """The same from the octets of the file."""
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError as error:
        before = octets[:error.start].decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
        line = before.rpartition("\n")[2]
        raise InputError("cannot be read: it is not UTF-8 text", file=path,
                         line=before.count("\n") + 1, column=len(line) + 1) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path, *, cut_off=None):
    """The contents of a JSON file. Raises InputError. cut_off : the message if the text ends too soon."""
    text = read_text(path)
    try:
        return json.loads(text, parse_int=integer)
    except json.JSONDecodeError as error:
        cut = cut_off is not None and error.pos >= len(text.rstrip())
        lines = text.split("\n")
        raise InputError(cut_off if cut else f"is not JSON: {error.msg}", file=path, line=error.lineno, column=error.colno,
                         text=lines[error.lineno - 1]) from None
    except RecursionError:
        raise nested(text, path) from None


def nested(text, path):
    """The InputError about a text with too deeply nested brackets, at the deepest place."""
    depth = deepest = place = 0
    for found in re.finditer(r"[][{}()]", text):
        depth += 1 if found[0] in "[{(" else -1
        if depth > deepest:
            deepest, place = depth, found.start()
    before = text[:place]
    line = before.count("\n") + 1
    return InputError("is nested too deeply", file=path, line=line, column=place - before.rfind("\n"),
                      text=text.split("\n")[line - 1])


def integer(text):
    """A whole number in decimal. One of thousands of digits, which Python refuses, becomes another number that is too large."""
    try:
        return int(text)
    except ValueError:
        if not re.fullmatch(r"\s*[+-]?\d+(_\d+)*\s*", text):
            raise
        return -_TOO_LARGE if "-" in text else _TOO_LARGE


def count(number, noun, names=""):
    """``1 core``, ``2 operands (rd, b)``, ``no entries``."""
    many = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return (f"{number} {noun}" if number == 1 else f"{number or 'no'} {many}") + (f" ({names})" if names else "")


def shown(value):
    """A value as a message shows it: as Python writes it, and not too long."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):        # ValueError: a number of thousands of digits
        return "what is too long to be shown"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
