"""What a word may emit, and with which operands: from the comments on the events in the hardware (rtl/events.py)."""

import inspect
import re
from typing import NamedTuple

from rtl.events import Event

__all__ = ["EVENTS", "SIGNATURES", "Signature", "comments"]

EVENTS = {name: event for name, event in Event.__members__.items() if event is not Event.NONE}


def comments(kind):
    """The ``#:`` comment before each field or member of a class, by name."""
    found, pending = {}, []
    for line in inspect.getsource(kind).splitlines():
        line = line.strip()
        name = re.match(r"(\w+)\s*[:=]", line)
        if line.startswith("#:"):
            pending.append(line.removeprefix("#:").strip())
        elif name and pending:
            found[name[1]] = " ".join(pending)
            pending = []
    return found


class Signature(NamedTuple):
    """The operands of an event.

    operands : "a" or "b" -> what it is: ``a: csd, b: flags stored`` in the comment.
    hardware : only hardware emits it.  memory : it belongs to a memory operation, and is about its address.
    """

    operands: dict
    hardware: bool
    memory: bool

    def __str__(self):
        return ", ".join(f"{name}: {what}" for name, what in self.operands.items()) or "no operand"


def _signature(event, text):
    return Signature(dict(re.findall(r"\b([ab]): ([^,;.]+)", text)), "Emitted by hardware" in text,
                     event in (Event.LOCK_TRY, Event.UNLOCK))


_TEXTS = comments(Event)
#: For each event but WARN, whose operand is the name of a .warn.
SIGNATURES = {event: _signature(event, _TEXTS[name]) for name, event in EVENTS.items() if event is not Event.WARN}
