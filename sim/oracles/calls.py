"""What a caller may rely on."""

from ..calls import Stage
from ..engines.engine import Ending
from .oracle import Oracle, listing

__all__ = ["EarlyReturn", "FunctionAndInfo", "LostCall", "LostInterrupt", "OnceEach"]


class EarlyReturn(Oracle):
    """A caller that waits goes on only when the function has ended on every target: looked at when it is woken, and again when
    it returns. A wait for one csd of several is for the target of that csd."""

    name = "O1"
    title = "a call that waits returns only after the function has ended on every target"

    def __init__(self, config, places):
        super().__init__(config, places)
        self._told = set()            # calls that went on too early, and about which this was said

    def on_woken(self, record, tracker):
        call = tracker.call
        if call is not None:
            waited_for = {entry.target for entry in call.entries if entry.csd == record.a}
            # Nobody waits for the function that the caller runs itself.
            late = [core for core in call.unfinished
                    if core in waited_for or waited_for <= {None} and core != call.caller]
            self._judge(record, call, late, "was woken")

    def on_return(self, record, tracker):
        call = tracker.call
        if call is not None and call.wait and call.returned:
            self._judge(record, call, call.unfinished, "returned")

    def _judge(self, record, call, late, what):
        if late and call.id not in self._told:
            self._told.add(call.id)
            self.found(record.clock, f"{listing(late)} had not finished the function when {call} {what} at clock {record.clock}",
                       calls=[call], cores=late)


class OnceEach(Oracle):
    """No target runs the function twice, nobody else runs it, and no function is run for no call. (That every target runs it at
    all is O3.)"""

    name = "O2"
    title = "the function of a call runs exactly once on each target, and nowhere else"

    def on_func_entry(self, record, tracker):
        call, core, clock = tracker.call, record.core, record.clock
        if call is None:
            self.found(clock, f"core {core} ran {tracker.function_name(record.a)} at clock {clock} for no call", cores=[core])
            return
        visit = call.visit(core)
        if core not in call.targets:
            self.found(clock, f"core {core} ran the function of {call} at clock {clock}, but is none of its targets",
                       calls=[call], cores=[core])
        elif visit.runs > 1:
            self.found(clock, f"core {core} ran the function of {call} again at clock {clock}, "
                       f"after it had at clock {visit.at(Stage.ENTRY)}", calls=[call], cores=[core])


class LostCall(Oracle):
    """When everything has come to rest, every call has returned, every waiter was woken, every target has run the function, and
    no csd is locked. A call that returned an error owes nothing to its targets."""

    name = "O3"
    title = "no call is lost, and no csd stays locked"

    def __init__(self, config, places):
        super().__init__(config, places)
        self._calls = {}

    def on_call(self, record, tracker):
        self._calls[tracker.call.id] = tracker.call

    def finish(self, outcome):
        if outcome.ending is not Ending.QUIET:
            return
        clock = outcome.clocks
        for call in self._calls.values():
            if not call.returned:
                what = "was never woken" if call.waiting else "never returned"
                self.found(clock, f"{call} {what}", calls=[call], cores=[call.caller])
            late = [] if call.error is not None else call.unfinished
            if late:
                self.found(clock, f"{call} is lost: {listing(late)} never finished the function", calls=[call], cores=late)
        for csd in self.places.csds.values():
            if self.places.flags_offset is not None and outcome.arena[csd.address + self.places.flags_offset] & self.places.lock:
                self.found(clock, f"{csd.name} is still locked at the end of the run, at clock {clock}")


class FunctionAndInfo(Oracle):
    """What a target runs is what the caller asked for, not what a later or an earlier use of the csd did."""

    name = "O8"
    title = "function and info are those of the call whose bit was set"

    def on_func_entry(self, record, tracker):
        call = tracker.call
        if call is not None and (record.a, record.b) != (call.func, call.info):
            ran = f"{tracker.function_name(record.a)}({record.b:#x})"
            self.found(record.clock, f"core {record.core} ran {ran} at clock {record.clock} for {call}, "
                       f"which asked for {call.function}({call.info:#x})", calls=[call], cores=[record.core])


class LostInterrupt(Oracle):
    """When everything has come to rest, each target of a queued call has taken it, or has at least entered a generic handler
    since (then the call is lost for another reason: O3)."""

    name = "O9"
    title = "every publication is followed by a handler on each target"

    def __init__(self, config, places):
        super().__init__(config, places)
        self._calls = {}
        self._handled = {}            # core -> clock at which it entered a generic handler last

    def on_queue(self, record, tracker):
        if tracker.call is not None:
            self._calls[tracker.call.id] = tracker.call

    def on_handle(self, record, tracker):
        self._handled[record.core] = record.clock

    def finish(self, outcome):
        if outcome.ending is not Ending.QUIET:
            return
        for call in self._calls.values():
            queued = call.at(Stage.QUEUE)
            for core in call.unfinished:
                if call.visits[core].at(Stage.HANDLE) is None and self._handled.get(core, -1) < queued:
                    self.found(outcome.clocks, f"core {core} entered no handler after {call} was queued at clock {queued}",
                               calls=[call], cores=[core])
