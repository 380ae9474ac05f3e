"""What an oracle is: one property, one class, fed with every record after the tracker."""

from typing import NamedTuple

from rtl.events import ApicEvent, Event

from ..records import ApicRecord, CommitRecord, CoreRecord

__all__ = ["Oracle", "Violation", "key_of", "listing"]


class Violation(NamedTuple):
    """Something that must not be.

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
    """By what records are handed to the methods of oracles: the event, or the class of a record that has none."""
    kind = type(record)
    return record.event if kind is CoreRecord or kind is ApicRecord else kind


def listing(cores):
    """[1, 2, 3] -> "cores 1, 2 and 3"."""
    cores = [str(core) for core in cores]
    if len(cores) == 1:
        return f"core {cores[0]}"
    return f"cores {', '.join(cores[:-1])} and {cores[-1]}"


_METHODS = {f"on_{event.name.lower()}": event for event in (*Event, *ApicEvent)} | {"on_commit": CommitRecord}


class Oracle:
    """Base of all oracles. A subclass says ``name`` and ``title``, and has a method ``on_<event>(record, tracker)`` for each
    event that it wants to see (``on_woken``, ``on_accept``, ...), and ``on_commit`` for the commit records.

    Parameters
    ----------
    config : the MachineConfig.  places : the Places of the protocol's image.

    Members
    -------
    violations : in the order in which they were found.
    handlers : what ``on_`` methods there are, by the key of the records they take (see ``key_of``).
    """

    name: str
    title: str

    def __init__(self, config, places):
        self.config = config
        self.places = places
        self.violations = []
        self.handlers = {key: getattr(self, method) for method, key in _METHODS.items() if hasattr(self, method)}

    def add(self, record, tracker):
        """The next record; the tracker has taken it already."""
        handler = self.handlers.get(key_of(record))
        if handler is not None:
            handler(record, tracker)

    def finish(self, outcome):
        """The run has ended. What can be said only now is said now."""

    def facts(self):
        """What was measured on the way, as plain data: name -> number."""
        return {}

    def found(self, clock, sentence, *, calls=(), cores=()):
        """Keep a violation. None among the calls is left out."""
        ids = tuple(call.id for call in calls if call is not None)
        self.violations.append(Violation(self.name, clock, ids, tuple(cores), sentence))
