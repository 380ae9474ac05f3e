"""Lanes against PySim on random components, and against the compiled engine on machines."""

from dataclasses import replace

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rtl.config import MachineConfig
from rtl.events import trace_layout
from rtl.schedule import ScheduleKind
from sim.engines.compiled import CompiledEngine, trace_sources
from sim.engines.compiled.lanes import lane_program
from sim.engines.compiled.many import LaneEngine, Lanes
from sim.engines.engine import NEVER, Ending, Job
from sim.runs.plan import Plan
from sim.runs.prepare import prepare
from sim.scenarios.reader import shipped_scenarios

from .lockstep import prepare_or_skip
from .random_components import components, simulate, stimuli

_CLOCKS = 30


def _computes(data):
    component = data.draw(components())
    lanes = Lanes(lane_program(component, lanes=data.draw(st.sampled_from([8, 16, 32]))))
    chosen = [0, 3, lanes.lanes - 1]
    _as_pysim(component, lanes, {lane: data.draw(stimuli(component, _CLOCKS)) for lane in chosen})


def _as_pysim(component, lanes, stimulus):
    """stimulus : lane -> one as of ``stimuli``; all of a length."""
    chosen = list(stimulus)
    told = {lane: [] for lane in chosen}
    for lane in range(lanes.lanes):
        lanes.reset(lane)
    for clock in range(len(stimulus[chosen[0]])):
        for lane in chosen:
            for name, value in stimulus[lane][clock].items():
                lanes.set(name, lane, value)
        lanes.step()
        for lane in chosen:
            told[lane].append({name: lanes.get(name, lane) for name in component.signature.members if name.startswith("o")})
    for lane in chosen:
        assert told[lane] == simulate(component, stimulus[lane])


def _examples(count):
    """``_computes`` for so many random components."""
    return settings(derandomize=True, max_examples=count, deadline=None, database=None, phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck))(given(st.data())(_computes))


@pytest.mark.parametrize("count", [6, pytest.param(20, marks=pytest.mark.slow)])
def test_vector_code_computes_what_pysim_computes(count):
    _examples(count)()


class _Five(wiring.Component):
    """A memory of five rows, of which the address can name eight; what is written is seen in the same clock."""

    i0: In(3)
    i1: In(3)
    i2: In(20)
    i3: In(1)
    o0: Out(20)

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=20, depth=5, init=range(100, 105))
        write = memory.write_port()
        read = memory.read_port(transparent_for=(write,))
        m.d.comb += [write.addr.eq(self.i0), read.addr.eq(self.i1), write.data.eq(self.i2), write.en.eq(self.i3), read.en.eq(1),
                     self.o0.eq(read.data)]
        return m


def test_rows_that_there_are_not():
    """What is written there is seen in the same clock, and then no more, as in PySim and the scalar code."""
    clocks = [{"i0": there, "i1": here, "i2": 1000 * there + here, "i3": enable}
              for there in range(8) for here in range(8) for enable in (1, 0)]
    component = _Five()
    _as_pysim(component, Lanes(lane_program(component, lanes=8)), {0: clocks, 5: clocks[::-1]})


class _Nobody:
    def on_clock(self, clock, records, probe):
        return False


def _compare(scalar, jobs, outcomes):
    """Every outcome is that of the scalar run of its job."""
    for job, outcome in zip(jobs, outcomes, strict=True):
        alone = scalar.run(job, sink=_Nobody())
        assert (outcome.clocks, outcome.ending) == (alone.clocks, alone.ending)
        assert outcome.arena == alone.arena
        assert outcome.flags == alone.flags


def _jobs(prepared, count, *, max_clocks, patience=NEVER):
    """Straps and plans of all kinds."""
    kinds = list(ScheduleKind)[:4]
    for number in range(count):
        yield Job(
            prepared.contents,
            replace(prepared.settings.straps, fabric_latency=number * 5 % 17, arena_latency=number % 3, interrupt_entry=number % 7),
            max_clocks=max_clocks, patience=patience,
            plan=Plan(kind=kinds[number % 4], seed=number, stall=number * 11 % 200, hold_interrupt=number % 90,
                      hold_message=number * 7 % 100, delay=number % 5, changes=number % 4, horizon=10))


@pytest.fixture(scope="module")
def engines():
    """Config -> the two engines, built once."""
    built = {}

    def get(config):
        if config not in built:
            built[config] = LaneEngine(config), CompiledEngine(config)
        return built[config]

    return get


@pytest.mark.parametrize("scenario", shipped_scenarios())
def test_every_shipped_scenario(engines, scenario):
    prepared = prepare_or_skip(scenario, 4)
    lanes, scalar = engines(prepared.settings.config)
    jobs = list(_jobs(prepared, lanes.lanes + 8, max_clocks=6000, patience=700))
    _compare(scalar, jobs, list(lanes.run_many(jobs, arena=True)))


_BUSY = """
title = "every core calls, again and again"
[functions]
work = "5..60"
[[program]]
cores = "all"
commands = [{ call = "all", func = "work", delay = "0..200", repeat = 3 }, { call = "all", func = "count", wait = true }]
"""


@pytest.mark.parametrize(("config", "lanes"), [
    (MachineConfig(n_cores=1), None),
    pytest.param(MachineConfig(n_cores=2, xlen=32, n_vectors=32, n_banks=2), 16, marks=pytest.mark.slow),
    pytest.param(MachineConfig(n_cores=3, xlen=64), 8, marks=pytest.mark.slow),
    pytest.param(MachineConfig(n_cores=8, arena_depth=2048, n_banks=4), None, marks=pytest.mark.slow),
])
def test_other_machines_and_widths(config, lanes, tmp_path):
    scenario = tmp_path / "busy.toml"
    scenario.write_text(_BUSY)
    prepared = prepare(str(scenario), cores=config.n_cores, assignments=[
        f"{name}={getattr(config, name)}" for name in ("xlen", "n_vectors", "n_banks", "arena_depth")])
    assert prepared.settings.config == config
    engine = LaneEngine(config, lanes=lanes)
    jobs = list(_jobs(prepared, engine.lanes + 8, max_clocks=4000, patience=500))
    assert engine.lanes == lanes or lanes is None
    _compare(CompiledEngine(config), jobs, list(engine.run_many(jobs, arena=True)))


def test_a_queue_with_jobs_of_very_different_lengths(engines):
    """Lanes are used again, in any order; outcomes come in the order of the jobs."""
    prepared = prepare("storm", cores=4)
    lanes, scalar = engines(prepared.settings.config)
    limits = [6000, 0, 1, 2, 3, 17, 400, 999]
    jobs = [replace(job, max_clocks=limits[number * 5 % 8]) for number, job in
            enumerate(_jobs(prepared, 5 * lanes.lanes, max_clocks=6000, patience=700))]
    outcomes = list(lanes.run_many(iter(jobs), arena=True))
    assert {outcome.ending for outcome in outcomes} >= {Ending.QUIET, Ending.LIMIT}
    _compare(scalar, jobs, outcomes)


def test_a_queue_longer_than_a_batch_and_one_that_is_given_up(engines, monkeypatch):
    monkeypatch.setattr("sim.engines.compiled.many._BATCH", 50)
    monkeypatch.setattr("sim.engines.compiled.many._BUDGET", 300)
    prepared = prepare("single", cores=4)
    lanes, _ = engines(prepared.settings.config)

    def run(count):
        return lanes.run_many(_jobs(prepared, count, max_clocks=5000))

    abandoned = run(200)
    first = [next(abandoned) for _ in range(3)]
    whole = list(run(220))
    assert whole[:3] == first
    assert len(whole) == 220
    assert whole[100:150] == list(run(150))[100:]
    assert list(run(0)) == []


def test_every_clock(engines):
    """The probe and all records of every clock, from one queue: job i runs i + 1 clocks."""
    prepared = prepare("demo", cores=4)
    config, straps = prepared.settings.config, prepared.settings.straps
    clocks = 300
    plan = Plan(kind=ScheduleKind.RANDOM, seed=5, stall=60, hold_interrupt=60, hold_message=60)
    engine = LaneEngine(config, outputs=("probe", "trace"), settle=0)
    jobs = (Job(prepared.contents, straps, max_clocks=number + 1, plan=plan) for number in range(clocks))
    outcomes = list(engine.run_many(jobs))

    class Probes:
        seen = []

        def on_clock(self, clock, records, probe):
            self.seen.append((probe, records))
            return False

    CompiledEngine(config).run(Job(prepared.contents, straps, plan=plan, max_clocks=clocks), sink=Probes(), probe=True)
    sources = trace_sources(trace_layout(config))
    for outcome, (probe, records) in zip(outcomes, Probes.seen, strict=True):
        assert outcome.outputs["probe"] == probe
        raws = ((index, outcome.outputs["trace"] >> offset & (1 << width) - 1) for index, (offset, width) in enumerate(sources))
        assert [(index, raw) for index, raw in raws if raw & 1] == records
