"""A run over time: what each core worked on, the messages, the events, how often each word ran.

Pages, traces and the Python interface are made from it, and from the calls. Either the run fills it, as its ``watch``, or its waves
do (``sim.waves.reader``): both give the same.
"""

from typing import NamedTuple

from rtl.core.seen import CoreState
from rtl.events import ApicEvent, Event

from .begun import Begun, Seen, seen_in
from .calls import Activity, Stage
from .records import ApicRecord, CommitRecord, CoreRecord, MessageRecord
from .traffic import Traffic

__all__ = ["Moment", "Pause", "Sent", "Slice", "Span", "Timeline"]

#: A core is nowhere in the microcode.
_NOWHERE = {CoreState.HALT.value, CoreState.WAIT_STARTUP.value}
_RUN = CoreState.RUN.value
#: The slices of cores that are not frames, from the outside to the inside.
STAGE, ROUTINE = "stage", "routine"


class Span(NamedTuple):
    """A core works on a call (its id), at one stage of it, from ``start`` to before ``end``: its stage in the waves."""

    core: int
    start: int
    end: int
    stage: Stage
    call: str | None


class Slice(NamedTuple):
    """A core is busy with something from ``start`` to before ``end``. Slices of a core are nested or disjoint.

    kind : an Activity's name in small letters, "stage" or "routine".
    """

    core: int
    start: int
    end: int
    kind: str
    name: str
    call: str | None


class Pause(NamedTuple):
    """The schedule holds a core from ``start`` to before ``end``. It stands before the word at ``pc``."""

    core: int
    start: int
    end: int
    pc: int


class Sent(NamedTuple):
    """An interrupt message. ``delivered`` : target -> clock.  call : the id of the call that it was sent for."""

    source: int
    vector: int
    clock: int
    call: str | None
    delivered: dict[int, int]


class Moment(NamedTuple):
    """An event of a core or its APIC.

    pc : of the word that emitted it, or where the core was then; None if that is unknown.  a, b : for an APIC, vector and
    destination.
    address : of the memory operation of the same word, or None.  call : the id of the call that it belongs to.
    """

    clock: int
    core: int
    event: Event | ApicEvent
    pc: int | None
    a: int
    b: int
    address: int | None
    call: str | None


class Timeline:
    """Collects a run over time.

    Parameters
    ----------
    config, image : of the run.

    Members
    -------
    spans, slices, pauses, sent : each by the clock of its end (messages: of being sent); complete after ``finish``.
    moments : the events of cores and APICs, by clock.
    begun : Begun.  traffic : Traffic.  clocks : of the run, after ``finish``.
    """

    def __init__(self, config, image):
        self.config = config
        self.image = image
        self.spans: list[Span] = []
        self.slices: list[Slice] = []
        self.pauses: list[Pause] = []
        self.sent: list[Sent] = []
        self.moments: list[Moment] = []
        self.begun = Begun(config, image)
        self.traffic = Traffic(image)
        self.clocks = 0
        self._seen = seen_in(config)
        self._pcs: list[int | None] = [None] * config.n_cores
        self._travelling: list[list[tuple[Sent, set[int]]]] = [[] for _ in range(config.n_cores)]
        self._cores = [_Core(core, self) for core in range(config.n_cores)]

    def add(self, record, tracker):
        """The next record, after the tracker has processed it."""
        self.traffic.add(record, tracker)
        kind = type(record)
        if kind is CommitRecord:
            return
        call = tracker.call and tracker.call.id
        if kind is MessageRecord:
            self._delivered(record)
            return
        if kind is CoreRecord:
            if record.event is Event.NONE:
                return
            self.moments.append(Moment(record.clock, record.core, record.event, record.pc, record.a, record.b,
                                       record.address if record.op is not None else None, call))
        elif kind is ApicRecord:
            self.moments.append(Moment(record.clock, record.core, record.event, self._pcs[record.core], record.vector,
                                       record.destination, None, call))
            if record.event is ApicEvent.SEND:
                self.sent.append(Sent(record.core, record.vector, record.clock, call, {}))
                self._travelling[record.core].append((self.sent[-1], set(record.named(self.config.n_cores))))
        self._cores[record.core].at(record.clock, tracker.frames_of(record.core))

    def on_clock(self, clock, records, probe):
        for core, seen in enumerate(self._seen(probe)):
            self.see(clock, core, seen)

    def see(self, clock, core, seen: Seen):
        """A core looks like this in this clock; after the records of the clock."""
        self.begun.add(core, seen)
        state, go, pc, _ = seen
        self._pcs[core] = pc
        self._cores[core].stands(clock, pc if state == _RUN and not go else None)
        self._cores[core].runs(clock, None if state in _NOWHERE else self.image.routine(pc))

    def finish(self, clocks):
        """The run has ended, after this many clocks."""
        self.clocks = clocks
        for core in self._cores:
            core.end(clocks)

    def _delivered(self, record):
        """It belongs to the oldest message that it may deliver."""
        travelling = self._travelling[record.source]
        for index, (sent, left) in enumerate(travelling):
            if sent.vector == record.vector and (record.target is None or record.target in left):
                left.discard(record.target)
                if record.target is not None:
                    sent.delivered[record.target] = record.clock
                if record.target is None or not left:
                    del travelling[index]
                return


class _Core:
    """The open slices of one core, the outermost first."""

    def __init__(self, number, timeline):
        self._number = number
        self._spans = timeline.spans
        self._slices = timeline.slices
        self._pauses = timeline.pauses
        self._pause: tuple[int, int] | None = None   # where it stands, and since when
        self._frames = []             # [Frame, clock since when, its stage, clock since when]
        self._routine = None, 0
        self._context = (None, Stage.NONE), 0

    def at(self, clock, frames):
        """The core works on these Frames from this clock on."""
        self._leave(clock, frames[1:])
        for index, frame in enumerate(frames[1:]):
            if index == len(self._frames):
                self._end_routine(clock)
                self._frames.append([frame, clock, frame.stage, clock])
            elif frame.stage is not self._frames[index][2]:
                self._end_routine(clock)
                self._end_stage(clock, self._frames[index])
        top = frames[-1]
        context = top.call and top.call.id, top.stage
        if context != self._context[0]:
            self._end_span(clock)
            self._context = context, clock

    def runs(self, clock, routine):
        """It runs this routine from this clock on; None: none."""
        if routine != self._routine[0]:
            self._end_routine(clock)
            self._routine = routine, clock

    def stands(self, clock, pc):
        """The schedule holds it before this word from this clock on; None: it does not."""
        if self._pause and self._pause[0] != pc:
            self._pauses.append(Pause(self._number, self._pause[1], clock, self._pause[0]))
            self._pause = None
        if pc is not None and self._pause is None:
            self._pause = pc, clock

    def end(self, clock):
        self.stands(clock, None)
        self._leave(clock, ())
        self._end_routine(clock)
        self._end_span(clock)

    def _leave(self, clock, frames):
        """Close what has ended."""
        same = 0
        while same < min(len(frames), len(self._frames)) and frames[same] is self._frames[same][0]:
            same += 1
        for item in reversed(self._frames[same:]):
            self._end_routine(clock)
            self._end_stage(clock, item)
            self._add(item[1], clock, item[0].kind.name.lower(), _name(item[0]), item[0].call)
        del self._frames[same:]

    def _end_stage(self, clock, item):
        frame, _, stage, since = item
        if stage:
            self._add(since, clock, STAGE, stage.text, frame.call)
        item[2:] = frame.stage, clock

    def _end_routine(self, clock):
        name, since = self._routine
        if name is not None:
            self._add(since, clock, ROUTINE, name, None)
        self._routine = name, clock

    def _end_span(self, clock):
        (call, stage), since = self._context
        if stage and clock > since:
            self._spans.append(Span(self._number, since, clock, stage, call))

    def _add(self, start, end, kind, name, call):
        if end > start:
            self._slices.append(Slice(self._number, start, end, kind, name, call and call.id))


def _name(frame):
    """The displayed name of a Frame."""
    match frame.kind:
        case Activity.INTERRUPT:
            return f"interrupt {frame.interrupt.vector:#x}"
        case Activity.FUNCTION:
            return frame.call.function if frame.call is not None else "function"
        case Activity.HANDLER:
            return f"handle {frame.call.id}" if frame.call is not None else "handle"
        case _:
            return frame.call.kind if frame.call is not None else "command"
