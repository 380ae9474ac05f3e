"""``events.jsonl``: every record of a run as a line of JSON, with its names and the call that it belongs to.

The lines are described in ``docs/events.md``. Equal runs give equal bytes.
"""

import json
from functools import cache

from rtl.events import Event

from .errors import InputError
from .records import ApicRecord, CommitRecord, CoreRecord

__all__ = ["EventLog", "Namer"]


class Namer:
    """Typed records -> plain data, by the names of an image."""

    def __init__(self, image):
        self._label = image.label
        # An image has a few hundred words and a run millions of records.
        self._word = cache(image.name_of)

    def to_json(self, record, call):
        """A record and the Call it belongs to (or None) as plain data."""
        kind = type(record)
        if kind is CoreRecord:
            line = {"clock": record.clock, "source": "core", "core": record.core, "event": record.event.name, "pc": record.pc,
                    "label": self._label(record.pc), "enabled": record.enabled, "a": record.a, "b": record.b}
            if record.op is not None:
                line |= {"op": record.op.name, "address": record.address, "word": self._word(record.address),
                         "result": record.result}
            elif record.event is Event.FAULT:
                line["address"] = record.address
        elif kind is CommitRecord:
            line = {"clock": record.clock, "source": "bank", "bank": record.bank, "core": record.core, "op": record.op.name,
                    "address": record.address, "word": self._word(record.address), "old": record.old, "new": record.new}
        elif kind is ApicRecord:
            line = {"clock": record.clock, "source": "apic", "core": record.core, "event": record.event.name,
                    "vector": record.vector, "destination": record.destination}
        else:
            line = {"clock": record.clock, "source": "message", "core": record.source, "mode": record.mode,
                    "vector": record.vector, "destination": record.destination, "accepted": record.accepted}
        line["call"] = call and call.id
        return line


class EventLog:
    """Writes ``events.jsonl``: whole, or not at all.

    A context manager. What was there before is replaced when the block ends without an exception, and kept otherwise.
    Raises InputError if the file cannot be written.
    """

    def __init__(self, path, image):
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._namer = Namer(image)
        self._encode = json.JSONEncoder(separators=(",", ":")).encode

    def __enter__(self):
        try:
            self._file = self._part.open("w", encoding="utf-8", newline="\n")
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}", file=self._path) from error
        return self

    def add(self, record, call):
        """The next record, and the Call it belongs to (what ``CallTracker.add`` returned)."""
        self._file.write(self._encode(self._namer.to_json(record, call)) + "\n")

    def __exit__(self, kind, error, traceback):
        try:
            self._file.close()
            if kind is None:
                self._part.replace(self._path)
        finally:
            self._part.unlink(missing_ok=True)
