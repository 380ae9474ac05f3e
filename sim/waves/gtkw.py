"""The save file that opens a VCD in GTKWave as a person wants to see it, and the filters that it uses.

All names of files in it are relative. GTKWave finds them from any working directory, and after the folder has moved,
because the save file also names itself (``[savefile]``): GTKWave 3.3.118 resolves names relative to a save file that
says so, and looks in the working directory otherwise [measured].
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
from .writer import CLOCK_NS

__all__ = ["write_gtkw"]

_WIDTH, _HEIGHT, _NAMES_WIDTH = 1600, 1000, 440
#: What the frames, the closed signal tree and the scroll bar take.
_BORDER = 70
#: GTKWave's zoom is minus the logarithm to base 2 of the time units in so many pixels.
_ZOOM_PIXELS = 200
#: With more cores their groups are closed, and a group above them shows what each is at.
_OPEN_CORES = 8


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
    numbers["stage"] = [(number, text) for number, text in enumerate(writer.stages) if text]
    text = io.StringIO()
    _Save(writer, GTKWSave(text), folder.name).write()
    write_together(*((folder / f"{name}.txt", make_translation_filter(items, "dec") + "\n") for name, items in numbers.items()),
                (path, text.getvalue()))
    return path


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
        first, last = writer.first_call or (writer.start, min(writer.end, writer.start + 200) - 1)
        # A little room on both sides.
        length = (last + 1 - first) * 1.05
        save.timestart(max(writer.start, int(first - length * 0.02)) * CLOCK_NS)
        ns_per_pixel = length * CLOCK_NS / (_WIDTH - _NAMES_WIDTH - _BORDER)
        marker = -1 if writer.first_violation is None else writer.first_violation * CLOCK_NS
        save.zoom_markers(-math.log2(ns_per_pixel * _ZOOM_PIXELS), marker, a=marker)

        self._trace("run.clock", datafmt="dec")
        self._trace("calls.violation_text", "violation", GTKWColor.red)
        self._trace("calls.vanished_text", "vanished message", GTKWColor.red)
        n_cores = writer.config.n_cores
        if n_cores > _OPEN_CORES:
            with save.group("stage of each core"):
                for core in range(n_cores):
                    self._trace(f"core{core}.stage_text", f"core {core}", GTKWColor.orange)
        for core in range(n_cores):
            self._core(core, n_cores > _OPEN_CORES)
        self._fabric(n_cores > _OPEN_CORES)
        self._arena()
        for bank in range(writer.config.n_banks):
            with save.group(f"bank {bank}: what became visible", closed=True):
                for name in ("core", "op_text", "name", "old", "new", "count"):
                    self._trace(f"bank{bank}.{name}")

    def _core(self, core, closed):
        save, scope, apic = self._save, f"core{core}", f"apic{core}"
        with save.group(f"core {core}", closed):
            self._trace(f"{scope}.stage_text", "stage", GTKWColor.orange)
            self._trace(f"{scope}.call_text", "call", GTKWColor.yellow)
            self._trace(f"{scope}.routine", color=GTKWColor.normal)
            self._trace(f"{scope}.event_text", "event")
            self._trace(f"{apic}.interrupt", "interrupt", GTKWColor.indigo)
            self._trace(f"{scope}.interrupts_on", color=GTKWColor.normal)
            for name, signal in self._own(core):
                self._trace(signal, name, GTKWColor.green)
            with save.group(f"core {core}: more", closed=True):
                self._trace(f"{scope}.label")
                self._trace(f"{scope}.state_text", "state")
                with save.group(f"core {core}: microcode", closed=True):
                    for name in ("pc", "op_text", "source", "line", "go", "depth"):
                        self._trace(f"{scope}.{name}")
                with save.group(f"core {core}: registers", closed=True):
                    for number in range(8):
                        self._trace(f"{scope}.r{number}")
                with save.group(f"core {core}: last event, last memory operation", closed=True):
                    for name in ("event_text", "a", "b", "count", "memory_op_text", "memory_name", "memory_result", "memory_count"):
                        self._trace(f"{scope}.{name}")
                with save.group(f"core {core}: memory port", closed=True):
                    for name in ("valid", "done", "op_text", "name", "data"):
                        self._trace(f"{scope}.port.{name}")
                    if self._writer.config.store_buffer_depth:
                        self._trace(f"{scope}.port.stores", datafmt="dec")
                with save.group(f"core {core}: APIC", closed=True):
                    for name in ("irr", "isr", "tpr", "vector", "event_text", "event_vector", "event_destination", "count"):
                        self._trace(f"{apic}.{name}")
                with save.group(f"core {core}: numbers", closed=True):
                    for name, filter_name in (("stage", "stage"), ("event", "event"), ("state", "state"), ("op", "op")):
                        self._trace(f"{scope}.{name}", filter_name=filter_name)
                    self._trace(f"{scope}.port.op", "port op", filter_name="memory_op")
                    self._trace(f"{apic}.event", "apic event", filter_name="apic_event")
                    self._trace(f"{apic}.icr_mode", filter_name="mode")

    def _own(self, core):
        """(name, signal) of the flags, and of the counts of targets still to come, of what is queued for this core's calls. (Of a
        name with dots GTKWave shows the last part.)"""
        image, signals = self._writer.image, {signal.replace("\\", ""): signal for signal in self._writer.signals}
        for role, suffix in (("csd.flags", "_text"), ("targets.count", "")):
            for item, name, _ in image.places(role):
                if item.cpu == core:
                    yield name.replace(f"[{core}]", "", 1).replace(".", " "), signals[f"arena.{name}{suffix}"]

    def _fabric(self, closed):
        with self._save.group("fabric", closed):
            for core in range(self._writer.config.n_cores):
                scope = f"fabric.core{core}"
                self._trace(f"{scope}.busy", f"core {core} sends", GTKWColor.indigo)
                self._trace(f"{scope}.call_text", "  for call", GTKWColor.yellow)
                self._trace(f"{scope}.destination", "  to core", GTKWColor.normal, datafmt="dec")
                self._trace(f"{scope}.vector", "  vector")
                self._trace(f"{scope}.delivered", f"delivered to core {core}", datafmt="dec")
                self._trace(f"{scope}.delivered_source", "  from core", datafmt="dec")

    def _arena(self):
        """All objects, in one closed group for each declared name."""
        bases = {item.name: item.base for item in self._writer.image.objects}
        groups = {}
        for signal in self._writer.signals:
            scope, _, name = signal.partition(".")
            if scope == "arena":
                shown = name.replace("\\", "")
                item = shown.partition(".")[0].removesuffix("->")
                base = bases.get(item) or bases[item.removesuffix("_text")]
                groups.setdefault(base, []).append((signal, shown))
        with self._save.group("arena"):
            for base, signals in groups.items():
                with self._save.group(base, closed=True):
                    for signal, shown in signals:
                        self._trace(signal, shown)

    def _trace(self, name, alias=None, color=None, datafmt="hex", filter_name=None):
        width = self._writer.signals[name]
        # GTKWave knows a vector only with its range.
        full = f"{name}[{width - 1}:0]" if width > 1 else name
        alias = alias or name.rpartition(".")[2].removesuffix("_text")
        # The filters know decimal numbers.
        self._save.trace(full, alias, color, datafmt="dec" if filter_name else datafmt,
                         translate_filter_file=filter_name and f"{self._filters}/{filter_name}.txt")
