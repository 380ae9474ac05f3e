"""What the engines of native code share: the C interface of a built machine, and the runs on it.

The interface is C, whatever the language behind it::

    size_t machine_size(void);                          // of the state, which the caller keeps
    void machine_reset(void *state);
    int64_t machine_fill(void *state, int memory, const uint64_t *words, int64_t count);    // from row 0
    int64_t machine_read(void *state, int memory, uint64_t *words, int64_t count);
    int64_t machine_run(void *state, Control *control, int64_t clocks);     // -> clocks that ran

``machine_fill`` and ``machine_read`` return how many words they have moved: ``count``, unless the memory is smaller; none for a
memory that does not exist. ``machine_run`` ends after ``clocks``, with a clock in which the machine is quiet or trapped, or when a
buffer cannot hold another clock. Memory 0 is the microcode, 1 and up are the banks of the arena. ``control_type`` defines
``Control``. Of its outputs, ``quiet`` and ``trapped`` are always valid, the others only while ``traced``:

- records, in their buffer: a word ``clock << 16 | source``, then the raw record, lowest word first. If ``recorded``, a change of
  the schedule in force is a record of the source after the last;
- the probe of each clock, if ``probes`` is not NULL;
- the flags of the last clock.
"""

import ctypes
from bisect import bisect

from rtl.config import straps_layout
from rtl.monitor import Monitor, flags_layout, profile_layout
from rtl.probe import probe_layout
from rtl.schedule import plan_layout, schedule_layout
from sim.records import Sources
from sim.runs.monitor import clocks_of_flags

from .engine import Ending, Engine, Outcome

__all__ = ["LIMB", "NativeEngine", "control_type", "limbs_of"]

#: Bits of the words in which all data go in and out.
LIMB = 64
#: Words of each buffer, for records and for probes.
_ROOM = 1 << 16
#: Clocks after which the code returns even without an observer, so that Ctrl-C is noticed.
_CHUNK = 1 << 17


def limbs_of(width):
    """How many words a value takes."""
    return -(-width // LIMB)


def control_type(config, inputs):
    """The structure Control, of a program whose input words are ``inputs``."""
    class Control(ctypes.Structure):
        _fields_ = [
            ("input", ctypes.c_uint64 * max(1, len(inputs))), ("clock", ctypes.c_uint64),
            ("quiet", ctypes.c_uint64), ("trapped", ctypes.c_uint64), ("traced", ctypes.c_int64),
            ("records", ctypes.c_void_p), ("used", ctypes.c_int64), ("room", ctypes.c_int64),
            ("recorded", ctypes.c_int64), ("schedule", ctypes.c_uint64 * limbs_of(schedule_layout(config).size)),
            ("flags", ctypes.c_uint64 * limbs_of(flags_layout.size)),
            ("probes", ctypes.c_void_p), ("probe_used", ctypes.c_int64), ("probe_room", ctypes.c_int64),
        ]

    return Control


def _raw(layout, values):
    """The bits of Straps or of a Plan. (Amaranth's own constants take longer than a short run.)"""
    return sum(int(getattr(value, "value", value)) << layout[name].offset for name, value in values.as_const().items())


class NativeEngine(Engine):
    """A Rig in a loaded library. The records, the probe, the schedule, the flags, the ending and the arena equal those of PySim,
    clock for clock.

    Parameters
    ----------
    config : MachineConfig.
    library : as ``ctypes.CDLL`` loads it.
    inputs : the words of ``Control.input`` as (port, low, width).
    build_seconds : processor time of making it; for a cached library, when it was made.
    """

    def __init__(self, config, library, inputs, *, build_seconds):
        self.config = config
        self.build_seconds = build_seconds
        self._library = library
        self._inputs = inputs
        sources = Sources(config)
        self._limbs = [limbs_of(sources.layouts[kind].size) for kind in sources.kinds]
        self._limbs.append(limbs_of(schedule_layout(config).size))
        self._probe_limbs = limbs_of(probe_layout(config).size)
        self._Control = control_type(config, inputs)
        library.machine_size.restype = ctypes.c_size_t
        library.machine_run.restype = ctypes.c_int64
        library.machine_run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
        for name in ("machine_fill", "machine_read"):
            getattr(library, name).argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_int64]
            getattr(library, name).restype = ctypes.c_int64
        library.machine_reset.argtypes = [ctypes.c_void_p]
        self._state = ctypes.create_string_buffer(library.machine_size())
        # One clock of any machine fits.
        self._records = (ctypes.c_uint64 * max(_ROOM, len(self._limbs) + sum(self._limbs)))()
        self._probes = (ctypes.c_uint64 * max(_ROOM, self._probe_limbs))()

    def run(self, job, *, sink=None, probe=False, record=False):
        max_clocks, replay = job.max_clocks, sorted(job.replay)
        window = probe if isinstance(probe, range) else range(max_clocks if probe else 0)
        control = self.start(job)
        control.traced, control.recorded = sink is not None or record, record
        clocks, ending, changes = 0, Ending.LIMIT, []
        while clocks < max_clocks:
            # A chunk lies inside or outside the window.
            edge = next((edge for edge in (window.start, window.stop) if edge > clocks), max_clocks)
            control.probes = ctypes.addressof(self._probes) if clocks in window else None
            control.used = control.probe_used = 0
            ran = self._advance(control, clocks, min(edge, max_clocks, clocks + _CHUNK), replay)
            stop = None
            if control.traced:
                stop = self._tell(sink, clocks, ran, memoryview(self._records).cast("B").cast("Q")[:control.used],
                                  memoryview(self._probes).cast("B")[:8 * control.probe_used], changes)
            if stop is not None:
                # The machine has run on to the end of the chunk, which it must not: run once more up to here.
                clocks, ending = stop + 1, Ending.STOPPED
                control = self.start(job)
                reached = 0
                while reached < clocks:
                    reached += self._advance(control, reached, clocks, replay)
                changes = [change for change in changes if change[0] < clocks]
                break
            clocks += ran
            if control.trapped or control.quiet:
                ending = Ending.TRAP if control.trapped else Ending.QUIET
                break
        arena = self.arena()
        return Outcome(clocks, ending, arena, self._flags(control), tuple(changes) if record else None)

    def start(self, job):
        """Reset and load. Returns the Control of a machine that is before clock 0 and gives no records."""
        self._library.machine_reset(self._state)
        self._load(job.contents)
        control = self._Control()
        control.records, control.room, control.probe_room = ctypes.addressof(self._records), len(self._records), len(self._probes)
        self._set(control, "straps", _raw(straps_layout, job.straps))
        self._set(control, "plan", _raw(plan_layout, job.plan))
        self._set(control, "patience", job.patience)
        self._set(control, "profile", profile_layout(self.config).const(job.profile.as_const()).as_bits())
        self._set(control, "replay", dict(job.replay).get(0, 0))
        self.advance(control, 1)                # word 0 reaches the output of the microcode store
        self._set(control, "run", 1)
        control.clock = 0
        return control

    def advance(self, control, clocks):
        """Continue from where ``start`` or the last ``advance`` ended. Returns how many clocks ran."""
        return self._library.machine_run(self._state, ctypes.byref(control), clocks)

    def _advance(self, control, clock, limit, replay):
        """Run from ``clock`` to at most ``limit``, or to the next change of a replayed schedule."""
        if replay:
            # The schedule in force in a clock is an input of the clock before.
            position = bisect(replay, clock + 1, key=lambda change: change[0])
            if position:
                self._set(control, "replay", replay[position - 1][1])
            if position < len(replay):
                limit = min(limit, replay[position][0] - 1)
        return self.advance(control, limit - clock)

    def _flags(self, control):
        """The flags once the Monitor has seen the last clock."""
        self._set(control, "run", 0)
        control.traced, control.recorded, control.probes = 1, 0, None
        for _ in range(Monitor.LATENCY + 1):
            control.used = 0
            self.advance(control, 1)
        return clocks_of_flags(int.from_bytes(bytes(control.flags), "little"))

    def arena(self):
        """The words of the arena."""
        n_banks = self.config.n_banks
        words = [0] * self.config.arena_depth
        depth = len(words) // n_banks
        for bank in range(n_banks):
            rows = (ctypes.c_uint64 * depth)()
            self._check(self._library.machine_read(self._state, 1 + bank, rows, depth), depth, 1 + bank)
            words[bank::n_banks] = rows
        return tuple(words)

    def _load(self, contents):
        n_banks = self.config.n_banks
        words = [0] * self.config.arena_depth
        for address, word in contents.arena.items():
            if not 0 <= address < len(words):
                raise ValueError(f"there is no word {address}: the arena has {len(words)}")
            words[address] = word
        self._fill(0, contents.microcode)
        for bank in range(n_banks):
            self._fill(1 + bank, words[bank::n_banks])

    def _fill(self, memory, words):
        moved = self._library.machine_fill(self._state, memory, (ctypes.c_uint64 * len(words))(*words), len(words))
        self._check(moved, len(words), memory)

    @staticmethod
    def _check(moved, count, memory):
        if moved != count:
            raise ValueError(f"memory {memory} has fewer words than {count}")

    def _set(self, control, port, value):
        for number, (name, low, width) in enumerate(self._inputs):
            if name == port:
                control.input[number] = value >> low & (1 << width) - 1

    def _tell(self, sink, first, ran, words, probes, changes):
        """Pass a chunk to the sink. Returns the clock at which it wants to stop, or None. Collects changes of the schedule."""
        by_clock, limbs = {}, self._limbs
        words, position, schedule = words.tolist(), 0, len(limbs) - 1
        while position < len(words):
            clock, index = words[position] >> 16, words[position] & 0xFFFF
            raw = words[position + 1]
            for number in range(1, limbs[index]):
                raw |= words[position + 1 + number] << number * LIMB
            position += 1 + limbs[index]
            if index == schedule:
                changes.append((clock, raw))
            elif clock in by_clock:
                by_clock[clock].append((index, raw))
            else:
                by_clock[clock] = [(index, raw)]
        if sink is None:
            return None
        on_clock = sink.on_clock
        if not probes:
            return next((clock for clock, records in by_clock.items() if on_clock(clock, records, None)), None)
        size = 8 * self._probe_limbs
        for clock in range(first, first + ran):
            raw = int.from_bytes(probes[(clock - first) * size:(clock - first + 1) * size], "little")
            if on_clock(clock, by_clock.get(clock, []), raw):
                return clock
        return None
