"""The save file that opens a VCD in GTKWave with the useful signals in order, and the filters that it uses.

All file names in it are relative. GTKWave finds them from any working directory, and after the folder has moved, because the save
file also names itself (``[savefile]``): GTKWave 3.3.118 then resolves names relative to the save file, and otherwise looks in the
working directory [measured].
"""

import io
import math

from vcd.gtkw import GTKWColor, GTKWSave, make_translation_filter

from rtl.apic.message import DeliveryMode
from rtl.core.microword import Op
from rtl.core.seen import CoreState
from rtl.events import ApicEvent, Event
from rtl.memory.port import MemoryOp

from ..files import make_folder, write_together
from ..stages import COLOURS
from .view import Group, view_of
from .writer import CLOCK_NS

__all__ = ["write_gtkw"]

_WIDTH, _HEIGHT, _NAMES_WIDTH = 1600, 1000, 440
_COLOURS = {stage.text: colour for stage, colour in COLOURS.items()}
#: Pixels for the frames, the closed signal tree and the scroll bar.
_BORDER = 70
#: GTKWave's zoom is minus the logarithm to base 2 of the time units in this many pixels.
_ZOOM_PIXELS = 200


def write_gtkw(writer):
    """Write the ``.gtkw`` beside the VCD of a closed ``WaveWriter``, and its filters in a folder beside it.

    The first call fills the window; the marker (also the named marker A) is on the first violation. Returns the path.
    """
    path = writer.path.with_suffix(".gtkw")
    folder = path.with_suffix(".filters")
    make_folder(folder)
    filters = {
        "state": CoreState, "op": Op, "event": Event, "apic_event": ApicEvent, "memory_op": MemoryOp, "mode": DeliveryMode,
    }
    numbers = {name: [(member.value, member.name) for member in members] for name, members in filters.items()}
    numbers["stage"] = [_coloured(number, text) for number, text in enumerate(writer.stages)]
    text = io.StringIO()
    _Save(writer, GTKWSave(text), folder.name).write()
    write_together(*((folder / f"{name}.txt", make_translation_filter(items, "dec") + "\n") for name, items in numbers.items()),
                (path, text.getvalue()))
    return path


def _coloured(number, text):
    """A stage as a filter translates it. GTKWave fills a value with the colour in front of its text: since 3.0.30, from 2007; older
    ones show ``?colour?`` as text. No stage is an empty black one."""
    colour = "black" if not text else _COLOURS.get(text)
    return number, f"?{colour}?{text}" if colour else text


class _Save:
    def __init__(self, writer, save, filters):
        self._writer = writer
        self._save = save
        self._filters = filters

    def write(self):
        writer, save = self._writer, self._save
        save.dumpfile(writer.path.name, abspath=False)
        save.savefile(writer.path.with_suffix(".gtkw").name, abspath=False)
        save.size(_WIDTH, _HEIGHT)
        save.pos()
        save.sst_expanded(False)
        save.signals_width(_NAMES_WIDTH)
        view = view_of(writer)
        # A little room on both sides.
        length = len(view.clocks) * 1.05
        save.timestart(max(writer.start, int(view.clocks.start - length * 0.02)) * CLOCK_NS)
        ns_per_pixel = length * CLOCK_NS / (_WIDTH - _NAMES_WIDTH - _BORDER)
        marker = -1 if view.marked is None else view.marked * CLOCK_NS
        save.zoom_markers(-math.log2(ns_per_pixel * _ZOOM_PIXELS), marker, a=marker)
        self._show(view.items)

    def _show(self, items):
        for item in items:
            if isinstance(item, Group):
                with self._save.group(item.title, closed=item.closed):
                    self._show(item.items)
            else:
                self._trace(item)

    def _trace(self, trace):
        # Its filters do not translate texts.
        signal = trace.coded or trace.signal
        width = self._writer.signals[signal]
        # GTKWave finds a vector only with its range.
        full = f"{signal}[{width - 1}:0]" if width > 1 else signal
        color = trace.color and GTKWColor[trace.color]
        # The filters match decimal numbers.
        self._save.trace(full, trace.alias, color, datafmt="dec" if trace.meanings else trace.numbers,
                         translate_filter_file=trace.meanings and f"{self._filters}/{trace.meanings}.txt")
