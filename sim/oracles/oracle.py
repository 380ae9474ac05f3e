"""What an oracle is: one property, one class, fed with every record after the tracker."""

import re
from enum import Enum
from typing import NamedTuple

from rtl.events import ApicEvent, Event

from ..records import ApicRecord, CommitRecord, CoreRecord, MessageRecord

__all__ = ["Oracle", "Verdict", "Violation", "key_of", "listed", "listing"]


class Verdict(Enum):
    """What an oracle concludes about a run."""

    HOLDS = "holds"
    VIOLATED = "violated"
    #: Nothing happened that it could judge.
    NOT_EXERCISED = "not exercised"
    #: It needs something that the protocol, or the run, does not provide.
    NOT_JUDGED = "not judged"


class Violation(NamedTuple):
    """Something that must not happen.

    oracle : name of the property.  clock : when it was seen.  calls : ids of the calls concerned.  cores : likewise.
    sentence : what happened, in plain words, without a full stop.
    """

    oracle: str
    clock: int
    calls: tuple[str, ...]
    cores: tuple[int, ...]
    sentence: str

    def to_json(self):
        return self._asdict()


def key_of(record):
    """What selects the method of an oracle for a record: its event, or its class if it has none."""
    kind = type(record)
    return record.event if kind is CoreRecord or kind is ApicRecord else kind


def listing(cores):
    """[1, 2, 3] -> "cores 1, 2 and 3"."""
    cores = [str(core) for core in cores]
    if len(cores) == 1:
        return f"core {cores[0]}"
    return f"cores {', '.join(cores[:-1])} and {cores[-1]}"


def listed(text):
    """The cores that a text names, each once: one by one, or as ``listing`` does."""
    found = re.findall(r"\bcore (\d+)|\bcores ((?:\d+, )*\d+ and \d+)", text)
    return list(dict.fromkeys(int(core) for one, several in found for core in re.findall(r"\d+", one or several)))


_METHODS = {f"on_{event.name.lower()}": event for event in (*Event, *ApicEvent)} | {
    "on_commit": CommitRecord, "on_message": MessageRecord}


class Oracle:
    """Base of all oracles. A subclass defines ``name`` and ``title``, and has a method ``on_<event>(record, tracker)`` for each
    event that it wants to see (``on_woken``, ``on_accept``, ...), ``on_commit`` for the commit records, ``on_message`` for those of
    messages.

    Parameters
    ----------
    config : the MachineConfig.  places : the Places of the protocol's image.

    Members
    -------
    events : what the protocol must emit so that this can be judged: events, or tuples of events of which one suffices.
    violations : in the order in which they were found.
    exercised : how often there was something to judge.
    lacks : what it needs and does not have, in words; empty if it can judge.
    handlers : the ``on_`` methods, by the key of the records that they take (see ``key_of``).
    """

    name: str
    title: str
    events: tuple = ()

    def __init__(self, config, places):
        self.config = config
        self.places = places
        self.violations = []
        self.exercised = 0
        self.lacks = [f"the event {' or '.join(event.name for event in wanted)}" for wanted in map(_alternatives, self.events)
                      if not places.image.events.keys() & set(wanted)]
        self.handlers = {key: getattr(self, method) for method, key in _METHODS.items() if hasattr(self, method)}

    @property
    def verdict(self):
        if self.violations:
            return Verdict.VIOLATED
        if self.lacks:
            return Verdict.NOT_JUDGED
        return Verdict.HOLDS if self.exercised else Verdict.NOT_EXERCISED

    def add(self, record, tracker):
        """The next record; the tracker has taken it already."""
        handler = self.handlers.get(key_of(record))
        if handler is not None:
            handler(record, tracker)

    def finish(self, outcome, tracker):
        """The run has ended. Report what can be reported only now."""

    def facts(self):
        """What was measured, as plain data: name -> number."""
        return {}

    def to_json(self):
        return {"name": self.name, "title": self.title, "verdict": self.verdict.value, "exercised": self.exercised,
                "lacks": list(self.lacks)}

    def found(self, clock, sentence, *, calls=(), cores=()):
        """Record a violation. A call that is None is left out; calls and cores may be given twice."""
        ids = tuple(dict.fromkeys(call.id for call in calls if call is not None))
        self.violations.append(Violation(self.name, clock, ids, tuple(dict.fromkeys(cores)), sentence))


def _alternatives(wanted):
    return wanted if isinstance(wanted, tuple) else (wanted,)
