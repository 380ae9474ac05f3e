"""The compiled engine: C generated from the netlists of the very same Tile and shared part that PySim simulates."""

import ctypes

from rtl.machine import Machine
from sim.engines.engine import Ending, Outcome

from .netlist import LIMIT
from .program import TileBox, program
from .toolchain import load

__all__ = ["CompiledEngine"]

#: 64-bit words of each buffer through which records and probes come out.
_ROOM = 1 << 16


class CompiledEngine:
    """A machine compiled to C. Built once for a config (from the cache, if it was built before); runs any contents.

    The records, the probe, the ending and the arena are those of PySim, clock for clock.
    """

    def __init__(self, config):
        self.config = config
        machine = Machine(config, tile=TileBox)
        self._locate = machine.shared.arena.locate
        self._sources = _sources(machine.trace.shape())
        self._probe_limbs = -(-machine.probe.shape().size // LIMIT)
        ports = {"load__valid": 0, "load__microcode": 0, "load__address": 0, "load__data": 0}
        text, self._inputs, self._memories = program(machine, config, self._sources, tied=ports)
        self._straps = machine.straps.shape()

        class Control(ctypes.Structure):
            _fields_ = [
                ("input", ctypes.c_uint64 * max(1, len(self._inputs))), ("clock", ctypes.c_uint64),
                ("quiet", ctypes.c_uint64), ("trapped", ctypes.c_uint64), ("traced", ctypes.c_int64),
                ("records", ctypes.POINTER(ctypes.c_uint64)), ("used", ctypes.c_int64), ("room", ctypes.c_int64),
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

    def run(self, contents, straps, *, max_clocks, sink, probe=False):
        library, machine = self._library, self._machine
        library.machine_reset(machine)
        self._load(contents)
        control = self._control()
        self._set(control, "straps", self._straps.const(straps.as_const()).as_bits())
        library.machine_run(machine, ctypes.byref(control), 1)      # word 0 reaches the output of the microcode store
        self._set(control, "run", 1)
        control.clock = 0
        records = (ctypes.c_uint64 * _ROOM)()
        probes = (ctypes.c_uint64 * max(_ROOM, self._probe_limbs))()
        control.records, control.room = records, _ROOM
        if probe:
            control.probes, control.probe_room = probes, len(probes)
        control.traced = 1

        clocks, ending = 0, Ending.LIMIT
        while clocks < max_clocks:
            control.used = control.probe_used = 0
            first = control.clock
            ran = library.machine_run(machine, ctypes.byref(control), max_clocks - clocks)
            stop = self._tell(sink, first, ran, records[:control.used], probes[:control.probe_used] if probe else None)
            if stop is not None:
                # The machine ran on to the end of the buffer; nobody sees that, but its arena is not that of the stop.
                clocks, ending = stop + 1, Ending.STOPPED
                return self._again(contents, straps, clocks, ending)
            clocks += ran
            if control.trapped or control.quiet:
                ending = Ending.TRAP if control.trapped else Ending.QUIET
                break
        return Outcome(clocks, ending, self._arena())

    def _again(self, contents, straps, clocks, ending):
        """The arena after so many clocks: the run is repeated up to there."""
        library, machine = self._library, self._machine
        library.machine_reset(machine)
        self._load(contents)
        control = self._control()
        self._set(control, "straps", self._straps.const(straps.as_const()).as_bits())
        library.machine_run(machine, ctypes.byref(control), 1)
        self._set(control, "run", 1)
        library.machine_run(machine, ctypes.byref(control), clocks)
        return Outcome(clocks, ending, self._arena())

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

    def _tell(self, sink, first, ran, words, probes):
        """Hand a buffer to the sink; the clock at which it wants to stop, or None."""
        by_clock, position = {}, 0
        while position < len(words):
            clock, index = divmod(words[position], 1 << 16)
            width = self._sources[index][1]
            raw = 0
            for number in range(-(-width // LIMIT)):
                raw |= words[position + 1 + number] << number * LIMIT
            position += 1 + -(-width // LIMIT)
            by_clock.setdefault(clock, []).append((index, raw))
        if probes is None:
            return next((clock for clock, records in by_clock.items() if sink.on_clock(clock, records, None)), None)
        size = self._probe_limbs
        for step in range(ran):
            raw = int.from_bytes(b"".join(word.to_bytes(8, "little") for word in probes[step * size:(step + 1) * size]), "little")
            if sink.on_clock(first + step, by_clock.get(first + step, []), raw):
                return first + step
        return None


def _sources(layout):
    """(offset, width) of every record in the raw trace, in the order of the sources."""
    result = []
    for name in ("core", "apic", "message", "bank"):
        item = layout[name]
        width = item.shape.elem_shape.size
        result += [(item.offset + number * width, width) for number in range(item.shape.length)]
    return result
