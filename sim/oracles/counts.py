"""What must hold of the count of remaining targets, and of the masks."""

from rtl.apic.message import DeliveryMode
from rtl.events import Event

from .oracle import Oracle, listing

__all__ = ["Countdown", "InterruptMask", "SentInterrupts"]


class Countdown(Oracle):
    """The count never falls below 0. When an entry is deleted, its count is 0 and its mask is empty.

    The words are followed by what became visible. A core that deletes an entry has taken a lock since it stored them, so a store
    buffer hides nothing.
    """

    name = "O5"
    title = "refs never falls below 0, and is 0 exactly when the mask is empty"
    events = (Event.REFS,)

    def __init__(self, config, places):
        super().__init__(config, places)
        if not places.tallies:
            self.lacks.append("the roles targets.count and targets.mask, beside a csd")
        self._limit = 1 << config.xlen - 1
        self._counted = set()         # csds whose count has been stored since they were deleted last

    def on_refs(self, record, tracker):
        self.exercised += 1
        self._counted.add(record.a)
        if record.b >= self._limit:
            self._tell(record, tracker, f"took refs of {self.places.csd_name(record.a)} to {record.b - 2 * self._limit}")

    def on_list_del(self, record, tracker):
        place = self.places.tallies.get(record.a)
        if place is None and record.a in self._counted:
            place = self.places.tally_on_stack(record.a)
        self._counted.discard(record.a)
        if place is None or self.lacks:
            return
        arena = tracker.arena
        refs = arena.get(place.refs, 0)
        mask = arena.get(arena.get(place.mask, 0) if place.pointer else place.mask, 0)
        if refs or mask:
            self._tell(record, tracker, f"deleted {self.places.csd_name(record.a)} with refs {refs} and mask {mask:#x}")

    def _tell(self, record, tracker, what):
        self.found(record.clock, f"core {record.core} {what} at clock {record.clock}", calls=[tracker.call], cores=[record.core])


class InterruptMask(Oracle):
    """The mask that the send path reads is not empty, and names only online cores. An interrupt goes only to a core that exists
    and was online when it was sent or when it arrived.

    In v4 the mask is read after the entry was published, when a target that another interrupt has brought into the handler may have
    cleared its bit.
    """

    name = "O12"
    title = "the mask given to the APIC is not empty, and interrupts go only to cores that are online"

    def __init__(self, config, places):
        super().__init__(config, places)
        self._sent = {}               # source -> (the cores that its last message names, the online mask when it was sent)

    def on_ipi_mask(self, record, tracker):
        call, mask, online = tracker.call, record.a, record.b
        self.exercised += 1
        who = call or f"core {record.core}"
        offline = [core for core in range(self.config.xlen) if mask & ~online & 1 << core]
        if not mask:
            self.found(record.clock, f"{who} gave an empty mask to the APIC at clock {record.clock}", calls=[call],
                       cores=[record.core])
        if offline:
            self.found(record.clock, f"{who} gave mask {mask:#x} to the APIC at clock {record.clock}, in which "
                       f"{listing(offline)} {'is' if len(offline) == 1 else 'are'} not online", calls=[call], cores=offline)

    def on_send(self, record, tracker):
        self._sent[record.core] = record.named(self.config.n_cores), tracker.book.online

    def on_message(self, record, tracker):
        named, then = self._sent.get(record.source, ((), 0))
        online = tracker.book.online | then
        if record.mode != DeliveryMode.FIXED.value or Event.ONLINE not in self.places.image.events:
            return
        self.exercised += 1
        who = tracker.call or f"core {record.source}"
        if record.target is None:
            # If there is such a core, a fault of the fabric has lost the message, and the sender has done nothing wrong.
            if not named:
                self.found(record.clock, f"{who} sent interrupt {record.vector:#x} to {record.destination:#x}, which is not a "
                           f"core; it was lost at clock {record.clock}", calls=[tracker.call], cores=[record.source])
        elif not online >> record.target & 1:
            self.found(record.clock, f"{who} sent interrupt {record.vector:#x} to core {record.target}, which is not online; "
                       f"it arrived at clock {record.clock}", calls=[tracker.call], cores=[record.target])


class SentInterrupts(Oracle):
    """The interrupts that a call sends after it has read its mask go to cores of that mask. (A core that has come online since may
    get one as well, because "all but the sender" is read from the live online mask.)"""

    name = "SENT"
    title = "interrupts are sent only to cores of the mask that was read for it"
    events = (Event.IPI_MASK,)

    def __init__(self, config, places):
        super().__init__(config, places)
        self._masks = {}              # core -> (its call, the mask that it read, the online mask then)

    def on_ipi_mask(self, record, tracker):
        self._masks[record.core] = tracker.call, record.a, record.b

    def on_send(self, record, tracker):
        call, mask, online = self._masks.get(record.core, (None, 0, 0))
        if call is None or call is not tracker.call:
            return
        self.exercised += 1
        for core in record.named(self.config.n_cores):
            if (online & ~mask) >> core & 1:
                self.found(record.clock, f"{call} sent an interrupt to core {core} at clock {record.clock}, which is not in the "
                           f"mask {mask:#x} that it had read", calls=[call], cores=[core])
