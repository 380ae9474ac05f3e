"""Many runs at once: the lanes of a vector program, and the queue of jobs that keeps them busy."""

import ctypes
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain, groupby, islice

from rtl.check.room import Room
from rtl.config import straps_layout
from rtl.monitor import Monitor, profile_layout
from rtl.schedule import plan_layout
from sim.engines.engine import Ending, Engine, Outcome
from sim.runs.monitor import clocks_of_flags
from sim.texts import count

from . import CompiledEngine
from .lanes import lane_program
from .netlist import build_graph
from .program import LOAD_TIED, boxed_rig
from .toolchain import load, uncollected, vector_bits
from .translation import translated
from .vector import BITS

__all__ = ["LaneEngine", "LaneOutcome", "Lanes", "lane_count"]

#: Jobs that the lanes get at a time.
_BATCH = 1024
#: Words of arenas that are returned at a time.
_WORDS = 1 << 20
#: Clocks after which the program returns, so that Ctrl-C is noticed and a caller can show progress.
_BUDGET = 1 << 17
#: The fields of a job, as the input ports that they go to.
_PORTS = ("straps", "plan", "patience", "profile")
#: The outputs that end a job, the more important first.
_ENDS = {"trapped": Ending.TRAP, "quiet": Ending.QUIET}


def lane_count():
    """How many lanes one vector has on this CPU."""
    return vector_bits() // BITS


class Lanes:
    """A loaded vector program, a ``LaneProgram``: ``lanes`` copies of a component."""

    def __init__(self, program):
        self.program = program
        self.lanes = program.lanes
        library = self._library = load(program.text, vectors=True)
        self.build_seconds = library.build_seconds
        pointer, integer = ctypes.c_void_p, ctypes.c_int
        library.machine_new.restype = pointer
        library.machine_fill.restype = ctypes.c_int64
        for name, arguments in {
            "machine_free": [pointer], "machine_step": [pointer], "machine_reset": [pointer, integer],
            "machine_fill": [pointer, integer, pointer, ctypes.c_int64],
            "machine_read": [pointer, integer, integer, pointer, ctypes.c_int64],
            "machine_set": [pointer, integer, integer, integer], "machine_get": [pointer, integer, integer],
            "machine_run": [pointer, pointer], "machine_cancel": [pointer],
        }.items():
            getattr(library, name).argtypes = arguments
        self._machine = library.machine_new()
        if not self._machine:
            raise MemoryError("no room for the lanes")
        for name, memory in self.program.memories.items():
            self.fill(name, memory.init)

    def __del__(self):
        if getattr(self, "_machine", None):
            self._library.machine_free(self._machine)

    def fill(self, memory, words):
        """Set the contents of a memory that every lane begins with, from its next reset on."""
        there = self.program.memories[memory]
        words = (ctypes.c_uint64 * len(words))(*words)
        if self._library.machine_fill(self._machine, there.number, words, len(words)) != len(words):
            raise ValueError(f"{count(len(words), 'word')} do not fit the {there.depth} of {memory}")

    def read(self, memory, lane):
        """The words of a memory of the shared part, as a lane sees them now."""
        there = self.program.memories[memory]
        words = (ctypes.c_uint64 * there.depth)()
        self._library.machine_read(self._machine, there.number, lane, words, there.depth)
        return tuple(words)

    def reset(self, lane):
        self._library.machine_reset(self._machine, lane)

    def set(self, port, lane, value):
        for number, slot in enumerate(self.program.inputs):
            if slot.port == port:
                self._library.machine_set(self._machine, number, lane, _element(slot, value))

    def get(self, port, lane):
        """The value of an output in the clock before the last edge."""
        return _join(port, self.program.outputs, lambda number: self._library.machine_get(self._machine, number, lane))

    def step(self):
        """One clock, in every lane."""
        self._library.machine_step(self._machine)

    def run(self, queue):
        """Whether work is left that needs no new jobs; see ``machine_run`` in lanes.py."""
        return bool(self._library.machine_run(self._machine, ctypes.byref(queue)))

    def cancel(self):
        self._library.machine_cancel(self._machine)


def _translate(config, room, options):
    with uncollected():
        rig, units = boxed_rig(config, room)
        graphs = {kind: build_graph(component, tied=constants) for kind, (component, constants) in units.items()}
        return lane_program(rig, units=graphs, run="run", ends=tuple(_ENDS), **options)


def _element(slot, value):
    """What a slot holds of its port's value."""
    value = value >> slot.low & (1 << slot.width) - 1
    return 0xFFFF * value if slot.width == 1 else value


def _join(port, slots, element):
    result = 0
    for number, slot in enumerate(slots):
        if slot.port == port:
            result |= (element(number) & (1 << slot.width) - 1) << slot.low
    return result


class _Queue(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("count", "next", "done", "more", "budget")),
        ("inputs", ctypes.POINTER(ctypes.c_uint16)), ("ids", ctypes.POINTER(ctypes.c_int64)),
        ("limits", ctypes.POINTER(ctypes.c_int64)), ("results", ctypes.POINTER(ctypes.c_int64)),
        ("outputs", ctypes.POINTER(ctypes.c_uint16)), ("rows", ctypes.POINTER(ctypes.c_uint64)),
    ]


@dataclass(frozen=True)
class LaneOutcome(Outcome):
    """outputs : port that the engine was asked to return -> its value at the end."""

    outputs: Mapping[str, int] = field(default_factory=dict)


class LaneEngine(Engine):
    """Rigs compiled to vector C, for many runs, and a CompiledEngine for one. Built once for a config; runs any contents.

    Every job has the same clocks, ending, flags and arena as in PySim. Raises MissingToolError without a C compiler, before
    anything is elaborated.

    Parameters
    ----------
    config : MachineConfig.  room : of the Monitor.
    outputs : ports whose value at the end of a job is returned.
    settle : clocks, with ``run`` low, from a job's last clock until then; the Monitor needs the default.
    lanes : how many runs advance together; None: as many as fit a vector of this CPU.
    tied : input port -> constant, for ports that are the same in all jobs.
    """

    name = "lanes"
    #: The number of cores up to which it is worth its build. The shared part grows with the square of the cores and is computed in
    #: full in every clock: at 64 it takes minutes to build, and is hardly faster than one machine with its cores side by side.
    SENSIBLE = 32

    def __init__(self, config, *, room=Room(), outputs=("flags",), settle=Monitor.LATENCY + 1, lanes=None, tied=None):
        self.config = config
        self.lanes = lanes or lane_count()
        self._one = CompiledEngine(config, room=room)
        self._shapes = {"straps": straps_layout, "plan": plan_layout, "profile": profile_layout(config)}
        self._outputs = tuple(outputs)
        options = {"lanes": self.lanes, "tied": {**LOAD_TIED, **(tied or {})}, "settle": settle, "outputs": self._outputs}
        program, generated = translated((self.name, config, room, options), lambda: _translate(config, room, options))
        self._lanes = Lanes(program)
        #: As for NativeEngine.
        self.build_seconds = generated + self._lanes.build_seconds

    def run(self, job, *, sink=None, probe=False, record=False):
        return self._one.run(job, sink=sink, probe=probe, record=record)

    def run_many(self, jobs, *, arena=False):
        """As for Engine; other jobs still run while it yields Outcomes. Successive jobs with the same contents run side by side,
        unless they replay a schedule.

        One row at a time: a new one discards what an unfinished one has left.
        """
        for _, row in groupby(jobs, key=lambda job: (id(job.contents), bool(job.replay))):
            first = next(row)
            row = chain([first], row)
            yield from map(self.run, row) if first.replay else self._row(first.contents, enumerate(row), arena)

    def _row(self, contents, jobs, arena):
        self._load(contents)
        self._lanes.cancel()
        size = _BATCH if not arena else max(self.lanes, _WORDS // self.config.arena_depth)
        outcomes, expected, more = {}, 0, True
        while more:
            batch = list(islice(jobs, size))
            more = len(batch) == size
            queue = self._queue(batch, arena, more)
            busy = True
            while busy:
                queue.done = 0
                busy = self._lanes.run(queue)
                outcomes.update(self._outcome(queue, number, arena) for number in range(queue.done))
                while expected in outcomes:
                    yield outcomes.pop(expected)
                    expected += 1

    def start(self, jobs):
        """Load runs that ``advance`` continues clock by clock, a job for each lane, all with the same contents: for benchmarks.
        Ends what ``run_many`` was doing."""
        self._load(jobs[0].contents)
        self._lanes.cancel()
        self._started = self._queue(list(enumerate(jobs)), False, False)

    def advance(self, clocks):
        """Run every lane for this many clocks. Returns whether all are still running."""
        self._started.budget = clocks
        return self._lanes.run(self._started) and not self._started.done

    def _queue(self, batch, arena, more):
        slots, room = self._lanes.program.inputs, len(batch) + self.lanes
        places = {port: [(number, slot) for number, slot in enumerate(slots) if slot.port == port] for port in _PORTS}
        inputs, ids, limits = array("H"), array("q"), array("q")
        row, before = [_element(slot, 0) for slot in slots], dict.fromkeys(_PORTS)
        for number, job in batch:
            # Most jobs differ from the previous one only in their plan.
            for port in _PORTS:
                value = getattr(job, port)
                if value is not before[port]:
                    before[port], raw = value, self._raw(port, value)
                    for place, slot in places[port]:
                        row[place] = _element(slot, raw)
            inputs.extend(row)
            ids.append(number)
            limits.append(job.max_clocks)
        return _Queue(
            len(batch), 0, 0, more, _BUDGET,
            (ctypes.c_uint16 * len(inputs))(*inputs), (ctypes.c_int64 * len(ids))(*ids), (ctypes.c_int64 * len(limits))(*limits),
            (ctypes.c_int64 * (3 * room))(), (ctypes.c_uint16 * (room * max(1, len(self._lanes.program.outputs))))(),
            (ctypes.c_uint64 * (room * self._lanes.program.kept))() if arena else None)

    def _raw(self, port, value):
        return self._shapes[port].const(value.as_const()).as_bits() if port in self._shapes else value

    def _outcome(self, queue, number, arena):
        """(number of the job, its Outcome)."""
        program = self._lanes.program
        job, clocks, end = queue.results[3 * number:3 * number + 3]
        told = queue.outputs[number * max(1, len(program.outputs)):(number + 1) * max(1, len(program.outputs))]
        words = self._arena(queue.rows[number * program.kept:(number + 1) * program.kept]) if arena else None
        ending = Ending.LIMIT if end < 0 else tuple(_ENDS.values())[end]
        outputs = {port: _join(port, program.outputs, told.__getitem__) for port in self._outputs}
        return job, LaneOutcome(clocks, ending, words, clocks_of_flags(outputs.get("flags", 0)), outputs=outputs)

    def _bank(self, number):
        return next(name for name in self._lanes.program.memories if name.endswith(f".bank{number}.memory"))

    def _load(self, contents):
        config, memories = self.config, self._lanes.program.memories
        store = next(name for name in memories if name.endswith("microcode"))
        self._lanes.fill(store, [*contents.microcode, *[0] * (config.microcode_depth - len(contents.microcode))])
        words = [0] * config.arena_depth
        for address, word in contents.arena.items():
            words[address] = word
        for bank in range(config.n_banks):
            self._lanes.fill(self._bank(bank), words[bank::config.n_banks])

    def _arena(self, words):
        n_banks, depth = self.config.n_banks, self.config.arena_depth
        arena = [0] * depth
        for bank in range(n_banks):
            start = self._lanes.program.memories[self._bank(bank)].place
            arena[bank::n_banks] = words[start:start + depth // n_banks]
        return tuple(arena)
