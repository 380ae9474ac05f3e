"""What the engines of native code share: the C interface of a machine that has been built, and the runs on it.

The interface is C, whoever wrote the code behind it::

    size_t machine_size(void);                          // of the state; it is kept here
    void machine_reset(void *state);
    void machine_fill(void *state, int memory, const uint64_t *words, int64_t count);    // from row 0
    void machine_read(void *state, int memory, uint64_t *words, int64_t count);
    int64_t machine_run(void *state, Control *control, int64_t clocks);     // -> clocks that were run

``machine_run`` ends after so many clocks, with a clock in which the machine is quiet or trapped, or when a buffer cannot take
another clock. Memory 0 is the microcode, 1 and up are the banks of the arena.
"""

import ctypes

from rtl.config import straps_layout
from rtl.probe import probe_layout
from sim.records import Sources

from .engine import Ending, Outcome

__all__ = ["LIMB", "NativeEngine", "limbs_of"]

#: Bits of the words in which everything comes and goes.
LIMB = 64
#: Words of each buffer through which records and probes come out.
_ROOM = 1 << 16


def limbs_of(width):
    """How many words a value takes."""
    return -(-width // LIMB)


class NativeEngine:
    """A machine in a loaded library. The records, the probe, the ending and the arena are those of PySim, clock for clock.

    Parameters
    ----------
    config : MachineConfig.
    library : as ``ctypes.CDLL`` loads it.
    inputs : the words of ``Control.input`` as (port, low, width).
    build_seconds : processor time that all of its making takes or, for what came from the cache, took.
    """

    def __init__(self, config, library, inputs, *, build_seconds):
        self.config = config
        self.build_seconds = build_seconds
        self._library = library
        self._inputs = inputs
        self._limbs = [limbs_of(Sources(config).layouts[kind].size) for kind in Sources(config).kinds]
        self._probe_limbs = limbs_of(probe_layout(config).size)

        class Control(ctypes.Structure):
            _fields_ = [
                ("input", ctypes.c_uint64 * max(1, len(inputs))), ("clock", ctypes.c_uint64),
                ("quiet", ctypes.c_uint64), ("trapped", ctypes.c_uint64), ("traced", ctypes.c_int64),
                ("records", ctypes.c_void_p), ("used", ctypes.c_int64), ("room", ctypes.c_int64),
                ("probes", ctypes.c_void_p), ("probe_used", ctypes.c_int64), ("probe_room", ctypes.c_int64),
            ]

        self._Control = Control
        library.machine_size.restype = ctypes.c_size_t
        library.machine_run.restype = ctypes.c_int64
        library.machine_run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
        for name in ("machine_fill", "machine_read"):
            getattr(library, name).argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_int64]
        library.machine_reset.argtypes = [ctypes.c_void_p]
        self._state = ctypes.create_string_buffer(library.machine_size())

    def run(self, contents, straps, *, max_clocks, sink, probe=False):
        window = probe if isinstance(probe, range) else range(max_clocks if probe else 0)
        control = self.start(contents, straps)
        records = (ctypes.c_uint64 * max(_ROOM, len(self._limbs) * (1 + max(self._limbs))))()
        probes = (ctypes.c_uint64 * max(_ROOM, self._probe_limbs))()
        control.records, control.room, control.traced = ctypes.addressof(records), len(records), 1
        control.probe_room = len(probes)
        clocks, ending = 0, Ending.LIMIT
        while clocks < max_clocks:
            # A chunk lies within the window or outside of it.
            edge = next((edge for edge in (window.start, window.stop) if edge > clocks), max_clocks)
            control.probes = ctypes.addressof(probes) if clocks in window else None
            control.used = control.probe_used = 0
            ran = self.advance(control, min(edge, max_clocks) - clocks)
            stop = self._tell(sink, clocks, ran, memoryview(records).cast("B").cast("Q")[:control.used],
                              memoryview(probes).cast("B")[:8 * control.probe_used])
            if stop is not None:
                # The machine ran on to the end of the chunk, and its arena with it: the run is repeated up to the stop.
                clocks, ending = stop + 1, Ending.STOPPED
                self.advance(self.start(contents, straps), clocks)
                break
            clocks += ran
            if control.trapped or control.quiet:
                ending = Ending.TRAP if control.trapped else Ending.QUIET
                break
        return Outcome(clocks, ending, self.arena())

    def start(self, contents, straps):
        """Reset and load; what the machine is to be told to run its first clock, without records."""
        self._library.machine_reset(self._state)
        self._load(contents)
        control = self._Control()
        self._set(control, "straps", straps_layout.const(straps.as_const()).as_bits())
        self.advance(control, 1)                # word 0 reaches the output of the microcode store
        self._set(control, "run", 1)
        control.clock = 0
        return control

    def advance(self, control, clocks):
        """Run on from ``start`` or from where the last ``advance`` ended; how many clocks were run."""
        return self._library.machine_run(self._state, ctypes.byref(control), clocks)

    def arena(self):
        """The words of the arena."""
        n_banks = self.config.n_banks
        words = [0] * self.config.arena_depth
        depth = len(words) // n_banks
        for bank in range(n_banks):
            rows = (ctypes.c_uint64 * depth)()
            self._library.machine_read(self._state, 1 + bank, rows, depth)
            words[bank::n_banks] = rows
        return tuple(words)

    def _load(self, contents):
        n_banks = self.config.n_banks
        words = [0] * self.config.arena_depth
        for address, word in contents.arena.items():
            words[address] = word
        self._fill(0, contents.microcode)
        for bank in range(n_banks):
            self._fill(1 + bank, words[bank::n_banks])

    def _fill(self, memory, words):
        self._library.machine_fill(self._state, memory, (ctypes.c_uint64 * len(words))(*words), len(words))

    def _set(self, control, port, value):
        for number, (name, low, width) in enumerate(self._inputs):
            if name == port:
                control.input[number] = value >> low & (1 << width) - 1

    def _tell(self, sink, first, ran, words, probes):
        """Hand a chunk to the sink; the clock at which it wants to stop, or None."""
        by_clock, limbs = {}, self._limbs
        words, position = words.tolist(), 0
        while position < len(words):
            index = words[position] & 0xFFFF
            raw = words[position + 1]
            for number in range(1, limbs[index]):
                raw |= words[position + 1 + number] << number * LIMB
            by_clock.setdefault(words[position] >> 16, []).append((index, raw))
            position += 1 + limbs[index]
        on_clock = sink.on_clock
        if not probes:
            return next((clock for clock, records in by_clock.items() if on_clock(clock, records, None)), None)
        size = 8 * self._probe_limbs
        for clock in range(first, first + ran):
            raw = int.from_bytes(probes[(clock - first) * size:(clock - first + 1) * size], "little")
            if on_clock(clock, by_clock.get(clock, []), raw):
                return clock
        return None
