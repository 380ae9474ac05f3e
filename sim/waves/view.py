"""The initial view of a VCD: groups of traces, their names and colours, and the clocks that fill the window."""

from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["Group", "Trace", "View", "view_of"]

#: With more cores than this their groups are closed, and a group above them shows the stage of each.
_OPEN_CORES = 8


@dataclass(frozen=True)
class Trace:
    """A signal. alias : the displayed name.  color : one of GTKWave's, or None.  numbers : "hex" or "dec".
    meanings : the name of the list that translates its numbers, or None.
    coded : if the signal is text, one with the numbers of these texts, for viewers that translate and colour them; or None."""

    signal: str
    alias: str
    color: str | None
    numbers: str
    meanings: str | None
    coded: str | None = None


@dataclass(frozen=True)
class Group:
    """Traces and groups under a title. closed : only the title is visible at first."""

    title: str
    closed: bool
    items: list = field(default_factory=list)


@dataclass(frozen=True)
class View:
    """items : Traces and Groups, from the top.  clocks : the range that fills the window.  marked : the clock of the marker, or
    None."""

    items: list
    clocks: range
    marked: int | None


def view_of(writer):
    """The View of the VCD of a closed ``WaveWriter``: its first call fills the window, and its first violation is marked."""
    first, last = writer.first_call or (writer.start, min(writer.end, writer.start + 200) - 1)
    return View(_Builder(writer).items, range(first, last + 1), writer.first_violation)


class _Builder:
    def __init__(self, writer):
        self._writer = writer
        self.items = []
        self._open = [self.items]
        self._build()

    @contextmanager
    def _group(self, title, closed=False):
        group = Group(title, closed)
        self._open[-1].append(group)
        self._open.append(group.items)
        yield
        self._open.pop()

    def _trace(self, signal, alias=None, color=None, datafmt="hex", filter_name=None, coded=None):
        alias = alias or signal.rpartition(".")[2].removesuffix("_text")
        self._open[-1].append(Trace(signal, alias, color, datafmt, filter_name, coded))

    def _stage(self, core, alias):
        self._trace(f"core{core}.stage_text", alias, "orange", filter_name="stage", coded=f"core{core}.stage")

    def _build(self):
        self._trace("run.clock", datafmt="dec")
        self._trace("calls.violation_text", "violation", "red")
        self._trace("calls.vanished_text", "vanished message", "red")
        n_cores = self._writer.config.n_cores
        if n_cores > _OPEN_CORES:
            with self._group("stage of each core"):
                for core in range(n_cores):
                    self._stage(core, f"core {core}")
        for core in range(n_cores):
            self._core(core, n_cores > _OPEN_CORES)
        self._fabric(n_cores > _OPEN_CORES)
        self._arena()
        for bank in range(self._writer.config.n_banks):
            with self._group(f"bank {bank}: what became visible", closed=True):
                for name in ("core", "op_text", "name", "old", "new", "count"):
                    self._trace(f"bank{bank}.{name}")

    def _core(self, core, closed):
        scope, apic = f"core{core}", f"apic{core}"
        with self._group(f"core {core}", closed):
            self._stage(core, "stage")
            self._trace(f"{scope}.call_text", "call", "yellow")
            self._trace(f"{scope}.routine", color="normal")
            self._trace(f"{scope}.event_text", "event")
            self._trace(f"{apic}.interrupt", "interrupt", "indigo")
            self._trace(f"{scope}.interrupts_on", color="normal")
            for name, signal in self._own(core):
                self._trace(signal, name, "green")
            with self._group(f"core {core}: more", closed=True):
                self._trace(f"{scope}.label")
                self._trace(f"{scope}.state_text", "state")
                with self._group(f"core {core}: microcode", closed=True):
                    for name in ("pc", "op_text", "source", "line", "go", "depth"):
                        self._trace(f"{scope}.{name}")
                with self._group(f"core {core}: registers", closed=True):
                    for number in range(8):
                        self._trace(f"{scope}.r{number}")
                with self._group(f"core {core}: last event, last memory operation", closed=True):
                    for name in ("event_text", "a", "b", "count", "memory_op_text", "memory_name", "memory_result", "memory_count"):
                        self._trace(f"{scope}.{name}")
                with self._group(f"core {core}: memory port", closed=True):
                    for name in ("valid", "done", "op_text", "name", "data"):
                        self._trace(f"{scope}.port.{name}")
                    if self._writer.config.store_buffer_depth:
                        self._trace(f"{scope}.port.stores", datafmt="dec")
                with self._group(f"core {core}: APIC", closed=True):
                    for name in ("irr", "isr", "tpr", "vector", "event_text", "event_vector", "event_destination", "count"):
                        self._trace(f"{apic}.{name}")
                with self._group(f"core {core}: numbers", closed=True):
                    for name, filter_name in (("stage", "stage"), ("event", "event"), ("state", "state"), ("op", "op")):
                        self._trace(f"{scope}.{name}", filter_name=filter_name)
                    self._trace(f"{scope}.port.op", "port op", filter_name="memory_op")
                    self._trace(f"{apic}.event", "apic event", filter_name="apic_event")
                    self._trace(f"{apic}.icr_mode", filter_name="mode")

    def _own(self, core):
        """(name, signal) of the flags and the counts of outstanding targets of this core's requests. (GTKWave shows only the last
        part of a name with dots.)"""
        image, signals = self._writer.image, {signal.replace("\\", ""): signal for signal in self._writer.signals}
        for role, suffix in (("csd.flags", "_text"), ("targets.count", "")):
            for item, name, _ in image.places(role):
                if item.cpu == core:
                    yield name.replace(f"[{core}]", "", 1).replace(".", " "), signals[f"arena.{name}{suffix}"]

    def _fabric(self, closed):
        with self._group("fabric", closed):
            for core in range(self._writer.config.n_cores):
                scope = f"fabric.core{core}"
                self._trace(f"{scope}.busy", f"core {core} sends", "indigo")
                self._trace(f"{scope}.call_text", "  for call", "yellow")
                self._trace(f"{scope}.destination", "  to core", "normal", datafmt="dec")
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
        with self._group("arena"):
            for base, signals in groups.items():
                with self._group(base, closed=True):
                    for signal, shown in signals:
                        self._trace(signal, shown)
