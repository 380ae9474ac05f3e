"""What might go wrong in another run: locks in opposite orders, locks that an interrupt may need, memory freed too early."""

import re

from rtl.events import Event

from ..calls import TEST_AND_SET
from .oracle import Oracle, listing

__all__ = ["GracePeriod", "LockOrder"]


class LockOrder(Oracle):
    """Locks are judged by their kind, as the kernel's lockdep does: ``cfd_data[0].lock`` and ``cfd_data[1].lock`` are one.

    If one core takes a lock of kind B while it holds one of kind A, and another core (or the same, at another time) does the
    reverse, the two can wait for each other for ever. So can a core and its own handler, if the handler takes a lock of a kind
    that is held elsewhere with interrupts on. The irqsave and ``_irq`` forms prevent this.
    """

    name = "LOCKORDER"
    title = "locks are taken in one order, and a lock that a handler takes is held with interrupts off"
    events = ((Event.LOCK_TRY, Event.LOCKED), Event.UNLOCK)

    def __init__(self, config, places):
        super().__init__(config, places)
        self._held = {}               # core -> {address of a lock that it holds: kind}, in the order in which they were taken
        self._before = {}             # (kind, kind that was taken while it was held) -> (core, clock)
        self._open = {}               # kind -> (core, clock) that took or released it with interrupts on
        self._handled = {}            # kind -> (core, clock) that took it in an interrupt
        self._told = set()

    def on_lock_try(self, record, tracker):
        if record.op in TEST_AND_SET and not record.result:
            self._taken(record, record.address, tracker)

    def on_locked(self, record, tracker):
        self._taken(record, record.a, tracker)

    def on_unlock(self, record, tracker):
        for core, held in self._held.items():
            kind = held.pop(record.address, None)
            # Interrupts may have been switched on since it was taken.
            if kind is not None and core == record.core and record.enabled and tracker.interrupt_of(core) is None:
                self._open.setdefault(kind, (core, record.clock))
                self._check_interrupts(record, kind, tracker)

    def _taken(self, record, address, tracker):
        self.exercised += 1
        kind = re.sub(r"\[\d+\]", "", self.places.image.name_of(address))
        here = record.core, record.clock
        held = self._held.setdefault(record.core, {})
        for other in dict.fromkeys(held.values()):
            if other != kind:
                self._before.setdefault((other, kind), here)
                self._check_order(record, other, kind, tracker)
        held[address] = kind
        if tracker.interrupt_of(record.core) is not None:
            self._handled.setdefault(kind, here)
        elif record.enabled:
            self._open.setdefault(kind, here)
        self._check_interrupts(record, kind, tracker)

    def _check_interrupts(self, record, kind, tracker):
        if kind in self._handled and kind in self._open:
            (core, clock), (other, then) = self._open[kind], self._handled[kind]
            self._tell(record, ("open", kind), tracker, f"core {core} held {kind} with interrupts on at clock {clock}, and core "
                       f"{other} took it in an interrupt at clock {then}", core, other)

    def _check_order(self, record, first, second, tracker):
        if (second, first) in self._before:
            core, clock = self._before[second, first]
            self._tell(record, frozenset((first, second)), tracker, f"core {record.core} took {second} while it held {first} at "
                       f"clock {record.clock}, and core {core} the other way round at clock {clock}", record.core, core)

    def _tell(self, record, what, tracker, sentence, *cores):
        if what not in self._told:
            self._told.add(what)
            self.found(record.clock, sentence, calls=[tracker.call], cores=sorted(set(cores)))


class GracePeriod(Oracle):
    """RCU's rule, for objects that walkers visit. (VISIT is for walks that hold no lock. A csd that only its target's handler takes
    out of a queue is no such object.)

    Which walkers are past the object when it is freed is a matter of a few clocks, so all walks count that were under way when it
    was unlinked. A walk that begins later cannot come to it. Not exercised by a protocol that frees no such object.
    """

    name = "GRACE"
    title = "what walkers visit is freed only after all walks have ended that were under way when it was unlinked"

    def __init__(self, config, places):
        super().__init__(config, places)
        self._walks = {}              # core -> clock of the first visit of its walk
        self._visited = set()         # objects, since they were allocated
        self._unlinked = {}           # object -> (clock, the walks that were under way)

    def on_alloc(self, record, tracker):
        self._visited.discard(record.a)
        self._unlinked.pop(record.a, None)

    def on_visit(self, record, tracker):
        self._walks.setdefault(record.core, record.clock)
        self._visited.add(record.a)

    def on_handle_end(self, record, tracker):
        self._walks.pop(record.core, None)

    def on_list_del(self, record, tracker):
        if record.a in self._visited:
            self._unlinked[record.a] = record.clock, dict(self._walks)

    def on_free(self, record, tracker):
        if record.a not in self._unlinked:
            return
        self.exercised += 1
        clock, walks = self._unlinked.pop(record.a)
        late = [core for core, began in walks.items() if self._walks.get(core) == began]
        if late:
            name, readers = self.places.csd_name(record.a), listing(sorted(late))
            self.found(record.clock, f"core {record.core} freed {name} at clock {record.clock}, and the walk of {readers} has not "
                       f"ended since it was unlinked at clock {clock}", calls=[tracker.call], cores=sorted({record.core, *late}))
