"""The mutants that are no faults, as somebody has explained them: a file beside the protocol. See ``docs/mutants.md``."""

import re

from sim.scenarios.document import Document

__all__ = ["Equivalents", "equivalents_of"]


def equivalents_of(protocol):
    """What stands beside a protocol's file, ``v4.equivalents.toml`` beside ``v4.uasm``: nothing, if there is no such file. Raises
    InputError."""
    path = protocol.with_suffix(".equivalents.toml")
    return Equivalents(Document(path) if path.is_file() else None)


class Equivalents:
    """Entries that say which mutants are equivalent, and why. An entry names them by the text of their line, not its number, so
    that it survives edits elsewhere in the file."""

    def __init__(self, document=None):
        self._entries = []
        if document is not None:
            document.root.only(("equivalent",))
            self._entries = [_Entry(table) for table in document.root.tables("equivalent")]

    def reason(self, mutant):
        """Why a mutant is equivalent; None if nobody says that it is."""
        return next((entry.reason for entry in self._entries if entry.covers(mutant)), None)

    def check(self, mutants):
        """Refuse an entry that is about none of these mutants. Raises InputError."""
        for entry in self._entries:
            entry.check(mutants)


class _Entry:
    """One ``[[equivalent]]``."""

    def __init__(self, table):
        self._table = table
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
        return (bool(self._line.fullmatch(mutant.text)) and self._routine in (None, mutant.routine)
                and self._nth in (None, mutant.nth))

    def covers(self, mutant):
        return self._is_there(mutant) and any(pattern.fullmatch(mutant.what) for pattern in self._whats.values())

    def check(self, mutants):
        here = [mutant for mutant in mutants if self._is_there(mutant)]
        if not here:
            raise self._table.refusal("line", "does not match any line with mutants"
                                      + (f" in {self._routine}" if self._routine else "")
                                      + (f", or not {self._nth} times" if self._nth else ""))
        for item, pattern in self._whats.items():
            if not any(pattern.fullmatch(mutant.what) for mutant in here):
                raise self._table.refusal("mutants", f'has "{item}", but the line has no such mutant '
                                                     f"(there are: {', '.join(dict.fromkeys(mutant.what for mutant in here))})")


def _pattern(text):
    """A text in which ``*`` stands for anything."""
    return re.compile(".*".join(map(re.escape, text.split("*"))))
