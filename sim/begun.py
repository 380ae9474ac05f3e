"""How often each microword was begun.

The probe shows it: in RUN, when it is not held, a core begins the word at its pc, unless it takes an interrupt instead, which the
next clock shows. A fence that waits for stores stays in RUN as well, and so do some other words; only a word that may jump to
itself begins in each clock. What the last clock of a run begins is not counted.
"""

from collections import Counter

from rtl.core.seen import CoreState
from rtl.probe import probe_layout

__all__ = ["SEEN", "Begun", "Seen", "seen_in"]

_RUN = CoreState.RUN.value
_WAIT_STARTUP = CoreState.WAIT_STARTUP.value
#: The fields of a core that matter, as the probe names them: ``(state, go, pc, depth)``.
Seen = tuple[int, int, int, int]
SEEN = ("state", "go", "pc", "depth")


def seen_in(config):
    """A function that decodes the probe: raw -> the Seen of each core."""
    tiles = probe_layout(config)["tile"]
    core = tiles.shape.elem_shape["core"]
    bases = [tiles.offset + number * tiles.shape.elem_shape.size + core.offset for number in range(config.n_cores)]
    fields = [(core.shape[name].offset, (1 << core.shape[name].width) - 1) for name in SEEN]

    def take_apart(probe):
        return [tuple(probe >> base >> offset & mask for offset, mask in fields) for base in bases]

    return take_apart


class Begun:
    """Counts. A Sink that needs the probe, or is told what it shows by ``add``.

    image : of the run.
    counts : address of a word -> how often all cores together have begun it.
    begun : called for each word that a core has begun, in the clock after it.
    """

    def __init__(self, config, image):
        self.counts = Counter()
        self._seen = seen_in(config)
        self._repeats = image.repeats
        self._pending = [None] * config.n_cores     # (pc, depth) of a word that the core begins, unless it takes an interrupt
        self._open = [None] * config.n_cores        # the same of a word that it has begun and, as far as it shows, not left

    def on_clock(self, clock, records, probe):
        for core, seen in enumerate(self._seen(probe)):
            self.add(core, seen)
        return False

    def add(self, core: int, seen: Seen, clocks=1):
        """A core looks like this for this many clocks."""
        state, go, pc, depth = seen
        here = (pc, depth)
        if (pending := self._pending[core]) is not None:
            self._pending[core] = None
            # INIT hides whether there was an interrupt.
            if depth <= pending[1] and state != _WAIT_STARTUP:
                self._open[core] = pending
                self.begun(core, pending[0])
        if state != _RUN or self._open[core] != here:
            self._open[core] = None
        if state == _RUN and go:
            repeats = pc in self._repeats
            if repeats or self._open[core] is None:
                self._pending[core] = here
            if repeats and clocks > 1:
                self.counts[pc] += clocks - 1

    def begun(self, core, address):
        self.counts[address] += 1
