"""The timing diagrams of ``docs/core.md`` and ``docs/apic.md``, made from a real run: the scenario ``single`` with v4.

``python -m sim.report.timing`` checks that they are up to date (exit code 1 if not); with ``--write`` it updates them.
"""

import re
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import NamedTuple

from rtl.core.microword import MicroWord
from rtl.core.seen import CoreState
from rtl.events import ApicEvent, Event
from rtl.memory.port import MemoryOp
from rtl.probe import probe_layout
from sim.engines.spec import EngineSpec
from sim.kept import keep
from sim.records import ApicRecord, CoreRecord, MessageRecord
from sim.runs.prepare import prepare
from sim.runs.run import run

__all__ = ["DIAGRAMS", "DOCUMENTS", "Diagram", "main", "update"]

DOCUMENTS = tuple(Path(__file__).parents[2] / "docs" / name for name in ("core.md", "apic.md"))
SCENARIO = "single"


class Diagram(NamedTuple):
    """One column for each clock, and the rows (name, core, what): ``what`` is an argument of ``_Moments.cell``."""

    clocks: range
    rows: tuple[tuple[str, int, str], ...]


_CORE = ("state", "word", "event", "request", "done")

DIAGRAMS = {
    "load": Diagram(range(533, 546), tuple((what, 0, what) for what in _CORE)),
    "store": Diagram(range(528, 540), tuple((what, 1, what) for what in _CORE)),
    "interrupt": Diagram(range(345, 358), (
        ("core 0: word", 0, "word"), ("core 0: sends", 0, "icr_busy"), ("core 1: delivered", 1, "delivered"),
        ("core 1: irr", 1, "irr"), ("core 1: interrupt", 1, "interrupt"), ("core 1: accepts", 1, "accepts"),
        ("core 1: isr", 1, "isr"), ("core 1: state", 1, "state"))),
    "entry": Diagram(range(355, 368), tuple((what, 1, what) for what in ("state", "word", "interrupt", "accepts"))),
}


class _Moments:
    """The contents of a run, clock by clock: as a watcher of the run it keeps the probe and the records."""

    def __init__(self, prepared):
        layout = probe_layout(prepared.run.config)
        self._take_apart = lambda probe: layout.from_bits(probe)["tile"]
        self._words = [MicroWord.as_shape().from_bits(word).op.name.lower() for word in prepared.contents.microcode]
        self._tiles, self._records = {}, defaultdict(list)

    def add(self, record, tracker):
        self._records[record.clock].append(record)

    def on_clock(self, clock, records, probe):
        if any(clock in diagram.clocks for diagram in DIAGRAMS.values()):
            self._tiles[clock] = self._take_apart(probe)
        return False

    def cell(self, clock, core, what):
        """One cell; "" where there is nothing to show."""
        tile = self._tiles[clock][core]
        match what:
            case "state":
                return CoreState(tile.core.state).name
            case "word":
                state = CoreState(tile.core.state)
                return self._words[tile.core.pc] if state is CoreState.MEMORY or state is CoreState.RUN and tile.core.go else ""
            case "event":
                names = [record.event.name for record in self._of(clock, CoreRecord, core) if record.event is not Event.NONE]
                return "".join(names)
            case "accepts":
                return "yes" if any(record.event is ApicEvent.ACCEPT for record in self._of(clock, ApicRecord, core)) else ""
            case "delivered":
                return "yes" if any(isinstance(record, MessageRecord) and record.target == core
                                    for record in self._records[clock]) else ""
            case "request":
                return MemoryOp(tile.memory.op).name if tile.memory_valid else ""
            case "done":
                return "yes" if tile.memory_done else ""
            case "irr" | "isr":
                return f"{tile[what]:#x}" if tile[what] else ""
            case _:
                return "yes" if tile[what] else ""

    def _of(self, clock, kind, core):
        return (record for record in self._records[clock] if isinstance(record, kind) and record.core == core)


@cache
def _moments():
    prepared = prepare(SCENARIO)
    moments = _Moments(prepared)
    run(prepared, engine=EngineSpec(prepared.run.config).make(), watch=moments)
    return moments


def _drawn(diagram):
    names = max(len(name) for name, _, _ in (("clock", 0, ""), *diagram.rows))
    rows = [("clock", [str(clock) for clock in diagram.clocks])]
    rows += [(name, [_moments().cell(clock, core, what) for clock in diagram.clocks]) for name, core, what in diagram.rows]
    widths = [max(len(cells[column]) for _, cells in rows) for column in range(len(diagram.clocks))]
    lines = ([name.ljust(names), *((cell or ".").ljust(width) for cell, width in zip(cells, widths, strict=True))]
             for name, cells in rows)
    return "\n".join("  ".join(line).rstrip() for line in lines)


def update(text):
    """The document with new diagrams. Each is between ``<!-- timing: NAME -->`` and ``<!-- end -->``."""
    return re.sub(r"(<!-- timing: (\w+) -->)\n.*?<!-- end -->",
                  lambda match: f"{match[1]}\n```text\n{_drawn(DIAGRAMS[match[2]])}\n```\n<!-- end -->", text, flags=re.DOTALL)


def main(arguments):
    """The command; returns its exit code."""
    return keep(DOCUMENTS, update, arguments, "sim.report.timing")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
