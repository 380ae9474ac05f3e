"""Every shipped scenario comes to the verdict that it states."""

from functools import cache

import pytest

from sim.engines.pysim import PySimEngine
from sim.engines.spec import EngineSpec
from sim.runs.prepare import prepare
from sim.runs.run import run
from sim.scenarios.reader import shipped_scenarios

#: 70,000 clocks: PySim is asked only if there is no other engine.
LONG = {"starved"}


@cache
def engine(config, compiled):
    """Elaborated once for all scenarios with this machine."""
    return EngineSpec(config).make() if compiled else PySimEngine(config)


@pytest.mark.parametrize("name", shipped_scenarios())
def test_shipped_scenarios_come_out_as_expected(name):
    prepared = prepare(name)
    result = run(prepared, engine=engine(prepared.settings.config, name in LONG))
    assert {item.oracle for item in result.violations} == set(prepared.scenario.expected), [str(item) for item in result.violations]
    assert result.as_expected
    assert result.ok == (not prepared.scenario.expected)
    assert result.calls
