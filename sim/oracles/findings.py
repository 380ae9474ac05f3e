"""What the machine and the protocol say themselves: locks, warnings and traps."""

from .oracle import Oracle

__all__ = ["SpinLocks", "Traps", "Warnings"]


class SpinLocks(Oracle):
    """A spin lock that is held cannot be taken, not even by its holder, and only its holder gives it back."""

    name = "LOCK"
    title = "a spin lock has one holder, and its holder gives it back"

    def __init__(self, config, places):
        super().__init__(config, places)
        self._holders = {}            # address -> (core, clock)

    def on_lock_try(self, record, tracker):
        if record.result:
            return
        holder = self._holders.get(record.address)
        if holder is not None:
            self._tell(record, tracker, f"took {{}}, which core {holder[0]} holds since clock {holder[1]}", holder[0])
        self._holders[record.address] = record.core, record.clock

    def on_unlock(self, record, tracker):
        holder = self._holders.pop(record.address, None)
        if holder is None:
            self._tell(record, tracker, "gave back {}, which nobody holds", record.core)
        elif holder[0] != record.core:
            self._tell(record, tracker, f"gave back {{}}, which core {holder[0]} holds since clock {holder[1]}", holder[0])

    def _tell(self, record, tracker, sentence, other):
        lock = self.places.image.name_of(record.address)
        self.found(record.clock, f"at clock {record.clock} core {record.core} {sentence.format(lock)}", calls=[tracker.call],
                   cores=sorted({record.core, other}))


class Warnings(Oracle):
    """The protocol's own WARN_ONs."""

    name = "WARN"
    title = "no WARN_ON is hit"

    def on_warn(self, record, tracker):
        call = tracker.call
        name, sentence = self.places.image.warnings[record.pc]
        self.found(record.clock, f"core {record.core} warned at clock {record.clock}" + (f" in {call}" if call is not None else "")
                   + f": {name}: {sentence}", calls=[call], cores=[record.core])


class Traps(Oracle):
    """A core that traps stops for ever."""

    name = "TRAP"
    title = "no core traps"

    def on_panic(self, record, tracker):
        self._tell(record, tracker, "PANIC, a word that is no code or no entry point")

    def on_fault(self, record, tracker):
        self._tell(record, tracker, f"an access at {record.address:#x}, which is no memory")

    def on_stack_fault(self, record, tracker):
        self._tell(record, tracker, "its private stack ran over or under")

    def _tell(self, record, tracker, why):
        call = tracker.call
        where = self.places.image.label(record.pc) or f"{record.pc:#x}"
        self.found(record.clock, f"core {record.core} stopped at clock {record.clock} in {where}"
                   + (f", in {call}" if call is not None else "") + f": {why}", calls=[call], cores=[record.core])
