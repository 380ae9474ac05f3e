"""What the machine and the protocol report themselves: locks, warnings and traps."""

from rtl.events import Event

from ..calls import TEST_AND_SET
from .oracle import Oracle

__all__ = ["SpinLocks", "Traps", "Warnings"]


class SpinLocks(Oracle):
    """A held spin lock cannot be taken, not even by its holder, and only its holder releases it. (REST judges that none is held at
    the end.)

    A lock that is not a test-and-set emits LOCKED when it is taken. A lock that emits only UNLOCK is not judged.
    """

    name = "LOCK"
    title = "a spin lock has one holder, and its holder releases it"
    events = ((Event.LOCK_TRY, Event.LOCKED), Event.UNLOCK)

    def __init__(self, config, places):
        super().__init__(config, places)
        self._holders = {}            # address -> (core, clock)
        self._known = set()           # addresses of locks that report when they are taken

    def on_lock_try(self, record, tracker):
        if record.op in TEST_AND_SET and not record.result:
            self._taken(record, record.address, tracker)

    def on_locked(self, record, tracker):
        self._taken(record, record.a, tracker)

    def _taken(self, record, address, tracker):
        self.exercised += 1
        self._known.add(address)
        holder = self._holders.get(address)
        if holder is not None:
            self._tell(record, address, tracker, f"took {{}}, which core {holder[0]} has held since clock {holder[1]}", holder[0])
        self._holders[address] = record.core, record.clock

    def on_unlock(self, record, tracker):
        holder = self._holders.pop(record.address, None)
        if holder is None and record.address in self._known:
            self._tell(record, record.address, tracker, "released {}, which nobody holds", record.core)
        elif holder is not None and holder[0] != record.core:
            self._tell(record, record.address, tracker, f"released {{}}, which core {holder[0]} has held since clock {holder[1]}",
                       holder[0])

    def _tell(self, record, address, tracker, sentence, other):
        lock = self.places.image.name_of(address)
        self.found(record.clock, f"at clock {record.clock} core {record.core} {sentence.format(lock)}", calls=[tracker.call],
                   cores=sorted({record.core, other}))


class Warnings(Oracle):
    """The protocol's own WARN_ONs."""

    name = "WARN"
    title = "no WARN_ON is hit"

    def finish(self, outcome, tracker):
        # A WARN_ON that is passed without a warning leaves no record, so the number of WARN_ONs is what counts.
        self.exercised = len(self.places.image.events.get(Event.WARN, ()))

    def on_warn(self, record, tracker):
        call = tracker.call
        name, sentence = self.places.image.warnings[record.pc]
        self.found(record.clock, f"core {record.core} warned at clock {record.clock}" + (f" in {call}" if call is not None else "")
                   + f": {name}: {sentence}", calls=[call], cores=[record.core])


class Traps(Oracle):
    """A core that traps stops for ever."""

    name = "TRAP"
    title = "no core traps"

    def finish(self, outcome, tracker):
        self.exercised = outcome.clocks

    def on_panic(self, record, tracker):
        self._tell(record, tracker, "PANIC: a word that is not code or not an entry point")

    def on_fault(self, record, tracker):
        self._tell(record, tracker, f"an access to {record.address:#x}, which is outside memory")

    def on_stack_fault(self, record, tracker):
        self._tell(record, tracker, "its private stack overflowed or underflowed")

    def _tell(self, record, tracker, why):
        call = tracker.call
        where = self.places.image.label(record.pc) or f"{record.pc:#x}"
        self.found(record.clock, f"core {record.core} stopped at clock {record.clock} in {where}"
                   + (f", in {call}" if call is not None else "") + f": {why}", calls=[call], cores=[record.core])
