"""Passes what the tracker and the oracles know to the wave writer, clock by clock."""

from sim.calls import Stage

__all__ = ["STAGES", "WaveFeed"]

#: The names of the stages, for the writer: a core's stage is its number in the tracker.
STAGES = tuple(stage.text for stage in Stage)


class WaveFeed:
    """Feeds one WaveWriter.

    Parameters
    ----------
    writer : the WaveWriter, made with ``stages=STAGES``.  tracker : the CallTracker.
    judges : oracles and watchdog; each has ``violations``.
    end : the clock after the last one to write, if the run gets that far.
    """

    def __init__(self, writer, tracker, judges, *, end):
        self._writer = writer
        self._end = end
        self._tracker = tracker
        self._judges = tuple(judges)
        self._told = [0] * len(self._judges)
        self._contexts = [None] * tracker.config.n_cores

    def on_clock(self, clock, records, probe):
        """One clock, once the tracker and the judges have seen its records."""
        if clock >= self._end:
            return
        self._writer.on_clock(clock, records, probe)
        if not records:
            return
        for core, before in enumerate(self._contexts):
            context = self._tracker.context_of(core)
            if context != before:
                self._contexts[core] = context
                self._writer.annotate(clock, core, *context)
        self._tell(clock)

    def close(self, clocks, ending):
        """The run has ended after this many clocks, with this Ending, and the judges have finished."""
        if clocks <= self._end:
            self._tell(clocks - 1)
        self._writer.close(min(clocks, self._end), ending.value if clocks <= self._end else "")

    def _tell(self, clock):
        """Write the violations found since the last call."""
        for index, judge in enumerate(self._judges):
            for item in judge.violations[self._told[index]:]:
                self._writer.violation(clock, f"{item.oracle}: {item.sentence}")
            self._told[index] = len(judge.violations)
