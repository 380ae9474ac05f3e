"""Two engines, one run: everything that they say must be the same."""

import re
from functools import cache

import pytest

from sim.engines.compiled import CompiledEngine
from sim.engines.compiled.many import lane_count
from sim.engines.engine import Job
from sim.engines.spec import EngineSpec
from sim.errors import InputError
from sim.runs.prepare import prepare

__all__ = ["FORMS", "Told", "assert_same", "engine", "prepare_or_skip", "told"]

#: Both forms of the compiled engine, whichever it would choose by itself.
FORMS = {"one by one": 0, "side by side": lane_count()}


@cache
def engine(name, config):
    """Built once for all tests of a process."""
    return CompiledEngine(config, lanes=FORMS[name]) if name in FORMS else EngineSpec(config, name).make()


def prepare_or_skip(scenario, cores, **options):
    """As ``prepare``. The test is skipped if the scenario is not for so few cores, and for no other reason."""
    try:
        return prepare(scenario, cores=cores, **options)
    except InputError as error:
        if not re.search(r"needs at least \d+ cores|names core \d+", str(error)):
            raise
        pytest.skip(str(error))


class Told:
    """A sink that keeps all it is told, and asks for the end at a clock."""

    def __init__(self, until=None):
        self.until = until
        self.clocks = []

    def on_clock(self, clock, records, probe):
        self.clocks.append((clock, list(records), probe))
        return self.until is not None and clock >= self.until


def told(name, prepared, *, straps=None, until=None, max_clocks=100_000, probe=False, record=False, **options):
    """(what the sink was told, Outcome) of a run. options : of its Job."""
    sink = Told(until)
    job = Job(prepared.contents, straps or prepared.settings.straps, max_clocks=max_clocks, **options)
    outcome = engine(name, prepared.settings.config).run(job, sink=sink, probe=probe, record=record)
    return sink.clocks, outcome


def assert_same(scenario, *, engines=("pysim", *FORMS), cores=None, seed=0, settings=(), **options):
    """The event stream, probe, schedule, flags, ending, clocks and arena of a scenario on engines; the Outcome."""
    prepared = prepare(scenario, cores=cores, seed=seed, assignments=settings)
    reference, outcome = told(engines[0], prepared, **options)
    for name in engines[1:]:
        stream, other = told(name, prepared, **options)
        for mine, theirs in zip(reference, stream, strict=False):
            assert mine == theirs, f"{name} differs first at clock {mine[0]}"
        assert len(stream) == len(reference)
        assert other == outcome
    return outcome
