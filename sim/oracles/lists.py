"""What must hold of the lists of entries."""

from rtl.events import Event

from .oracle import Oracle

__all__ = ["BoundedWalk", "WellFormedList"]


def _walk_of(record, tracker):
    """A core walks once per level of interrupts at a time."""
    interrupt = tracker.interrupt_of(record.core)
    return record.core, 0 if interrupt is None else interrupt.level


class WellFormedList(Oracle):
    """An entry is added when it is in no list, and deleted when it is in one. No entry is its own successor. A walk of the queue
    ends at its head. A DEQUEUE and a LIST_DEL of one entry by one core are one deletion, in either order.
    """

    name = "O4"
    title = "the lists are well-formed, and a walk ends at the head"
    events = (Event.QUEUE, (Event.DEQUEUE, Event.LIST_DEL))

    def __init__(self, config, places):
        super().__init__(config, places)
        # If a protocol does not emit LIST_DEL, it is unknown when a taken entry is unlinked.
        self._silent = Event.LIST_DEL not in places.image.events
        self._linked = {}             # csd -> the clock since which it is in a list
        self._unlinked = {}           # csd -> the last deletion: clock, core, event
        self._at = {}                 # (core, level) of a walk -> the entry it is at, None at the head

    def on_take(self, record, tracker):
        if self._silent:
            self._linked.pop(record.a, None)

    def on_queue(self, record, tracker):
        if self.lacks:
            return
        self.exercised += 1
        csd, clock = record.b, record.clock
        if csd in self._linked:
            self._tell(record, tracker, csd, f"queued {{}} at clock {clock}, which has been queued since clock {self._linked[csd]}")
        self._linked[csd] = clock

    def on_dequeue(self, record, tracker):
        self._delete(record, tracker)

    def on_list_del(self, record, tracker):
        self._delete(record, tracker)

    def _delete(self, record, tracker):
        if self.lacks:
            return
        self.exercised += 1
        csd = record.a
        if self._linked.pop(csd, None) is not None:
            self._unlinked[csd] = record
            return
        last = self._unlinked.get(csd)
        if last is not None and last.core == record.core and last.event is not record.event:
            # The same deletion's other half; a third one would be another deletion.
            self._unlinked[csd] = last._replace(core=None)
            return
        why = "which was never queued" if last is None else f"which has been unlinked since clock {last.clock}"
        self._tell(record, tracker, csd, f"unlinked {{}} at clock {record.clock}, {why}")

    def on_commit(self, record, tracker):
        places = self.places
        if places.next_offset is None or self.lacks:
            return
        csd = record.address - places.next_offset
        if record.new == csd + places.link_offset and record.new != record.old and csd in self._linked:
            self._tell(record, tracker, csd, f"made {{}} its own successor at clock {record.clock}")

    def on_visit(self, record, tracker):
        self._at[_walk_of(record, tracker)] = None if record.a == record.b else record.a

    def on_handle_end(self, record, tracker):
        entry = self._at.pop(_walk_of(record, tracker), None)
        if entry is not None:
            self.found(record.clock, f"core {record.core} left its handler at clock {record.clock} in the middle of the queue, "
                       f"at {self.places.csd_name(entry)}", cores=[record.core])

    def _tell(self, record, tracker, csd, sentence):
        self.found(record.clock, f"core {record.core} {sentence.format(self.places.csd_name(csd))}", calls=[tracker.call],
                   cores=[record.core])


class BoundedWalk(Oracle):
    """How many entries one run of the handler visits.

    In v4 nothing bounds it: an entry that is queued again while a walker is at it takes the walker back to the head, and it visits
    all entries again. A queue holds at most one entry per core, so an undisturbed walk visits ``n_cores``. The default bound of
    ``16 * n_cores`` allows fifteen restarts from the very end. That is more than correct runs of scenarios show, and a walk in a
    ring soon reaches it.

    Parameters
    ----------
    bound : the most entries that a walk may visit, or None for the default.
    """

    name = "O10"
    title = "a handler looks at a bounded number of entries"
    events = (Event.VISIT,)

    def __init__(self, config, places, *, bound=None):
        super().__init__(config, places)
        self.bound = 16 * config.n_cores if bound is None else bound
        self.most = 0
        self._seen = {}               # (core, level) of a walk -> entries visited

    def facts(self):
        return {"most_visits": self.most}

    def on_handle(self, record, tracker):
        self._seen[_walk_of(record, tracker)] = 0

    def on_visit(self, record, tracker):
        self.exercised += 1
        if record.a == record.b:
            return
        walk = _walk_of(record, tracker)
        seen = self._seen[walk] = self._seen.get(walk, 0) + 1
        self.most = max(self.most, seen)
        if seen == self.bound + 1:
            self.found(record.clock, f"core {record.core} looks at entry {seen} of one walk at clock {record.clock}; "
                       f"at most {self.bound} are expected", cores=[record.core])
