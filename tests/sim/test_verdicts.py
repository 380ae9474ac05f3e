"""Every shipped scenario comes to the verdict that it states."""

from functools import cache

import pytest

from sim.engines.spec import EngineSpec
from sim.runs.prepare import prepare
from sim.runs.run import run
from sim.scenarios.reader import shipped_scenarios

#: Short enough for PySim, which is the reference, in the quick tests; of 70,000 clocks it is never asked.
SHORT, LONG = {"early-return", "single"}, {"starved"}


@cache
def engine(config, name):
    """Elaborated once for all scenarios with this machine."""
    return EngineSpec(config, name).make()


def runs():
    """(scenario, engine): each on the compiled one, if there is a C compiler, and on PySim."""
    for name in shipped_scenarios():
        yield pytest.param(name, None, id=name)
        if name not in LONG:
            yield pytest.param(name, "pysim", id=f"{name} pysim", marks=() if name in SHORT else pytest.mark.slow)


@pytest.mark.parametrize("name, kind", list(runs()))
def test_shipped_scenarios_come_out_as_expected(name, kind):
    prepared = prepare(name)
    result = run(prepared, engine=engine(prepared.settings.config, kind))
    assert {item.oracle for item in result.violations} == set(prepared.expected), [str(item) for item in result.violations]
    assert result.as_expected
    assert result.ok == (not prepared.expected)
    assert result.calls
