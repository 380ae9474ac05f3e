"""The mutants that are no faults, and why: files beside the sources. See ``docs/mutants.md``."""

import re

from sim.microcode.assembler import SOURCES
from sim.scenarios.document import Document
from sim.texts import count

__all__ = ["Equivalents", "equivalents_of"]


def equivalents_of(protocol, files):
    """The known equivalent mutants of a protocol: from the file beside it, ``v4.equivalents.toml`` beside ``v4.uasm``, and from
    those beside the sources that it includes.

    protocol : path.  files : names of the sources that its words come from.
    Raises InputError.
    """
    result = Equivalents(_beside(protocol))
    for file in sorted({*files} - {protocol.name}):
        result.add_shared(_beside(next(path for folder in (protocol.parent, SOURCES) if (path := folder / file).is_file())), file)
    return result


def _beside(source):
    """The Document that belongs to a source, or None."""
    path = source.with_suffix(".equivalents.toml")
    return Document(path) if path.is_file() else None


class Equivalents:
    """Entries that say which mutants are equivalent, and why. An entry names them by the text of their line, not its number, so it
    survives edits elsewhere in the file.

    document : of the protocol, which may explain every line that the protocol has; None if there is none.
    """

    def __init__(self, document=None):
        self._own = _entries(document)
        self._shared = []

    def add_shared(self, document, file):
        """Add what the Document beside a shared source says about its lines; nothing if it is None."""
        self._shared += _entries(document, file)

    def reason(self, mutant):
        """Why a mutant is equivalent; None if no entry says so."""
        return next((entry.reason for entry in (*self._own, *self._shared) if entry.covers(mutant)), None)

    def check(self, mutants):
        """Refuse an entry of the protocol's own file that matches none of its mutants. An entry for a shared line may be meant for
        another protocol. Raises InputError."""
        for entry in self._own:
            entry.check(mutants)

    def check_shared(self, mutants):
        """The same for the entries for shared lines: these are the mutants of all protocols. Raises InputError."""
        for entry in self._shared:
            entry.check(mutants)


def _entries(document, file=None):
    if document is None:
        return []
    document.root.only(("equivalent",))
    return [_Entry(table, file) for table in document.root.tables("equivalent")]


class _Entry:
    """One ``[[equivalent]]``. file : the source that its lines are in; None: any."""

    def __init__(self, table, file):
        self._table, self._file = table, file
        table.only(("line", "in", "nth", "mutants", "reason"))
        for key, kind in (("line", str), ("mutants", list), ("reason", str)):
            if not table.get(key, kind):
                raise table.refusal(key, "is missing: an entry has line, mutants and reason")
        for item in table.get("mutants", list):
            if not isinstance(item, str):
                raise table.refusal("mutants", f"must be a list of changes to the line, not {item!r}")
        self.reason = table.get("reason", str)
        self._line = _pattern(table.get("line", str))
        self._routine = table.get("in", str)
        self._nth = table.get("nth", int)
        self._whats = {item: _pattern(item) for item in table.get("mutants", list)}

    def _is_there(self, mutant):
        return (self._file in (None, mutant.file) and bool(self._line.fullmatch(mutant.text))
                and self._routine in (None, mutant.routine) and self._nth in (None, mutant.nth))

    def covers(self, mutant):
        return self._is_there(mutant) and any(pattern.fullmatch(mutant.what) for pattern in self._whats.values())

    def check(self, mutants):
        here = [mutant for mutant in mutants if self._is_there(mutant)]
        if not here:
            raise self._table.refusal("line", "does not match any line with mutants"
                                      + (f" in {self._routine}" if self._routine else "")
                                      + (f", or not {count(self._nth, 'time')}" if self._nth else ""))
        for item, pattern in self._whats.items():
            if not any(pattern.fullmatch(mutant.what) for mutant in here):
                raise self._table.refusal("mutants", f'has "{item}", but the line has no such mutant '
                                                     f"(there are: {', '.join(dict.fromkeys(mutant.what for mutant in here))})")


def _pattern(text):
    """A pattern from a text in which ``*`` stands for anything."""
    return re.compile(".*".join(map(re.escape, text.split("*"))))
