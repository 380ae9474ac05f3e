"""From a VCD back to records: all that a report needs, from the file alone."""

import io
import re
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from vcdvcd import VCDVCD, StreamParserCallbacks

from rtl.config import MachineConfig
from rtl.events import ApicEvent, Event
from rtl.memory.port import MemoryOp

from ..engines.engine import Ending
from ..errors import InputError
from ..records import MESSAGE, ApicRecord, CommitRecord, CoreRecord, MessageRecord
from ..texts import integer
from .header import BEGIN_MARK, END_MARK, Metadata, end_mark, parse_header
from .writer import CLOCK_NS

__all__ = ["Recording", "read_records", "refusing"]


class Recording(NamedTuple):
    """records : typed, by clock and within a clock by source, as the engine gave them; of the cores only those with an event.
    Fields that are not valid are 0."""

    config: MachineConfig
    metadata: Metadata
    records: list


def read_records(path):
    """Read a VCD that ``WaveWriter`` has written. Raises InputError for any other file."""
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=path) from None
    comment, end, ending = _check(path, io.BytesIO(content))
    with refusing(path, lambda: 3):
        config, metadata = parse_header(comment, end, ending)
        reader = _Reader(config)
    with refusing(path, lambda: _line_of(content, reader.clock)):
        # As a string: vcdvcd leaves a file open if it fails.
        VCDVCD(vcd_string=content.decode("ascii"), signals=reader.signals, store_tvs=False, callbacks=reader)
    return Recording(config, metadata, reader.records)


@contextmanager
def refusing(path, line):
    """An error inside is an error in the waves at ``path``: their checksum is right, so they were made that way.

    line : called for the line to name."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        what = str(error)[:_LONGEST] or type(error).__name__
        raise InputError(f"this waveform contradicts itself: {what}", file=path, line=line()) from None


def _line_of(content, clock):
    """The line at which a clock begins; for one before the first, the line of the declarations."""
    mark = b"\n$enddefinitions" if clock is None else b"\n#%d\n" % (clock * CLOCK_NS)
    return content[:content.find(mark)].count(b"\n") + 2 if mark in content else 1


#: At most this many characters of Python's error message are shown.
_LONGEST = 200
_LINE = re.compile(rb"(?:#\d+|b[01]+ [!-~]+|[01][!-~]+|s[!-~]* [!-~]+|\$(?:dumpvars|end))\n")
_END = re.compile(rb"\$comment %s (?:(%s) )?[0-9a-f]{8} \$end\n"
                  % (END_MARK.encode(), "|".join(item.value for item in Ending).encode()))


def _check(path, file):
    """(text of the first comment, clock at the end, ending of the run or None), after a check of every line: vcdvcd would fail at a
    damaged line without naming it, and take a truncated file for a run that ends there."""
    comment, time, crc, number = [], 0, 0, 0
    in_comment, in_changes = True, False
    for number, line in enumerate(file, 1):
        end = _END.fullmatch(line)
        if end:
            ending = (end[1] or b"").decode()
            if line != end_mark(crc, ending).encode():
                raise InputError("this waveform was changed after it was written: the checksum is wrong", file=path, line=number)
            if file.read(1):
                raise InputError("this waveform continues after its end", file=path, line=number + 1)
            return "".join(comment), time // CLOCK_NS, ending or None
        crc = zlib.crc32(line, crc)
        if number == 1 and line != b"$comment\n" or number == 2 and line != b"\t%s\n" % BEGIN_MARK.encode():
            raise InputError(f"this is not a VCD of crosscall: it does not start with {BEGIN_MARK!r}", file=path, line=1)
        if not line.endswith(b"\n"):
            break
        if in_comment:
            in_comment = line != b"$end\n"
            if number > 1 and in_comment:
                comment.append(line.decode("ascii", "replace").removeprefix("\t"))
        elif in_changes:
            if not _LINE.fullmatch(line):
                raise InputError("this line is not a value change", file=path, line=number)
            if line.startswith(b"#"):
                time = integer(line[1:].decode())
        else:
            in_changes = line == b"$enddefinitions $end\n"
    raise InputError("this waveform is cut off: the mark at its end is missing", file=path, line=max(number, 1))


def _names(prefix):
    """The signals for a record's fields of a message, in order."""
    return " ".join(f"{prefix}_{name}" for name in MESSAGE)


class _Reader(StreamParserCallbacks):
    """Collects the changes of a clock, and makes its records at its end."""

    def __init__(self, config):
        kinds = [
            ("core{}", "count", "event event_enabled event_pc a b memory_count memory_op memory_address memory_result", self._core),
            ("apic{}", "count", f"event {_names('event')}", self._apic),
            ("fabric.core{}", "delivered", f"delivered_source accepted {_names('delivered')}", self._message),
            ("bank{}", "count", "op core address old new", self._commit),
        ]
        numbers = [config.n_cores, config.n_cores, config.n_cores, config.n_banks]
        self.records = []
        self.signals = []
        self._sources = {}            # full name of a count -> (place in the order, maker, scope, number)
        for (pattern, count, names, maker), n_sources in zip(kinds, numbers, strict=True):
            for number in range(n_sources):
                scope = pattern.format(number)
                self._sources[f"{scope}.{count}"] = (len(self._sources), maker, scope, number)
                self.signals += [f"{scope}.{name}" for name in (count, *names.split())]
        self._values = {}             # full name -> number
        self._changed = set()         # full names, in this clock
        self.clock = None             # the last complete one

    def enddefinitions(self, vcd, signals, cur_sig_vals):
        for name in self.signals:
            if name not in vcd.references_to_ids:
                raise ValueError(f"there is no signal {name}")

    def value(self, vcd, time, value, identifier_code, cur_sig_vals):
        name = vcd.data[identifier_code].references[0]
        number = int(value, 2)
        # The first dump sets everything; a count of 0 is no record.
        if number != self._values.get(name, 0):
            self._changed.add(name)
        self._values[name] = number

    def time(self, vcd, time, cur_sig_vals):
        """The previous clock is complete: another begins, or the file ends."""
        self.clock = time // CLOCK_NS
        for _, maker, scope, number in sorted(self._sources[name] for name in self._changed if name in self._sources):
            self.records.append(maker(time // CLOCK_NS, scope, number))
        self._changed.clear()

    def _get(self, scope, *names):
        return [self._values[f"{scope}.{name}"] for name in names]

    def _core(self, clock, scope, number):
        event, enabled, pc, a, b = self._get(scope, "event", "event_enabled", "event_pc", "a", "b")
        op, address, result = self._get(scope, "memory_op", "memory_address", "memory_result")
        if f"{scope}.memory_count" in self._changed:
            return CoreRecord(clock, number, Event(event), pc, a, b, MemoryOp(op), address, result, bool(enabled))
        return CoreRecord(clock, number, Event(event), pc, a, b, None, address if event == Event.FAULT.value else 0, 0,
                          bool(enabled))

    def _apic(self, clock, scope, number):
        event, *message = self._get(scope, "event", *_names("event").split())
        return ApicRecord(clock, number, ApicEvent(event), *message)

    def _message(self, clock, scope, number):
        source, accepted, *message = self._get(scope, "delivered_source", "accepted", *_names("delivered").split())
        return MessageRecord(clock, source, number if accepted else None, *message)

    def _commit(self, clock, scope, number):
        op, core, address, old, new = self._get(scope, "op", "core", "address", "old", "new")
        return CommitRecord(clock, number, MemoryOp(op), core, address, old, new)
