"""How often each microword was begun.

The probe shows that: in RUN, and not held back, a core begins the word at its pc, unless it takes an interrupt instead, which the
next clock shows. What the last clock of a run begins is not counted.
"""

from collections import Counter

from rtl.core.seen import CoreState
from rtl.probe import probe_layout

__all__ = ["SEEN", "Begun", "Seen", "seen_in"]

_RUN = CoreState.RUN.value
_WAIT_STARTUP = CoreState.WAIT_STARTUP.value
#: What is looked at of a core, as the probe names it: ``(state, go, pc, depth)``.
Seen = tuple[int, int, int, int]
SEEN = ("state", "go", "pc", "depth")


def seen_in(config):
    """A function that takes the probe apart: raw -> the Seen of each core."""
    tiles = probe_layout(config)["tile"]
    core = tiles.shape.elem_shape["core"]
    bases = [tiles.offset + number * tiles.shape.elem_shape.size + core.offset for number in range(config.n_cores)]
    fields = [(core.shape[name].offset, (1 << core.shape[name].width) - 1) for name in SEEN]

    def take_apart(probe):
        return [tuple(probe >> base >> offset & mask for offset, mask in fields) for base in bases]

    return take_apart


class Begun:
    """Counts. A Sink that must be given the probe, or told what it shows by ``add``.

    counts : address of a word -> how often cores have begun it, all together.
    """

    def __init__(self, config):
        self.counts = Counter()
        self._seen = seen_in(config)
        self._pending = [None] * config.n_cores     # (pc, depth) of a word that the core begins, unless it takes an interrupt

    def on_clock(self, clock, records, probe):
        for core, seen in enumerate(self._seen(probe)):
            self.add(core, seen)
        return False

    def add(self, core: int, seen: Seen, clocks=1):
        """A core is seen like this for so many clocks."""
        state, go, pc, depth = seen
        if self._pending[core] is not None:
            before, level = self._pending[core]
            # INIT hides whether there was an interrupt.
            if depth <= level and state != _WAIT_STARTUP:
                self.counts[before] += 1
        begins = go and state == _RUN
        self._pending[core] = (pc, depth) if begins else None
        if begins and clocks > 1:
            self.counts[pc] += clocks - 1
