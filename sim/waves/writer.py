"""The one VCD writer: every engine feeds it, and nothing else writes waves.

pyvcd writes the header and the first dump; this file writes the value changes after them, because pyvcd's ``change()`` costs 1.3 us
and four cores make 40 changes in a clock: 52 us, where PySim runs a clock in 200 to 300 and waves may cost a fifth of that. Here a
clock of four cores costs 25 us in all (of 32 cores, 180): the packed probe is compared tile by tile, only the fields that differ
are examined, and a field with few values (a state, a microcode address) keeps the finished text of each value it has had.
"""

from pathlib import Path, PurePath

from amaranth.lib import data
from amaranth.utils import ceil_log2
from vcd import VCDWriter

from rtl.apic.message import DeliveryMode, message_layout
from rtl.core.microword import MicroWord, Op
from rtl.core.seen import CoreState
from rtl.events import ApicEvent, Event
from rtl.memory.port import MemoryOp
from rtl.probe import tile_probe_layout

from ..errors import InputError
from ..records import Sources
from ..texts import count
from .arena import ArenaSignals, word_names
from .header import end_mark, header_text
from .output import OutputFile, OutputStream

__all__ = ["CLOCK_NS", "ESCAPES", "WaveWriter"]

#: The timescale is 1 ns: clock ``c`` is shown during [CLOCK_NS * c, CLOCK_NS * (c + 1)).
CLOCK_NS = 10

_COUNT_BITS = 32
_OP = MicroWord.as_shape()["op"]
_TEXT = 0                             # width of a variable that holds text


def _names(enumeration):
    return {member.value: member.name for member in enumeration}


_STATES = _names(CoreState)
_OPS = _names(Op)
_EVENTS = _names(Event)
_APIC_EVENTS = _names(ApicEvent)
_MEMORY_OPS = _names(MemoryOp)
_MODES = _names(DeliveryMode)
#: A record's fields of a message -> width.
_MESSAGE = {name: field.width for name, field in message_layout}

#: A value ends at a space.
ESCAPES = {ord(" "): "\\x20", ord("\t"): "\\t", ord("\n"): "\\n", ord("\r"): "\\r", ord("\\"): "\\\\"}


def _plain(text):
    """Text that readers survive: GTKWave loses the variable after a non-ASCII character, and vcdvcd takes a "$" anywhere for the
    start of a keyword."""
    return text.encode("ascii", "replace").decode().replace("$", "?")


class _Variable:
    """One variable of the VCD and its value."""

    __slots__ = ("handle", "render", "value", "width")

    def __init__(self, handle, width, value):
        self.handle = handle
        self.width = width
        self.value = value
        ident = handle.ident
        if width == _TEXT:
            self.render = lambda value: f"s{value.translate(ESCAPES)} {ident}\n"
        elif width == 1:
            self.render = lambda value: f"{value:d}{ident}\n"
        else:
            self.render = lambda value: f"b{value:b} {ident}\n"


class _Number:
    """A field of the probe that is shown unchanged."""

    def __init__(self, variable):
        self._variable = variable
        render = variable.render
        self.change = lambda old, new: render(new)

    def explain(self, value):
        return [(self._variable, value)]


class _Code:
    """A field of the probe with few values. Several variables show it and change with it; ``meaning`` returns their values."""

    def __init__(self, variables, meaning):
        self.variables = tuple(variables)
        self._meaning = meaning
        self._texts = {}

    def explain(self, value):
        return zip(self.variables, self._meaning(value), strict=True)

    def change(self, old, new):
        text = self._texts.get(new)
        if text is None:
            text = self._texts[new] = "".join(variable.render(value) for variable, value in self.explain(new))
        return text


class _Address(_Code):
    """The microcode address: only some of its variables change from one value to the next."""

    def change(self, old, new):
        text = self._texts.get((old, new))
        if text is None:
            text = self._texts[old, new] = "".join(
                variable.render(value)
                for (variable, value), before in zip(self.explain(new), self._meaning(old), strict=True) if value != before)
        return text


class WaveWriter:
    """Writes the waves of one run, or of a window of it.

    A context manager: a run that ends in an exception, or without ``close``, leaves no file. It is also a sink for engines. It must
    see every clock that has records from the first clock of the run, even if it writes from a later one: the arena and the last
    record of each source are states.

    Parameters
    ----------
    target : path of the file, or a binary file, which stays open.
    config, image : of the run.
    arena : address -> word at the start of the run, on top of the image's: ``Contents.arena``.
    stages : the texts of the stages that ``annotate`` names by number. The first means no stage, and is shown as nothing.
    start : first clock to write. Its dump holds the value of every signal in that clock. Counts start here.
    meta : any JSON data; the reader returns it.
    comment : a sentence for readers of the file.

    Members
    -------
    signals : full name -> width of every signal; 0 is text.
    path : of the file, or None.  end : the clock after the last, when closed.
    first_call : (first, last) clock of the call that was annotated first, as far as it is in the file; or None.
    first_violation : the clock of the first violation in the file, or None.
    """

    def __init__(self, target, config, image, *, arena=None, stages=("",), start=0, meta=None, comment=""):
        self.config = config
        self.image = image
        self.start = start
        self.end = None
        self.stages = ("", *(_plain(text) for text in stages[1:]))
        self.signals = {}
        self.first_call = None
        self.first_violation = None
        self._sources = Sources(config)
        handlers = {"core": self._core_record, "apic": self._apic_record, "message": self._message_record,
                    "bank": self._commit_record}
        self._handlers = [handlers[kind] for kind in self._sources.kinds]
        self._clock = None
        self._counting = False        # whether this clock is written
        self._written = False         # whether header and first dump are
        self._pending = {}            # variable -> value in this clock
        self._lines = []              # value changes of this clock that are already text
        self._tiles = [None] * config.n_cores   # the probe of the clock before, by tile
        self._sent = []               # cores that sent a message in this clock
        self._left = {}               # source -> cores that its message has not reached
        self._calls = {None: 0}       # text -> number, in the order of their first annotation
        header = header_text(config, image, stages=self.stages, start=start, meta=meta, comment=comment)
        self.path = None if hasattr(target, "write") else Path(target)
        self._output = OutputFile(self.path) if self.path else OutputStream(target)
        # No date, so that the same run gives the same bytes.
        self._vcd = VCDWriter(self._output, "1 ns", date="", comment=header, version="crosscall",
                              init_timestamp=start * CLOCK_NS)
        try:
            self._declare({**image.arena, **(arena or {})})
        except BaseException:
            self.discard()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._output:
            self.discard()

    # --- input ----------------------------------------------------------------------------------------------------

    def on_clock(self, clock, records, probe):
        """One clock of the run. The probe is needed in every clock from ``start``, and ignored before."""
        self._advance(clock)
        for index, raw in records:
            self._handlers[index](self._sources.decode(clock, index, raw))
        if probe is None or not self._counting:
            return
        lines, tiles = self._lines, self._tiles
        size, mask = self._tile_size, self._tile_mask
        for number, fields in enumerate(self._fields):
            new = probe >> number * size & mask
            old = tiles[number]
            if new == old:
                continue
            tiles[number] = new
            if old is None:
                for offset, ones, _, field in fields:
                    self._pending.update(field.explain(new >> offset & ones))
                continue
            differ = new ^ old
            while differ:
                offset, ones, above, field = fields[(differ & -differ).bit_length() - 1]
                lines.append(field.change(old >> offset & ones, new >> offset & ones))
                differ &= above

    def annotate(self, clock, core, call, stage):
        """Set what the call tracker knows about a core from this clock on; before or after ``on_clock`` of the same clock.

        call : text that names the call that the core works on, or None.  stage : its number.
        """
        self._advance(clock)
        number = self._calls.setdefault(call, len(self._calls))
        variables = self._cores[core]
        self._pending.update({
            variables["call"]: number, variables["call_text"]: _plain(call or ""),
            variables["stage"]: int(stage), variables["stage_text"]: self.stages[stage],
        })
        if 1 in (number, variables["call"].value) and clock >= self.start:
            self.first_call = (self.first_call[0] if self.first_call else clock, clock)

    def violation(self, clock, text):
        """A property is violated. Several in one clock share the text."""
        self._advance(clock)
        if self.first_violation is None and clock >= self.start:
            self.first_violation = clock
        self._tell(self._violation, _plain(text))

    def _tell(self, variables, text, count=True):
        """Another occurrence of what a count and a text show. Several in one clock share the text."""
        number, words = variables
        pending = self._pending
        if number in pending:
            text = f"{pending[words]}; {text}"
        pending[number] = pending.get(number, number.value) + count
        pending[words] = text

    def close(self, end_clock, ending=""):
        """The waves end with clock ``end_clock - 1``: the file appears. ending : how the run ended then; empty: it went on."""
        if end_clock <= self.start:
            self.discard()
            raise InputError(f"the waves start at clock {self.start}, but the run ended after {count(end_clock, 'clock')}")
        self._advance(end_clock - 1)
        self._flush()
        output = self._output
        output.write(f"#{end_clock * CLOCK_NS}\n")
        output.write(end_mark(output.crc, ending))
        output.keep()
        self._output = None
        self.end = end_clock

    def discard(self):
        """Give up: leave no file."""
        self._output.drop()
        self._output = None

    # --- clocks ---------------------------------------------------------------------------------------------------

    def _advance(self, clock):
        if clock != self._clock:
            if self._clock is not None:
                if clock < self._clock:
                    raise ValueError(f"clock {clock} comes after clock {self._clock}")
                self._flush()
            self._clock = clock
            self._counting = clock >= self.start
            self._pending[self._counter] = clock

    def _flush(self):
        """Everything about this clock is known."""
        pending, lines = self._pending, self._lines
        for core in self._sent:
            for name in ("call", "call_text"):
                variable = self._cores[core][name]
                pending[self._fabric[core][name]] = pending.get(variable, variable.value)
        self._sent.clear()
        for variable, value in pending.items():
            if value != variable.value:
                variable.value = value
                lines.append(variable.render(value))
        if self._counting:
            if self._written:
                self._output.write(f"#{self._clock * CLOCK_NS}\n{''.join(lines)}")
            else:
                self._dump()
        pending.clear()
        lines.clear()

    def _dump(self):
        """Header and first dump."""
        self._written = True
        for variable in self._variables:
            self._vcd.change(variable.handle, self._clock * CLOCK_NS, variable.value)
        self._vcd.flush()

    # --- records --------------------------------------------------------------------------------------------------

    def _core_record(self, record):
        variables, pending = self._cores[record.core], self._pending
        event = record.event
        if event is not Event.NONE:
            count = variables["count"]
            pending[count] = count.value + self._counting
            pending[variables["event"]] = event.value
            pending[variables["event_text"]] = event.name
            pending[variables["event_enabled"]] = int(record.enabled)
            pending[variables["event_pc"]] = record.pc
            pending[variables["a"]] = record.a
            pending[variables["b"]] = record.b
        if record.op is not None:
            count = variables["memory_count"]
            pending[count] = count.value + self._counting
            pending[variables["memory_op"]] = record.op.value
            pending[variables["memory_op_text"]] = record.op.name
            pending[variables["memory_result"]] = record.result
        if record.op is not None or event is Event.FAULT:
            pending[variables["memory_address"]] = record.address
            pending[variables["memory_name"]] = self._name(record.address)

    def _apic_record(self, record):
        variables, pending = self._apics[record.core], self._pending
        count = variables["count"]
        pending[count] = count.value + self._counting
        pending[variables["event"]] = record.event.value
        pending[variables["event_text"]] = record.event.name
        for name in _MESSAGE:
            pending[variables[f"event_{name}"]] = getattr(record, name)
        if record.event is ApicEvent.SEND:
            self._sent.append(record.core)
            self._left[record.core] = set(record.named(self.config.n_cores))
        if record.event is ApicEvent.REFUSE:
            self._tell(self._vanished, f"core {record.core}: interrupt {record.vector:#x} was refused", self._counting)

    def _message_record(self, record):
        nobody = record.target is None
        variables, pending = self._fabric[record.source if nobody else record.target], self._pending
        count = variables["delivered"]
        pending[count] = count.value + self._counting
        pending[variables["delivered_source"]] = record.source
        for name in _MESSAGE:
            pending[variables[f"delivered_{name}"]] = getattr(record, name)
        pending[variables["delivered_mode_text"]] = _MODES[record.mode]
        pending[variables["accepted"]] = int(not nobody)
        if nobody:
            what = f"core {record.source}: interrupt {record.vector:#x} to {record.destination:#x} reached no core"
            self._tell(self._vanished, what, self._counting)
        left = self._left.get(record.source, set())
        left.discard(record.target)
        if nobody or not left:
            pending[self._fabric[record.source]["call"]] = 0
            pending[self._fabric[record.source]["call_text"]] = ""

    def _commit_record(self, record):
        variables, pending = self._banks[record.bank], self._pending
        address, new = record.address, record.new
        count = variables["count"]
        pending[count] = count.value + self._counting
        pending[variables["op"]] = record.op.value
        pending[variables["op_text"]] = record.op.name
        pending[variables["core"]] = record.core
        pending[variables["address"]] = address
        pending[variables["name"]] = self._name(address)
        pending[variables["old"]] = record.old
        pending[variables["new"]] = new
        if new != record.old:
            self._arena.commit(address, new, pending)

    # --- signals --------------------------------------------------------------------------------------------------

    def _name(self, address):
        return self._word_names.get(address) or f"{address:#x}"

    def _add(self, scope, name, width, value=None):
        if value is None:
            value = "" if width == _TEXT else 0
        if name.endswith("]"):
            # Otherwise GTKWave takes the index for a range of bits.
            name = f"\\{name}"
        kind = "string" if width == _TEXT else "wire"
        variable = _Variable(self._vcd.register_var(scope, name, kind, width or None, init=value), width, value)
        self._variables.append(variable)
        self.signals[".".join((*scope, name))] = width
        return variable

    def _alias(self, scope, name, variable):
        """The same signal a second time, at no cost."""
        self._vcd.register_alias(scope, name, variable.handle)
        self.signals[".".join((*scope, name))] = variable.width

    def _add_all(self, scope, widths):
        return {name: self._add(scope, name, width) for name, width in widths.items()}

    def _declare(self, arena):
        config, xlen = self.config, self.config.xlen
        self._variables = []
        self._word_names = word_names(self.image)
        self._counter = self._add(("run",), "clock", _COUNT_BITS)
        self._violation, self._vanished = (
            tuple(self._add_all(("calls",), {name: _COUNT_BITS, f"{name}_text": _TEXT}).values())
            for name in ("violation", "vanished"))
        layout = tile_probe_layout(config)
        self._tile_size = layout.size
        self._tile_mask = (1 << layout.size) - 1
        self._fields, self._cores, self._apics, self._fabric = [], [], [], []
        for number in range(config.n_cores):
            core, apic, fabric = (f"core{number}",), (f"apic{number}",), ("fabric", f"core{number}")
            self._cores.append(self._add_all(core, {
                "call": _COUNT_BITS, "call_text": _TEXT, "stage": max(1, ceil_log2(len(self.stages))), "stage_text": _TEXT,
                "count": _COUNT_BITS, "event": Event.as_shape().width, "event_text": _TEXT, "event_enabled": 1,
                "event_pc": config.pc_bits, "a": xlen, "b": xlen,
                "memory_count": _COUNT_BITS, "memory_op": 3, "memory_op_text": _TEXT, "memory_address": xlen,
                "memory_name": _TEXT, "memory_result": xlen,
            }))
            self._apics.append(self._add_all(apic, {
                "count": _COUNT_BITS, "event": ApicEvent.as_shape().width, "event_text": _TEXT,
                **{f"event_{name}": width for name, width in _MESSAGE.items()},
            }))
            self._fabric.append(self._add_all(fabric, {
                "call": _COUNT_BITS, "call_text": _TEXT, "delivered": _COUNT_BITS, "delivered_source": config.core_bits,
                **{f"delivered_{name}": width for name, width in _MESSAGE.items()}, "delivered_mode_text": _TEXT, "accepted": 1,
            }))
            self._fields.append(self._probe_fields(layout, core, apic, fabric))
        self._banks = [self._add_all((f"bank{number}",), {
            "count": _COUNT_BITS, "op": 3, "op_text": _TEXT, "core": config.core_bits, "address": config.address_bits,
            "name": _TEXT, "old": xlen, "new": xlen,
        }) for number in range(config.n_banks)]
        self._arena = ArenaSignals(self.image, arena, self._word_names, self._add)

    def _probe_fields(self, layout, core, apic, fabric):
        """bit of a tile's probe -> (offset, mask, mask of all bits above, field) of the field that contains it."""
        table = []
        for path, offset, width in _leaves(layout):
            field = self._probe_field(path, width, core, apic, fabric)
            table += [(offset, (1 << width) - 1, -1 << offset + width, field)] * width
        return table

    def _probe_field(self, path, width, core, apic, fabric):
        name = path[-1]

        def coded(scope, name, names):
            return _Code(self._add_all(scope, {name: width, f"{name}_text": _TEXT}).values(),
                         lambda value: (value, names.get(value, "?")))

        match path:
            case "core", "state":
                return coded(core, "state", _STATES)
            case "core", "pc":
                return _Address(self._add_all(core, {
                    "pc": width, "routine": _TEXT, "label": _TEXT, "line": _TEXT, "source": _TEXT, "op": _OP.width,
                    "op_text": _TEXT,
                }).values(), self._word)
            case "core", "registers", index:
                return _Number(self._add(core, f"r{index}", width))
            case "core", _:
                return _Number(self._add(core, name, width))
            case ("stores",):
                return _Number(self._add((*core, "port"), "stores", width))
            case ("memory_valid" | "memory_done",):
                return _Number(self._add((*core, "port"), name.removeprefix("memory_"), width))
            case "memory", "op":
                return coded((*core, "port"), "op", _MEMORY_OPS)
            case "memory", "address":
                return _Code(self._add_all((*core, "port"), {"address": width, "name": _TEXT}).values(),
                             lambda value: (value, self._name(value)))
            case "memory", _:
                return _Number(self._add((*core, "port"), name, width))
            case ("icr_busy",):
                variable = self._add(apic, "icr_busy", width)
                self._alias(fabric, "busy", variable)
                return _Number(variable)
            case "icr", "mode":
                field = coded(apic, "icr_mode", _MODES)
                for variable, alias in zip(field.variables, ("mode", "mode_text"), strict=True):
                    self._alias(fabric, alias, variable)
                return field
            case "icr", _:
                variable = self._add(apic, f"icr_{name}", width)
                self._alias(fabric, name, variable)
                return _Number(variable)
            case _:
                return _Number(self._add(apic, name, width))

    def _word(self, pc):
        """What is shown for a microword: pc, routine, label, line, source, op, op_text."""
        image, line = self.image, self.image.lines.get(pc)
        raw = image.words[pc] if pc < len(image.words) else 0
        op = raw >> _OP.offset & (1 << _OP.width) - 1
        place = f"{PurePath(line.file).name}:{line.line}" if line else ""
        source = " ".join(line.text.partition(";")[0].split()) if line else ""
        return (pc, *map(_plain, (image.routine(pc) or "", image.label(pc) or "", place, source)), op, _OPS.get(op, "?"))


def _leaves(layout, path=(), offset=0):
    """(path, offset, width) of every field of a layout that is not itself made of fields, and not empty."""
    for name, field in layout:
        shape = field.shape
        if isinstance(shape, data.Layout):
            yield from _leaves(shape, (*path, name), offset + field.offset)
        elif field.width:
            yield (*path, name), offset + field.offset, field.width
