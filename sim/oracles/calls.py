"""What a caller may rely on, judged by what it requested, what the functions report, and what it gets (``sim.obligations``)."""

from rtl.events import Event

from ..engines.engine import Ending
from ..obligations import cores_of
from .oracle import Oracle, listing

__all__ = ["EarlyReturn", "FunctionAndInfo", "LostCall", "LostInterrupt", "OnceEach", "ReturnValue", "WhereRun"]

#: What the command loop and the functions report.
_WITNESSES = (Event.REQUEST, Event.ISSUE, Event.RESULT, Event.RUN, Event.RAN)


class EarlyReturn(Oracle):
    """When the routine of a call that waits returns, the function has ended on every target. If the caller runs the function too,
    it has ended there, whether the call waits or not."""

    name = "O1"
    title = "a call that waits returns only after the function has ended on every target"
    events = _WITNESSES

    def on_result(self, record, tracker):
        call, owed = tracker.call, tracker.obligation
        if call is None or owed is None:
            return
        self.exercised += bool(owed.may and (owed.contract.wait or owed.contract.here))
        if owed.late:
            self.found(record.clock, f"{listing(owed.late)} had not finished the function when {call} returned at clock "
                       f"{record.clock}", calls=[call], cores=owed.late)


class OnceEach(Oracle):
    """No target runs the function twice, no other core runs it, and no function runs without a call. (O3 judges that every target
    runs it at all.)"""

    name = "O2"
    title = "the function of a call runs exactly once on each target, and nowhere else"
    events = _WITNESSES

    def on_run(self, record, tracker):
        run = tracker.run
        if run is None or run.excused:
            return
        self.exercised += 1
        if run.obligation is not None:
            return
        core, clock, function = record.core, record.clock, tracker.function_name(record.pc)
        asked = tracker.book.asked_for(run.func, run.info)
        if not asked:
            if tracker.book.owed_by(core) is None:
                self.found(clock, f"core {core} ran {function} at clock {clock} for no call", cores=[core])
            return
        before = [item for item in asked if core in item.runs]
        calls = [tracker.call_of(item) for item in (before or asked)[-1:]]
        if before:
            self.found(clock, f"core {core} ran the function of {calls[0]} again at clock {clock}, after it had at clock "
                       f"{before[-1].runs[core].begun}", calls=calls, cores=[core])
        elif any(item.asked >> core & 1 for item in asked):
            self.found(clock, f"core {core} ran the function of {calls[0]} at clock {clock}, which no longer expects it",
                       calls=calls, cores=[core])
        else:
            self.found(clock, f"core {core} ran the function of {calls[0]} at clock {clock}, but is not one of its targets",
                       calls=calls, cores=[core])


class LostCall(Oracle):
    """When everything has come to rest, every call has returned, and every target has run the function to its end."""

    name = "O3"
    title = "no call is lost"
    events = _WITNESSES

    def finish(self, outcome, tracker):
        if outcome.ending is not Ending.QUIET:
            self.lacks.append("a run that comes to rest")
            return
        clock = outcome.clocks
        for call in tracker.calls:
            if call.obligation is None:
                continue
            self.exercised += 1
            if not call.returned:
                what = "was never woken" if call.waiting else "never returned"
                self.found(clock, f"{call} {what}", calls=[call], cores=[call.caller])
            late = call.unfinished
            if late:
                self.found(clock, f"{call} is lost: {listing(late)} never finished the function", calls=[call], cores=late)


class FunctionAndInfo(Oracle):
    """A target runs what a caller requested, not what belongs to a later or an earlier use of the csd. Violated if a core that
    still owes something runs what no caller requested."""

    name = "O8"
    title = "function and info are what a caller asked for"
    events = _WITNESSES

    def on_run(self, record, tracker):
        run = tracker.run
        if run is None or run.excused:
            return
        self.exercised += 1
        if run.obligation is not None or tracker.book.asked_for(run.func, run.info):
            return
        owed = tracker.book.owed_by(record.core)
        if owed is not None:
            call = tracker.call_of(owed)
            ran = f"{tracker.function_name(run.func)}({run.info:#x})"
            self.found(record.clock, f"core {record.core} ran {ran} at clock {record.clock}, which no call requested; {call} "
                       f"requested {call.function}({call.info:#x})", calls=[call], cores=[record.core])


class LostInterrupt(Oracle):
    """When everything has come to rest, each core that has not run what it owes has at least been interrupted since the call
    began. (Then the call is lost for another reason: O3.)"""

    name = "O9"
    title = "every call is followed by an interrupt at each target"
    events = _WITNESSES

    def __init__(self, config, places):
        super().__init__(config, places)
        self._accepted = {}           # core -> clock at which it accepted an interrupt last

    def on_accept(self, record, tracker):
        self._accepted[record.core] = record.clock

    def finish(self, outcome, tracker):
        if outcome.ending is not Ending.QUIET:
            self.lacks.append("a run that comes to rest")
            return
        for call in tracker.calls:
            owed = call.obligation
            if owed is None:
                continue
            others = owed.asked & ~(owed.contract.here << call.caller)
            self.exercised += bool(others & owed.may)
            for core in cores_of(owed.must & owed.open & others):
                if self._accepted.get(core, -1) < owed.issued:
                    self.found(outcome.clocks, f"core {core} was never interrupted after {call} began at clock {owed.issued}",
                               calls=[call], cores=[core])


class WhereRun(Oracle):
    """A function runs with interrupts off, and not inside another one. (O2 judges on which core it runs.)

    If the core holds a spin lock meanwhile, this is reported as a fact and not judged: some protocols do so on purpose.
    """

    name = "WHERE"
    title = "functions run with interrupts off, and never inside one another"
    events = (Event.RUN, Event.RAN)

    def __init__(self, config, places):
        super().__init__(config, places)
        self._under_lock = 0

    def facts(self):
        return {"functions_under_lock": self._under_lock}

    def on_run(self, record, tracker):
        run = tracker.run
        if run is None:
            return
        self.exercised += 1
        self._under_lock += any(core == record.core for core, _ in tracker.held.values())
        what = f"core {run.core} ran {tracker.function_name(run.func)} at clock {run.begun}"
        if run.enabled:
            self.found(record.clock, f"{what} with interrupts on", calls=[tracker.call], cores=[run.core])
        if run.inside:
            self.found(record.clock, f"{what} in the middle of another function", calls=[tracker.call], cores=[run.core])


class ReturnValue(Oracle):
    """smp_call_function_single() returns 0, or -ENXIO if its target was not online at some moment of the call. Other routines with
    a result return 0."""

    name = "RESULT"
    title = "a routine returns the right result"
    events = (Event.REQUEST, Event.ISSUE, Event.RESULT)

    def on_result(self, record, tracker):
        owed, call = tracker.obligation, tracker.call
        if owed is None or not (owed.contract.fails or owed.contract.returns):
            return
        self.exercised += 1
        if owed.result not in owed.results:
            wanted = " or ".join("-ENXIO" if value else "0" for value in sorted(owed.results, reverse=True))
            self.found(record.clock, f"{call or 'a command'} returned {owed.result} at clock {record.clock}, not {wanted}",
                       calls=[call], cores=[record.core])
