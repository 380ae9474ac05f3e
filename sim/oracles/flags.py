"""What must hold of a csd between two uses."""

from rtl.events import Event
from rtl.memory.port import MemoryOp

from .oracle import Oracle

__all__ = ["GivenBack", "NestedOwner", "UnlockOfUnlocked"]


class UnlockOfUnlocked(Oracle):
    """Judged at the commit of the store: until then the flags that the unlock clears were there."""

    name = "O6"
    title = "a csd is unlocked only when it is locked"
    events = (Event.CSD_UNLOCK,)

    def __init__(self, config, places):
        super().__init__(config, places)
        if not places.lock:
            self.lacks.append("the role flag.lock")

    def on_commit(self, record, tracker):
        origin = tracker.origin
        if self.lacks or origin is None or origin.event is not Event.CSD_UNLOCK:
            return
        self.exercised += 1
        if not record.old & self.places.lock:
            self.found(record.clock, f"core {record.core} unlocked {self.places.csd_name(origin.a)} at clock {record.clock}, "
                       "which was not locked", calls=[tracker.call], cores=[record.core])


class GivenBack(Oracle):
    """A csd is its owner's again from the store that leaves neither WAIT nor LOCK in its flags, or, if it never had any, when its
    function begins: the owner may fill it again, and if it is on a stack the frame may be gone. So until it is queued or locked
    again, no other core accesses its function, info and flags; for a csd on a stack, no word of it. (A core that walks a list may
    still read the ``next`` of an entry that has been removed.) And a frame is not popped while a csd in it is queued or has flags.

    An allocated csd has no owner, but is in use until it is freed. From then until it is allocated again no core accesses a word
    of the object, not even the one that freed it; and it is not freed again.

    A csd that more than one core queues, or that is declared for one core and queued by another, has no owner and is not judged.
    Nor are the csds of an offline core: the core that brings it back fills them.
    """

    name = "O7"
    title = "no other core accesses a csd that its owner has back, and no stack frame ends while its csd is in use"
    events = (Event.QUEUE, (Event.CSD_UNLOCK, Event.COMPLETE, Event.DEQUEUE))

    def __init__(self, config, places):
        super().__init__(config, places)
        if places.flags_offset is None:
            self.lacks.append("the role csd.flags")
        elif not places.lock | places.wait:
            self.lacks.append("the roles flag.wait or flag.lock")
        self._owners = {}             # csd -> (the call it was queued for, its owner); None: it has none
        self._gone = {}               # word that no other core may access -> (csd, clock)
        self._queued = {}             # csd on a stack -> clock since which it is in a list
        self._taken = {}              # core -> csd without flags that its handler has taken
        self._pointers = {address: core for core, address in places.stack_pointers.items()}
        self._freed = {}              # word of a free object -> (the object, who freed it, when)

    def on_alloc(self, record, tracker):
        for word in self.places.object_words(record.a):
            self._freed.pop(word, None)
        self._take_back(record.a)
        self._owners.pop(record.a, None)

    def on_free(self, record, tracker):
        self.exercised += 1
        if record.a in self._freed:
            self._tell_freed(record, tracker, record.a, "freed")
        for word in self.places.object_words(record.a):
            self._freed[word] = record.a, record.core, record.clock

    def _tell_freed(self, record, tracker, word, did):
        csd, core, clock = self._freed[word]
        self.found(record.clock, f"core {record.core} {did} {self.places.image.name_of(word)} at clock {record.clock}, "
                   f"which core {core} freed at clock {clock}", calls=[tracker.call], cores=sorted({record.core, core}))

    def on_csd_lock(self, record, tracker):
        self._take_back(record.a)

    def on_offline(self, record, tracker):
        """The core that prepares the return of this one fills its csds."""
        for csd, owned in self._owners.items():
            if owned and record.b >> owned[1] & 1:
                self._take_back(csd)

    def on_queue(self, record, tracker):
        csd = record.b
        call, owner = self._owners.get(csd) or (None, record.core)
        declared = self.places.cpu_of(csd)
        shared = csd in self._owners and self._owners[csd] is None or owner != record.core
        self._owners[csd] = None if shared or declared not in (None, record.core) else (tracker.call, record.core)
        self._take_back(csd)
        if csd in self.places.stack_words:
            self._queued[csd] = record.clock

    def on_dequeue(self, record, tracker):
        self._unlink(record.a)
        self._taken[record.core] = record.a

    def on_list_del(self, record, tracker):
        self._unlink(record.a)

    def _unlink(self, csd):
        self._queued.pop(csd, None)

    def on_run(self, record, tracker):
        csd = self._taken.pop(record.core, None)
        if csd is not None and self._owners.get(csd) and not self.lacks and not self._flags(tracker.arena.get(
                csd + self.places.flags_offset, 0)):
            self._give_back(csd, record.clock)

    def _flags(self, word):
        return word & (self.places.lock | self.places.wait | self.places.alloc)

    def _take_back(self, csd):
        for word in self.places.csd_words(csd):
            self._gone.pop(word, None)
        # Whoever has taken it for its last use may still be about to run the function: that no longer gives anything back. (The
        # lock of the next use is perhaps in a store buffer, so its flags do not tell.)
        self._taken = {core: taken for core, taken in self._taken.items() if taken != csd}

    def _give_back(self, csd, clock):
        self.exercised += 1
        words = self.places.csd_words(csd)
        for word in words if csd in self.places.stack_words else self.places.csd_payload(csd):
            self._gone.setdefault(word, (csd, clock))

    def on_commit(self, record, tracker):
        if self.lacks:
            return
        if record.address in self._freed:
            self._tell_freed(record, tracker, record.address, "touched")
        gone = self._gone.get(record.address)
        if gone is not None:
            csd, clock = gone
            call, owner = self._owners[csd] or (None, record.core)
            if record.core != owner:
                self.found(record.clock, f"core {record.core} touched {self.places.csd_name(csd)} at clock {record.clock}, "
                           f"which core {owner} has had back since clock {clock}", calls=[call], cores=[record.core, owner])
        if record.address in self._pointers and record.op is not MemoryOp.READ:
            self._pop(record, tracker, self._pointers[record.address])
        csd = record.address - self.places.flags_offset
        if csd in self._owners and record.op is not MemoryOp.READ:
            # A store of the owner gives nothing back.
            owned = self._owners[csd] and record.core != self._owners[csd][1]
            if owned and record.old != record.new and not self._flags(record.new):
                self._give_back(csd, record.clock)

    def _pop(self, record, tracker, core):
        """The stack of a core ends at ``record.new`` from now on; for the core itself, since it has executed the store. What it has
        queued since then is in another frame."""
        executed = record.clock if tracker.origin is None else tracker.origin.clock
        for csd, clock in list(self._queued.items()):
            if self.places.stack_words[csd] == core and record.new <= csd < record.old and clock <= executed:
                del self._queued[csd]
                self.found(record.clock, f"core {core} popped {self.places.csd_name(csd)} from its stack at clock {record.clock}, "
                           f"which has been queued since clock {clock}", calls=[tracker.call], cores=[core])


class NestedOwner(Oracle):
    """csd_lock() reads and then writes, so it is safe only for one context per core. An interrupt between the two, or during the
    call, creates a second owner if it makes a call itself."""

    name = "O11"
    title = "a csd has one owner at a time"
    events = (Event.CSD_LOCK,)

    def __init__(self, config, places):
        super().__init__(config, places)
        self._users = {}              # csd -> the calls that locked it and had not returned

    def on_csd_lock(self, record, tracker):
        self.exercised += 1
        call, csd = tracker.call, record.a
        users = self._users[csd] = [user for user in self._users.get(csd, ()) if not user.returned]
        for user in users:
            if user is not call:
                self.found(record.clock, f"{call or f'core {record.core}'} locked {self.places.csd_name(csd)} at clock "
                           f"{record.clock}, in the middle of {user}", calls=[call, user], cores=[record.core])
        if call is not None and call not in users:
            users.append(call)

    def on_commit(self, record, tracker):
        origin = tracker.origin
        if origin is not None and origin.event is Event.CSD_LOCK and record.old & self.places.lock:
            call = tracker.call
            self.found(record.clock, f"{call or f'core {record.core}'} locked {self.places.csd_name(origin.a)} at clock "
                       f"{record.clock}, which was locked", calls=[call], cores=[record.core])
