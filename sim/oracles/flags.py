"""What must hold of a csd between two uses."""

from rtl.events import Event

from .oracle import Oracle

__all__ = ["NestedOwner", "StackReuse", "UnlockOfUnlocked"]


class UnlockOfUnlocked(Oracle):
    """Seen at the commit of the store: what the unlock cleared was there until then."""

    name = "O6"
    title = "a csd is unlocked only when it is locked"

    def on_commit(self, record, tracker):
        origin = tracker.origin
        if origin is not None and origin.event is Event.CSD_UNLOCK and not record.old & self.places.lock:
            self.found(record.clock, f"core {record.core} unlocked {self.places.csd_name(origin.a)} at clock {record.clock}, "
                       "which was not locked", calls=[tracker.call], cores=[record.core])


class StackReuse(Oracle):
    """A csd on its caller's stack is the caller's again from the store that leaves neither WAIT nor LOCK in its flags: the frame
    may be gone. So from there nobody else reads or writes it, until it is queued again."""

    name = "O7"
    title = "nobody touches a csd on a stack after the store that completed it"

    def __init__(self, config, places):
        super().__init__(config, places)
        self._owners = {}             # csd on a stack -> (the call it was queued for, its caller)
        self._gone = {}               # each word of a csd that is its owner's again -> (csd, clock)

    def on_queue(self, record, tracker):
        csd = record.b
        if csd in self.places.stack_words:
            self._owners[csd] = tracker.call, record.core
            for word in range(csd, csd + self.places.csd_size):
                self._gone.pop(word, None)

    def on_commit(self, record, tracker):
        gone = self._gone.get(record.address)
        if gone is not None:
            csd, clock = gone
            call, owner = self._owners[csd]
            if record.core != owner:
                self.found(record.clock, f"core {record.core} touched {self.places.csd_name(csd)} at clock {record.clock}, "
                           f"which core {owner} has back since clock {clock}", calls=[call], cores=[record.core, owner])
        origin = tracker.origin
        if origin is None or origin.event is not Event.COMPLETE and origin.event is not Event.CSD_UNLOCK:
            return
        if origin.a in self._owners and not record.new & (self.places.lock | self.places.wait):
            for word in range(origin.a, origin.a + self.places.csd_size):
                self._gone.setdefault(word, (origin.a, record.clock))


class NestedOwner(Oracle):
    """csd_lock() reads and then writes, so it is safe only for one context per core. An interrupt between the two, or in the
    middle of the call, that itself calls makes a second owner."""

    name = "O11"
    title = "a csd has one owner at a time"

    def __init__(self, config, places):
        super().__init__(config, places)
        self._users = {}              # csd -> the calls that locked it and had not returned

    def on_csd_lock(self, record, tracker):
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
