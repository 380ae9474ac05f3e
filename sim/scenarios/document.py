"""A TOML file that knows the places of its keys, so that every refusal names a place."""

import re
import tomllib
from pathlib import Path

from sim.errors import InputError
from sim.spelling import closest
from sim.texts import nested, read_text, shown

__all__ = ["Document", "Table"]

#: How many beginnings of a file are tried at a time.
_TRIES = 50
_TYPES = {str: "a string", bool: "true or false", int: "a whole number", list: "a list", dict: "a table"}


def _key(path):
    """A key path, as displayed: ``program[1].commands[0].mask``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _reaches(content, path):
    try:
        for part in path:
            content = content[part]
    except (KeyError, IndexError):
        return False
    return True


class Document:
    """A TOML file that has been read, or a text in its place. A *path* is a tuple of keys and indices into it.

    Raises InputError if the file cannot be read or is not TOML.
    """

    def __init__(self, path, text=None):
        self.path = Path(path)
        self.text = read_text(self.path) if text is None else text
        try:
            self.content = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            raise self._not_toml(str(error)) from None
        except RecursionError:
            raise nested(self.text, self.path) from None
        except ValueError:
            raise self._too_long() from None
        self._check_numbers()

    @property
    def root(self):
        return Table(self, (), self.content)

    def has(self, path):
        """Whether the file has something at ``path``."""
        return _reaches(self.content, path)

    def refusal(self, path, message):
        """The InputError with ``message`` about the key at ``path``."""
        line = self._line(path)
        text = column = None
        if line is not None:
            text = self.text.splitlines()[line - 1]
            name = next(part for part in reversed(path) if isinstance(part, str))
            places = list(re.finditer(rf"(?<![\w.-]){re.escape(name)}(?=\s*(=|\]))", text))
            # Several commands may share a line; then the key path in the message tells them apart.
            column = places[0].start() + 1 if len(places) == 1 else None
        return InputError(f"{_key(path)} {message}" if path else message, file=self.path, line=line, column=column, text=text)

    def at_end(self, message):
        """The InputError about something missing, at the end of the file."""
        lines = self.text.splitlines() or [""]
        return InputError(message, file=self.path, line=len(lines), text=lines[-1])

    def _not_toml(self, error):
        """tomllib puts the place at the end of its message: "Expected ... (at line 3, column 7)"."""
        lines = self.text.splitlines() or [""]
        found = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", error, re.DOTALL)
        message, line, column = found.groups() if found else (error, None, None)
        line = int(line or len(lines))
        text = lines[line - 1] if line <= len(lines) else ""
        return InputError(f"is not TOML: {message}", file=self.path, line=line, column=int(column or len(text) + 1), text=text)

    def _too_long(self):
        """Python refuses numbers with more than some thousand digits, and tomllib does not say where."""
        line, found = next((number, found) for number, line in enumerate(self.text.splitlines(), 1)
                           if (found := re.search(r"[0-9_]{4000,}", line)))
        return InputError("a number has at most 64 bits", file=self.path, line=line, column=found.start() + 1, text=found.string)

    def _check_numbers(self):
        """Refuse a number that fits no word."""
        stack = [((), self.content)]
        while stack:
            path, value = stack.pop()
            if isinstance(value, dict | list):
                items = value.items() if isinstance(value, dict) else enumerate(value)
                stack += [((*path, key), item) for key, item in items]
            elif isinstance(value, int) and abs(value) >> 64:
                raise self.refusal(path, "is too large: a number has at most 64 bits")

    def _line(self, path):
        """The line (from 1) on which the key at ``path`` starts, or None.

        tomllib gives no places. But the shortest beginning of the file that contains the key ends on its line.
        """
        if not path:
            return None
        if not _reaches(self.content, path):
            return None
        lines = self.text.splitlines()
        before, after = 0, len(lines)           # the beginning of this many lines does not contain it; of this many does
        while after - before > 1:
            middle = (before + after) // 2
            # Not every beginning is TOML: search from the middle down, then up, for one that is.
            for number in [*range(middle, before, -1), *range(middle + 1, after)][:_TRIES]:
                reached = self._beginning_reaches(lines[:number], path)
                if reached is not None:
                    break
            else:
                return None if after - before > _TRIES else after
            before, after = (before, number) if reached else (number, after)
        return after

    @staticmethod
    def _beginning_reaches(lines, path):
        """Whether the first lines of the file contain the key; None if they are not TOML. What is open at their end is an array,
        perhaps in an inline table in an array."""
        for closing in ("", "]", "]]", "]}]"):
            try:
                return _reaches(tomllib.loads("\n".join([*lines, closing])), path)
            except tomllib.TOMLDecodeError:
                continue
        return None


class Table:
    """One table of a Document, read key by key. Every method refuses malformed values."""

    def __init__(self, document, path, content):
        self.document = document
        self.path = path
        self.content = content

    def __contains__(self, key):
        return key in self.content

    def refusal(self, key, message):
        """The InputError about one key of this table."""
        return self.document.refusal((*self.path, key), message)

    def only(self, known):
        """Refuse keys that are not in ``known``."""
        for key in self.content:
            if key not in known:
                raise self.refusal(key, f"is not known here{closest(key, known)} (known: {', '.join(known)})")

    def get(self, key, kind, default=None):
        """The value of ``key``, which must be of type ``kind`` (str, bool, int or list); ``default`` if it is absent."""
        if key not in self.content:
            return default
        value = self.content[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.refusal(key, f"must be {_TYPES[kind]}, not {shown(value)}")
        return value

    def table(self, key):
        """The table at ``key``; an empty one if it is absent."""
        return Table(self.document, (*self.path, key), self.get(key, dict, {}))

    def tables(self, key):
        """The tables of the array at ``key``."""
        result = []
        for index, content in enumerate(self.get(key, list, [])):
            if not isinstance(content, dict):
                raise self.refusal(key, f"must be a list of tables, but [{index}] is {shown(content)}")
            result.append(Table(self.document, (*self.path, key, index), content))
        return result
