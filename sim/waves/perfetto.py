"""A run as a trace for Perfetto's viewer (ui.perfetto.dev), in its own format, with the classes of its own schema.

One track for each core, with nested slices: the command or interrupt, the stage of its call, the function, the routine. One track
for the messages of each sender. One flow for each target of each call, which the viewer draws as arrows: from the send to the
delivery, to the core that accepts it, to the function, and back to the caller if it waits. Counters of queues and of
messages in flight.
"""

from importlib.util import find_spec
from itertools import count

from sim.calls import Stage
from sim.errors import MissingToolError
from sim.files import WholeFile

from .writer import CLOCK_NS

__all__ = ["check_perfetto", "write_perfetto"]

_RUN, _FABRIC, _TRAVELLING = 1, 2, 3
_CORES, _SENDERS, _QUEUES = 1000, 2000, 3000
#: All packets belong to one sequence.
_SEQUENCE = 1


def check_perfetto():
    """Raises MissingToolError if the classes are missing. Ask before the work begins."""
    if find_spec("perfetto") is None:
        raise MissingToolError("the classes of Perfetto's format are not installed: pip install perfetto (or crosscall[perfetto])")


def write_perfetto(path, name, timeline, calls):
    """Write the trace of a run. timeline : a finished Timeline.  calls : the Calls. Raises InputError or MissingToolError."""
    check_perfetto()
    with WholeFile(path) as file:
        file.write(_Trace(name, timeline, calls).octets())
        file.keep()


class _Trace:
    def __init__(self, name, timeline, calls):
        from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

        self._trace = Trace()
        self._types = TrackEvent
        self._events = []             # (clock, rank within the clock, number, what fills a TrackEvent)
        self._numbers = count()
        self._timeline = timeline
        self._tracks(name, timeline.config.n_cores)
        self._slices()
        flows = self._flows(calls)
        self._messages(flows)
        self._queues(calls)

    def octets(self):
        for clock, _, _, (track, kind, fields) in sorted(self._events, key=lambda event: event[:3]):
            packet = self._packet()
            packet.timestamp = clock * CLOCK_NS
            packet.track_event.track_uuid = track
            packet.track_event.type = kind
            self._fill(packet.track_event, **fields)
        return self._trace.SerializeToString()

    def _packet(self):
        packet = self._trace.packet.add()
        packet.trusted_packet_sequence_id = _SEQUENCE
        return packet

    @staticmethod
    def _fill(event, name=None, category=None, flows=(), ends=(), value=None, **notes):
        if name is not None:
            event.name = name
        if category is not None:
            event.categories.append(category)
        event.flow_ids.extend(flows)
        event.terminating_flow_ids.extend(ends)
        if value is not None:
            event.counter_value = value
        for key, text in notes.items():
            note = event.debug_annotations.add()
            note.name, note.string_value = key, str(text)

    def _add(self, clock, track, kind, *, late=0, **fields):
        self._events.append((clock, late, next(self._numbers), (track, kind, fields)))

    # --- tracks ---------------------------------------------------------------------------------------------------------

    def _tracks(self, name, n_cores):
        run = self._track(_RUN, None, name)
        run.process.pid = _RUN
        run.process.process_name = name
        run.child_ordering = run.EXPLICIT
        ranks = count()
        for core in range(n_cores):
            self._track(_CORES + core, _RUN, f"core {core}", rank=next(ranks))
        fabric = self._track(_FABRIC, _RUN, "fabric", rank=next(ranks))
        fabric.child_ordering = fabric.EXPLICIT
        for core in range(n_cores):
            self._track(_SENDERS + core, _FABRIC, f"sent by core {core}", rank=core)
        self._track(_TRAVELLING, _RUN, "messages in flight", rank=next(ranks)).counter.SetInParent()
        for core in range(n_cores):
            self._track(_QUEUES + core, _RUN, f"requests waiting for core {core}", rank=next(ranks)).counter.SetInParent()

    def _track(self, uuid, parent, name, rank=None):
        track = self._packet().track_descriptor
        track.uuid, track.name = uuid, name
        if parent is not None:
            track.parent_uuid = parent
        if rank is not None:
            track.sibling_order_rank = rank
        return track

    # --- their contents -------------------------------------------------------------------------------------------------

    def _slices(self):
        """Each begins after the slices that end in the same clock, and inside longer ones that begin in it."""
        inside_out = list(enumerate(self._timeline.slices))
        for core in range(self._timeline.config.n_cores):
            track, open_until = _CORES + core, []
            own = [(item.start, -item.end, -number, item) for number, item in inside_out if item.core == core]
            for start, minus_end, _, item in sorted(own, key=lambda entry: entry[:3]):
                while open_until and open_until[-1] <= start:
                    self._add(open_until.pop(), track, self._types.TYPE_SLICE_END)
                notes = {"call": item.call} if item.call else {}
                self._add(start, track, self._types.TYPE_SLICE_BEGIN, name=item.name, category=item.kind, **notes)
                open_until.append(-minus_end)
            while open_until:
                self._add(open_until.pop(), track, self._types.TYPE_SLICE_END)

    def _flows(self, calls):
        """(call, target) -> number of the flow of each requested target; with the ends of the flows on the cores."""
        flows, numbers = {}, count(1)
        for call in calls:
            for target, visit in call.visits.items():
                flow = flows[call.id, target] = next(numbers)
                steps = [(visit.at(stage), target, stage) for stage in (Stage.GOTIPI, Stage.HANDLE, Stage.ENTRY, Stage.COMPLETE)]
                if visit.at(Stage.IPI) is None:
                    steps.append((visit.at(Stage.NOIPI) or call.at(Stage.QUEUE), call.caller, Stage.QUEUE))
                steps = sorted((step for step in steps if step[0] is not None), key=lambda step: step[0])
                back = call.at(Stage.WOKEN)
                ends = back is not None and visit.at(Stage.EXIT) is not None and back >= visit.at(Stage.EXIT)
                for clock, core, stage in steps:
                    self._instant(clock, core, f"{stage.text} {call.id}", flows=[flow], call=call.id, target=target)
                if ends:
                    self._instant(back, call.caller, f"{Stage.WOKEN.text} {call.id}", ends=[flow], call=call.id, target=target)
        return flows

    def _instant(self, clock, core, name, **fields):
        self._add(clock, _CORES + core, self._types.TYPE_INSTANT, late=1, name=name, category="flow", **fields)

    def _messages(self, flows):
        changes = []
        for sent in self._timeline.sent:
            track, end = _SENDERS + sent.source, max(sent.delivered.values(), default=sent.clock)
            mine = {target: flow for target in sent.delivered if (flow := flows.get((sent.call, target))) is not None}
            notes = {"call": sent.call} if sent.call else {}
            names = ", ".join(map(str, sent.delivered)) or "nobody"
            if sent.call:
                self._instant(sent.clock, sent.source, f"send {sent.call} to {names}", flows=mine.values(), call=sent.call)
            self._add(sent.clock, track, self._types.TYPE_SLICE_BEGIN, name=f"{sent.vector:#x} to {names}", category="message",
                      flows=mine.values(), **notes)
            for target, clock in sent.delivered.items():
                own = [mine[target]] if target in mine else []
                self._add(clock, track, self._types.TYPE_INSTANT, name=f"delivered to core {target}", category="delivery",
                          flows=own, **notes)
            self._add(end, track, self._types.TYPE_SLICE_END)
            changes += [(sent.clock, 1), (end, -1)]
        self._counter(_TRAVELLING, changes)

    def _queues(self, calls):
        changes = {core: [] for core in range(self._timeline.config.n_cores)}
        for call in calls:
            for entry in call.entries:
                for target in call.targets - {call.caller} if entry.target is None else [entry.target]:
                    handled = call.visits[target].at(Stage.HANDLE) if target in call.visits else None
                    if handled is not None and handled >= entry.clock:
                        changes[target] += [(entry.clock, 1), (handled, -1)]
        for core, own in changes.items():
            self._counter(_QUEUES + core, own)

    def _counter(self, track, changes):
        self._add(0, track, self._types.TYPE_COUNTER, value=0)
        value, by_clock = 0, {}
        for clock, change in changes:
            by_clock[clock] = by_clock.get(clock, 0) + change
        for clock in sorted(by_clock):
            value += by_clock[clock]
            self._add(clock, track, self._types.TYPE_COUNTER, value=value)
