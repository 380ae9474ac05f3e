"""The compiled engine: C generated from the netlists of the very same Tile and shared part that PySim simulates."""

import ctypes

from rtl.monitor import Monitor
from rtl.rig import Rig
from rtl.tile import Tile
from sim.engines.engine import NEVER, PLAIN, Ending, Outcome
from sim.monitor import clocks_of_flags

from .netlist import LIMIT
from .program import TileBox, program
from .toolchain import load

__all__ = ["CompiledEngine", "trace_sources"]

#: 64-bit words of each buffer through which records and probes come out.
_ROOM = 1 << 16


class CompiledEngine:
    """A Rig compiled to C. Built once for a config (from the cache, if it was built before); runs any contents.

    The records, the probe, the schedule, the flags, the ending and the arena are those of PySim, clock for clock.
    """

    def __init__(self, config):
        self.config = config
        tile = Tile(config)
        rig = Rig(config, tile=lambda _: TileBox(tile.signature))
        self._locate = rig.machine.shared.arena.locate
        self._sources = trace_sources(rig.trace.shape())
        self._shapes = {"straps": rig.straps.shape(), "plan": rig.plan.shape()}
        self._schedule_limbs, self._flags_limbs, self._probe_limbs = (
            -(-port.shape().size // LIMIT) for port in (rig.schedule, rig.flags, rig.probe))
        tied = {"load__valid": 0, "load__microcode": 0, "load__address": 0, "load__data": 0}
        text, self._inputs, self._memories = program(tile, rig, self._sources, tied=tied)

        class Control(ctypes.Structure):
            _fields_ = [
                ("input", ctypes.c_uint64 * max(1, len(self._inputs))), ("clock", ctypes.c_uint64),
                ("quiet", ctypes.c_uint64), ("trapped", ctypes.c_uint64), ("traced", ctypes.c_int64),
                ("records", ctypes.POINTER(ctypes.c_uint64)), ("used", ctypes.c_int64), ("room", ctypes.c_int64),
                ("recorded", ctypes.c_int64), ("schedule", ctypes.c_uint64 * self._schedule_limbs),
                ("flags", ctypes.c_uint64 * self._flags_limbs),
                ("probes", ctypes.POINTER(ctypes.c_uint64)), ("probe_used", ctypes.c_int64), ("probe_room", ctypes.c_int64),
            ]

        self._control = Control
        library = self._library = load(text)
        library.machine_size.restype = ctypes.c_size_t
        library.machine_run.restype = ctypes.c_int64
        library.machine_run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
        for name in ("machine_fill", "machine_read"):
            getattr(library, name).argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_int64]
        library.machine_reset.argtypes = [ctypes.c_void_p]
        self._machine = ctypes.create_string_buffer(library.machine_size())
        self._records = (ctypes.c_uint64 * _ROOM)()
        self._probes = (ctypes.c_uint64 * max(_ROOM, self._probe_limbs))()

    def run(self, contents, straps, *, max_clocks, sink, probe=False, plan=PLAIN, patience=NEVER, record=False, replay=()):
        control = self._start(contents, straps, plan, patience, replay)
        records, probes = self._records, self._probes
        control.records, control.room = records, len(records)
        if probe:
            control.probes, control.probe_room = probes, len(probes)
        control.traced, control.recorded = 1, record
        upcoming = sorted(change for change in replay if change[0] > 0)

        clocks, ending, changes = 0, Ending.LIMIT, []
        while clocks < max_clocks:
            control.used = control.probe_used = 0
            ran = self._advance(control, clocks, max_clocks, upcoming)
            stop = self._tell(sink, clocks, ran, records[:control.used], probes[:control.probe_used] if probe else None, changes)
            if stop is not None:
                # The machine has run on to the end of the buffer, and must not have: up to here once more.
                clocks, ending = stop + 1, Ending.STOPPED
                control = self._start(contents, straps, plan, patience, replay)
                upcoming = sorted(change for change in replay if change[0] > 0)
                reached = 0
                while reached < clocks:
                    reached += self._advance(control, reached, clocks, upcoming)
                changes = [change for change in changes if change[0] < clocks]
                break
            clocks += ran
            if control.trapped or control.quiet:
                ending = Ending.TRAP if control.trapped else Ending.QUIET
                break
        arena = self._arena()
        return Outcome(clocks, ending, arena, self._flags(control), tuple(changes) if record else None)

    def _start(self, contents, straps, plan, patience, replay):
        """A Control of a machine that stands before clock 0."""
        self._library.machine_reset(self._machine)
        self._load(contents)
        control = self._control()
        self._set(control, "straps", self._shapes["straps"].const(straps.as_const()).as_bits())
        self._set(control, "plan", self._shapes["plan"].const(plan.as_const()).as_bits())
        self._set(control, "patience", patience)
        self._set(control, "replay", dict(replay).get(0, 0))
        self._library.machine_run(self._machine, ctypes.byref(control), 1)      # word 0 reaches the microcode store's output
        self._set(control, "run", 1)
        control.clock = 0
        return control

    def _advance(self, control, clock, limit, upcoming):
        """Run from ``clock`` to ``limit`` at the most, or to where the schedule that is replayed changes."""
        # What is in force in a clock is an input of the clock before.
        while upcoming and upcoming[0][0] <= clock + 1:
            self._set(control, "replay", upcoming.pop(0)[1])
        until = min(limit, upcoming[0][0] - 1) if upcoming else limit
        return self._library.machine_run(self._machine, ctypes.byref(control), until - clock)

    def _flags(self, control):
        """The flags, when the Monitor has seen the last clock."""
        self._set(control, "run", 0)
        control.traced, control.recorded, control.room = 1, 0, len(self._records)
        control.records, control.probes = self._records, None
        for _ in range(Monitor.LATENCY + 1):
            control.used = 0
            self._library.machine_run(self._machine, ctypes.byref(control), 1)
        return clocks_of_flags(sum(word << number * LIMIT for number, word in enumerate(control.flags)))

    def _set(self, control, port, value):
        for number, (name, low, width) in enumerate(self._inputs):
            if name == port:
                control.input[number] = value >> low & (1 << width) - 1

    def _fill(self, which, words):
        array = (ctypes.c_uint64 * len(words))(*words)
        self._library.machine_fill(self._machine, self._memories.index(which), array, len(words))

    def _bank(self, number):
        return next(name for name in self._memories if name.endswith(f".bank{number}.memory"))

    def _load(self, contents):
        self._fill("microcode", list(contents.microcode))
        banks = [[0] * (self.config.arena_depth // self.config.n_banks) for _ in range(self.config.n_banks)]
        for address, word in contents.arena.items():
            bank, row = self._locate(address)
            banks[bank][row] = word
        for number, words in enumerate(banks):
            self._fill(self._bank(number), words)

    def _arena(self):
        depth = self.config.arena_depth // self.config.n_banks
        banks = []
        for number in range(self.config.n_banks):
            words = (ctypes.c_uint64 * depth)()
            self._library.machine_read(self._machine, self._memories.index(self._bank(number)), words, depth)
            banks.append(words)
        places = map(self._locate, range(self.config.arena_depth))
        return tuple(banks[bank][row] for bank, row in places)

    def _tell(self, sink, first, ran, words, probes, changes):
        """Hand a buffer to the sink; the clock at which it wants to stop, or None. Collects changes of the schedule."""
        by_clock, position = {}, 0
        while position < len(words):
            clock, index = divmod(words[position], 1 << 16)
            is_record = index < len(self._sources)
            limbs = -(-self._sources[index][1] // LIMIT) if is_record else self._schedule_limbs
            raw = sum(words[position + 1 + number] << number * LIMIT for number in range(limbs))
            position += 1 + limbs
            if is_record:
                by_clock.setdefault(clock, []).append((index, raw))
            else:
                changes.append((clock, raw))
        if probes is None:
            return next((clock for clock, records in by_clock.items() if sink.on_clock(clock, records, None)), None)
        size = self._probe_limbs
        for step in range(ran):
            raw = sum(word << number * LIMIT for number, word in enumerate(probes[step * size:(step + 1) * size]))
            if sink.on_clock(first + step, by_clock.get(first + step, []), raw):
                return first + step
        return None


def trace_sources(layout):
    """(offset, width) of every record in the raw trace, in the order of the sources."""
    result = []
    for name in ("core", "apic", "message", "bank"):
        item = layout[name]
        width = item.shape.elem_shape.size
        result += [(item.offset + number * width, width) for number in range(item.shape.length)]
    return result
