"""``events.jsonl``: every record of a run as a line of JSON, with its names and the call that it belongs to.

The lines are described in ``docs/events.md``. Equal runs give equal bytes.
"""

import json
from functools import cache

from rtl.events import ApicEvent, Event

from .files import WholeFile
from .records import MESSAGE, ApicRecord, CommitRecord, CoreRecord, MessageRecord

__all__ = ["EventLog", "Namer"]


class Namer:
    """Typed records -> plain data, with the names of an image."""

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
                    **_message(record)}
        else:
            line = {"clock": record.clock, "source": "message", "core": record.source, "target": record.target, **_message(record)}
        line["call"] = call and call.id
        return line


def _message(record):
    """The message fields of a record; an accepted or ended interrupt has only its vector."""
    whole = type(record) is MessageRecord or record.event in (ApicEvent.SEND, ApicEvent.REFUSE)
    return {name: getattr(record, name) for name in (MESSAGE if whole else MESSAGE[:1])}


class EventLog:
    """Writes ``events.jsonl``: whole, or not at all.

    A context manager. The previous file is replaced when the block ends without an exception, and kept otherwise.
    Raises InputError if the file cannot be written.
    """

    def __init__(self, path, image):
        self._path = path
        self._namer = Namer(image)
        self._encode = json.JSONEncoder(separators=(",", ":")).encode

    def __enter__(self):
        self._file = WholeFile(self._path)
        return self

    def add(self, record, call):
        """Write the next record, and its Call (from ``CallTracker.add``)."""
        self._file.write(self._encode(self._namer.to_json(record, call)).encode() + b"\n")

    def __exit__(self, kind, error, traceback):
        with self._file:
            if kind is None:
                self._file.keep()
