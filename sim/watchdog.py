"""Decides that a run is stuck, and says which calls are, and how far each of their targets has come."""

from rtl.events import Event

from .calls import Stage
from .engines.engine import Ending
from .oracles.oracle import Violation
from .records import CommitRecord, CoreRecord

__all__ = ["Watchdog"]


class Watchdog:
    """A run makes progress while there are events and words change. A try for a spin lock that failed is no progress.

    It is fed after the tracker, and has ``violations`` as an oracle has. What goes round for ever and changes words on the way (a
    walker in a ring) is progress here: O10 sees it, and ``sentences()`` says what is not over when the run's clocks end.

    Parameters
    ----------
    tracker : the CallTracker of the run.
    patience : clocks without progress until the run is stuck. Longer than the longest delay and the longest function of the
        scenario: a core that works for some clocks is silent all the while.
    """

    name = "WATCHDOG"
    title = "the run makes progress until it ends"

    def __init__(self, tracker, *, patience):
        self.patience = patience
        self.violations = []
        self._tracker = tracker
        self._progress = 0            # clock of the last sign of progress

    def add(self, record):
        """The next record. Returns True as soon as the run is stuck, which is what ends it (see ``Sink.on_clock``)."""
        if self.violations:
            return True
        kind = type(record)
        if kind is CoreRecord:
            progress = record.event is not Event.NONE and not (record.event is Event.LOCK_TRY and record.result)
        else:
            progress = kind is not CommitRecord or record.old != record.new
        # A silence that was too long is not mended by its end.
        if record.clock - self._progress - progress > self.patience:
            self._stuck()
        elif progress:
            self._progress = record.clock
        return bool(self.violations)

    def finish(self, outcome):
        """The run has ended. If not in quiet, it may have been stuck without a single record since."""
        if not self.violations and outcome.ending is not Ending.QUIET and outcome.clocks - 1 - self._progress > self.patience:
            self._stuck()

    def sentences(self):
        """One for each call that is not over: how far it has come."""
        return [self._sentence(call) for call in self._tracker.calls if not call.over]

    def _stuck(self):
        clock = self._progress + self.patience + 1
        stuck = [call for call in self._tracker.calls if not call.over]
        for call in stuck:
            cores = tuple(sorted({call.caller, *call.unfinished}))
            self.violations.append(Violation(self.name, clock, (call.id,), cores, self._sentence(call)))
        if not stuck:
            self.violations.append(Violation(self.name, clock, (), (), f"nothing has happened since clock {self._progress}"))

    def _sentence(self, call):
        last = next(reversed(call.stages))
        if call.waiting:
            what = "waits"
        elif call.returned:
            what = f"returned at {call.stages[last]} and is not over"
        else:
            what = f"got no further than {last.text} at {call.stages[last]}"
        targets = ", ".join(self._reached(call, core) for core in sorted(call.targets))
        return f"{call} {what}: {targets}" if targets else f"{call} {what}"

    def _reached(self, call, core):
        visit = call.visits[core]
        if call.exited(core):
            return f"core {core} reached exit"
        if visit.at(Stage.HANDLE) is not None:
            return f"core {core} reached {visit.last.text} at {visit.at(visit.last)}"
        sent, delivered, accepted = visit.at(Stage.IPI), visit.at(Stage.DELIVERED), visit.at(Stage.GOTIPI)
        if accepted is not None:
            found = "found its queue empty" if visit.at(Stage.EMPTY) is not None else "did not take the call"
            return f"core {core} was interrupted at {accepted} and {found}"
        if sent is not None:
            how = f"ipi sent at {sent}, " + ("not delivered" if delivered is None else f"delivered at {delivered}")
        elif visit.at(Stage.NOIPI) is not None:
            how = f"noipi at {visit.at(Stage.NOIPI)}: its queue was not empty"
        else:
            how = "no ipi was sent"
        return f"core {core} was never interrupted ({how})"
