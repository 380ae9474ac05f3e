"""Lanes against PySim on random components, and against the compiled engine on machines."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rtl.config import MachineConfig
from rtl.schedule import ScheduleKind
from sim.engines.compiled import CompiledEngine
from sim.engines.compiled.many import Job, LaneEngine, Lanes
from sim.engines.engine import Contents, Ending
from sim.monitor import clocks_of_flags
from sim.run import prepare
from sim.scenarios.reader import shipped_scenarios
from sim.schedules import Plan

from .random_components import components, simulate, stimuli

_CLOCKS = 30


@settings(derandomize=True, max_examples=20, deadline=None, database=None, phases=[Phase.generate],
          suppress_health_check=list(HealthCheck))
@given(st.data())
def test_vector_code_computes_what_pysim_computes(data):
    component = data.draw(components())
    lanes = Lanes(component, lanes=data.draw(st.sampled_from([8, 16, 32])))
    chosen = [0, 3, lanes.lanes - 1]
    told = {lane: [] for lane in chosen}
    stimulus = {lane: data.draw(stimuli(component, _CLOCKS)) for lane in chosen}
    for lane in range(lanes.lanes):
        lanes.reset(lane)
    for clock in range(_CLOCKS):
        for lane in chosen:
            for name, value in stimulus[lane][clock].items():
                lanes.set(name, lane, value)
        lanes.step()
        for lane in chosen:
            told[lane].append({name: lanes.get(name, lane) for name in component.signature.members if name.startswith("o")})
    for lane in chosen:
        assert told[lane] == simulate(component, stimulus[lane])


class _Nobody:
    def on_clock(self, clock, records, probe):
        return False


def _compare(engine, scalar, contents, straps, jobs, outcomes, *, max_clocks, patience):
    """Every outcome is that of the scalar run of its job."""
    assert [outcome.job for outcome in outcomes] == list(range(len(jobs)))
    for job, outcome in zip(jobs, outcomes, strict=True):
        alone = scalar.run(contents, job.inputs.get("straps", straps), plan=job.inputs.get("plan", Plan()), patience=patience,
                           max_clocks=max_clocks if job.max_clocks is None else job.max_clocks, sink=_Nobody())
        assert (outcome.clocks, outcome.ending) == (alone.clocks, alone.ending)
        assert outcome.arena == alone.arena
        assert clocks_of_flags(outcome.outputs["flags"]) == alone.flags


def _jobs(straps, count):
    """Straps and plans of all kinds."""
    kinds = list(ScheduleKind)[:4]
    for number in range(count):
        yield Job({
            "straps": replace(straps, fabric_latency=number * 5 % 17, arena_latency=number % 3, interrupt_entry=number % 7),
            "plan": Plan(kind=kinds[number % 4], seed=number, stall=number * 11 % 200, hold_interrupt=number % 90,
                         hold_message=number * 7 % 100, delay=number % 5, changes=number % 4, horizon=10),
        })


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
    prepared = prepare(scenario, cores=4)
    lanes, scalar = engines(prepared.settings.config)
    jobs = list(_jobs(prepared.settings.straps, lanes.lanes + 8))
    arguments = {"max_clocks": 6000, "patience": 700}
    outcomes = list(lanes.run_many(prepared.contents, prepared.settings.straps, jobs, arena=True, **arguments))
    _compare(lanes, scalar, prepared.contents, prepared.settings.straps, jobs, outcomes, **arguments)
