"""Runs of a protocol for tests: a scenario from a text, one engine per machine, and everything that the run said."""

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from sim.engines.engine import Outcome
from sim.engines.spec import EngineSpec
from sim.records import CoreRecord, Sources
from sim.runs.prepare import Prepared, prepare
from sim.runs.run import Result, run

__all__ = ["COMMAND", "Run", "engine_for", "prepare_text", "run_prepared", "run_text"]

#: The command as a process that hears Ctrl-C, even if the tests were started in the background, where shells switch it off.
COMMAND = (sys.executable, "-c",
           "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from sim.cli import main; main()")


@cache
def engine_for(config):
    """Elaborated once for all tests of a process."""
    return EngineSpec(config).make()


def prepare_text(text, *, protocol="v4", extra=None, cores=None, seed=0):
    """The scenario of a TOML text, prepared. protocol : a shipped one.  extra : microcode to assemble behind it."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.toml"
        if extra is not None:
            (path.parent / "extra.uasm").write_text(f'.include "{protocol}.uasm"\n{extra}')
        text = f'protocol = "{protocol if extra is None else "extra.uasm"}"\n{text}'
        path.write_text(text)
        return prepare(path, cores=cores, seed=seed)


@dataclass(frozen=True)
class Run:
    """result : of ``sim.runs.run``.  records : all, typed, in their order.  outcome : what the engine returned.
    probes : the raw probe of each clock, or empty."""

    result: Result
    records: tuple
    outcome: Outcome
    probes: tuple

    @property
    def image(self):
        return self.result.prepared.image

    @property
    def prepared(self) -> Prepared:
        return self.result.prepared

    @property
    def violations(self):
        """Names of the oracles that were violated."""
        return {item.oracle for item in self.result.violations}

    def word(self, name):
        """An arena word at the end of the run, by its name."""
        return self.outcome.arena[self.image.address_of(name)]

    def command(self, core, number, field):
        """A field of a command block at the end of the run."""
        start = self.prepared.contents.arena[self.image.address_of(f"program[{core}]")]
        struct = self.image.structs["command"]
        offset = next(item.offset for item in struct.fields if item.path == field)
        return self.outcome.arena[start + number * struct.size + offset]

    def events(self, *events, core=None):
        """The core records with one of these events."""
        return [record for record in self.records if type(record) is CoreRecord and record.event in events
                and core in (None, record.core)]


class _Listening:
    """An engine that keeps what a run says."""

    def __init__(self, engine, probe):
        self.name = engine.name
        self.config = engine.config
        self.records = []
        self.probes = []
        self.outcome = None
        self._engine = engine
        self._probe = probe
        self._sources = Sources(engine.config)
        self._sink = None

    def run(self, job, *, sink, probe=False, **options):
        self._sink = sink
        self.outcome = self._engine.run(job, sink=self, probe=self._probe, **options)
        return self.outcome

    def on_clock(self, clock, records, probe):
        self.records += [self._sources.decode(clock, index, raw) for index, raw in records]
        if self._probe:
            self.probes.append(probe)
        return self._sink.on_clock(clock, records, probe)


def run_prepared(prepared, *, engine=None, probe=False, max_clocks=100_000):
    """engine : instead of the compiled one, or PySim if there is no C compiler.  probe : keep the probe of each clock."""
    listening = _Listening(engine or engine_for(prepared.settings.config), probe)
    result = run(prepared.under(max_clocks=max_clocks), engine=listening)
    return Run(result, tuple(listening.records), listening.outcome, tuple(listening.probes))


def run_text(text, *, protocol="v4", extra=None, cores=None, seed=0, **options):
    """``prepare_text`` and ``run_prepared`` in one."""
    return run_prepared(prepare_text(text, protocol=protocol, extra=extra, cores=cores, seed=seed), **options)
