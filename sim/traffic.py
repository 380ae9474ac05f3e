"""What a run costs: memory operations, words that move between cores, locks, interrupts; from the first request for a call on."""

from collections import Counter, defaultdict

from rtl.events import ApicEvent, Event
from rtl.memory.port import MemoryOp
from sim.calls import CallTracker
from sim.records import ApicRecord, CommitRecord, CoreRecord

__all__ = ["Traffic"]


class Traffic:
    """Counts, as the records come.

    A word *bounces* when a core uses it after another core has stored into it, or stores into it after another has used it: this
    would move a cache line if each word had one.

    Parameters
    ----------
    image : of the run.
    """

    def __init__(self, image):
        self._image = image
        self._begun = False
        self._operations = Counter()
        self._users = {}                  # address -> (last core to store, all cores that have used it since)
        self._bounces = Counter()         # address -> how often
        self._locks = defaultdict(_Lock)
        self._held = {}                   # address -> clock since which it is held
        self._sent = self._saved = 0

    def add(self, record, tracker: CallTracker):
        """The next record, after the tracker has processed it."""
        kind = type(record)
        if kind is CoreRecord:
            self._begun |= record.event is Event.REQUEST
            if self._begun:
                self._core(record)
        elif self._begun and kind is CommitRecord:
            self._commit(record)
        elif self._begun and kind is ApicRecord and record.event is ApicEvent.SEND:
            self._sent += tracker.call is not None

    def _core(self, record):
        event = record.event
        if event is Event.LOCK_TRY and record.op is not MemoryOp.READ:
            lock = self._locks[record.address]
            if record.result:
                lock.failed += 1
            else:
                lock.taken += 1
                self._held[record.address] = record.clock
        elif event is Event.LOCKED:
            self._locks[record.a].taken += 1
            self._held[record.a] = record.clock
        elif event is Event.UNLOCK and record.address in self._held:
            self._locks[record.address].add(record.clock - self._held.pop(record.address))
        elif event is Event.NOIPI:
            self._saved += 1

    def _commit(self, record):
        operation = "loads" if record.op is MemoryOp.READ else "stores" if record.op is MemoryOp.WRITE else "atomic"
        self._operations[operation] += 1
        owner, users = self._users.get(record.address, (None, frozenset()))
        stores = operation != "loads"
        others = users - {record.core} if stores else users and {owner} - {record.core, None}
        if others and (stores or record.core not in users):
            self._bounces[record.address] += 1
        self._users[record.address] = (record.core, frozenset({record.core})) if stores else (owner, users | {record.core})

    def to_json(self):
        """As plain data; words and locks by name, those that bounce most and are held longest first."""
        name = self._image.name_of
        return {
            "operations": {kind: self._operations[kind] for kind in ("loads", "stores", "atomic")},
            "words": len(self._users),
            "bounces": sum(self._bounces.values()),
            "bouncing": {name(address): count for address, count in self._bounces.most_common()},
            "locks": {name(address): vars(lock) for address, lock in
                      sorted(self._locks.items(), key=lambda item: -item[1].clocks)},
            "interrupts": {"sent": self._sent, "saved": self._saved},
        }


class _Lock:
    """How often a lock was taken, how often a try failed, for how many clocks it was held in total, and the longest time."""

    def __init__(self):
        self.taken = self.failed = self.clocks = self.longest = 0

    def add(self, clocks):
        self.clocks += clocks
        self.longest = max(self.longest, clocks)
