"""What a run shows that might have gone wrong in another: locks in opposite orders, locks that an interrupt may want; and what is
no fault, but may surprise: calls that overtake each other, and how long interrupts stay off.
"""

import re

from rtl.events import Event

from ..calls import TEST_AND_SET
from .oracle import Oracle

__all__ = ["InterruptsOff", "LockOrder", "OrderOfCalls"]


class LockOrder(Oracle):
    """Locks are judged by their kind, as the kernel's lockdep does: ``cfd_data[0].lock`` and ``cfd_data[1].lock`` are one.

    If one core takes a lock of kind B while it holds one of kind A, and another (or the same, at another time) the other way
    round, the two can wait for each other for ever. So can a core and its own handler, if the handler takes a lock of a kind that
    is elsewhere held with interrupts on: that is what irqsave and the ``_irq`` form of ipi_call_lock() are for.
    """

    name = "LOCKORDER"
    title = "locks are taken in one order, and what a handler takes is held with interrupts off"
    events = ((Event.LOCK_TRY, Event.LOCKED), Event.UNLOCK)

    def __init__(self, config, places):
        super().__init__(config, places)
        self._held = {}               # core -> {address of a lock that it holds: kind}, in the order in which they were taken
        self._before = {}             # (kind, kind that was taken while it was held) -> (core, clock)
        self._open = {}               # kind -> (core, clock) that took it with interrupts on
        self._handled = {}            # kind -> (core, clock) that took it in an interrupt
        self._told = set()

    def on_lock_try(self, record, tracker):
        if record.op in TEST_AND_SET and not record.result:
            self._taken(record, record.address, tracker)

    def on_locked(self, record, tracker):
        self._taken(record, record.a, tracker)

    def on_unlock(self, record, tracker):
        for held in self._held.values():
            held.pop(record.address, None)

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
        if kind in self._handled and kind in self._open:
            (core, clock), (other, then) = self._open[kind], self._handled[kind]
            self._tell(record, ("open", kind), tracker, f"core {core} took {kind} with interrupts on at clock {clock}, and core "
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


class OrderOfCalls(Oracle):
    """How often a target began with a call of some core after a later one of that core. Nobody promises the order, so this is told
    and not judged: ``overtaken`` calls, and the first of them. (The handler of 6.12 looks after waiting callers first, and so makes
    some.)"""

    name = "ORDER"
    title = "how often a call is overtaken by a later one of its caller, at one target (told, not judged)"
    events = (Event.REQUEST, Event.ISSUE, Event.RUN)

    def __init__(self, config, places):
        super().__init__(config, places)
        self._number = {}             # obligation -> the how manieth of its caller it is
        self._latest = {}             # (caller, target) -> the latest that has begun there
        self.overtaken = 0
        self.first = None

    def facts(self):
        return {"overtaken": self.overtaken, "first_overtaken": self.first}

    def on_issue(self, record, tracker):
        if tracker.obligation is not None:
            self._number[tracker.obligation] = len(self._number)

    def on_run(self, record, tracker):
        item = tracker.run.obligation if tracker.run is not None else None
        if item not in self._number or item.caller == record.core:
            return
        self.exercised += 1
        latest = self._latest.get((item.caller, record.core))
        if latest is not None and self._number[latest] > self._number[item]:
            self.overtaken += 1
            if self.first is None:
                self.first = (f"core {record.core} came to {tracker.call_of(item)} at clock {record.clock}, after "
                              f"{tracker.call_of(latest)}")
        else:
            self._latest[item.caller, record.core] = item


class InterruptsOff(Oracle):
    """For how long a core keeps interrupts off at a stretch, once the first call has been asked for: told, not judged."""

    name = "IRQSOFF"
    title = "for how long interrupts stay off (told, not judged)"

    def __init__(self, config, places):
        super().__init__(config, places)
        self._since = {}              # core -> clock since which its interrupts are off
        self._begun = False
        self.longest = 0
        self.handlers = dict.fromkeys(Event, self.on_any)

    def facts(self):
        return {"longest_irqs_off": self.longest}

    def on_any(self, record, tracker):
        self._begun |= record.event is Event.REQUEST
        # The last word that finds interrupts off is the one that opens them: what follows may be a HALT.
        if record.enabled or not self._begun:
            self._since.pop(record.core, None)
            return
        self.exercised = 1
        since = self._since.setdefault(record.core, record.clock)
        self.longest = max(self.longest, record.clock - since)
