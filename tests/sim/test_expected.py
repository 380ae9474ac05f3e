"""What is expected of a protocol, by scenario, memory model and number of cores."""

from dataclasses import replace
from functools import cache, lru_cache

import pytest

from rtl.memory.port import MemoryModel
from sim.engines.spec import EngineSpec
from sim.errors import InputError
from sim.microcode.protocols import find_protocol, shipped_protocols
from sim.runs.prepare import prepare
from sim.runs.run import run
from sim.scenarios.expected import expectations, expected_of
from sim.scenarios.reader import shipped_scenarios
from sim.watchdog import JUDGES


@cache
def engine(config):
    return EngineSpec(config).make()


#: Which are quick under every memory model: the patch, and the kernel of today.
BOTH_ENDS = ("v4", "v6")


def runs():
    """(protocol, scenario, cores, memory model): quick with the scenario's own number of cores, most protocols under SC alone."""
    for protocol in shipped_protocols():
        for scenario in shipped_scenarios():
            for cores in (None, 2, 3, 4, 5, 8):
                for memory in MemoryModel:
                    slow = (cores is not None or scenario == "starved"
                            or memory is not MemoryModel.SC and protocol not in BOTH_ENDS)
                    yield pytest.param(protocol, scenario, cores, memory, marks=pytest.mark.slow if slow else (),
                                       id=f"{protocol} {scenario} {cores or 'own'}-{memory.name.lower()}")


@lru_cache(maxsize=1)
def prepared_or_why_not(protocol, scenario, cores):
    """Assembled once for the three memory models."""
    try:
        return prepare(scenario, protocol=protocol, cores=cores), None
    except InputError as error:
        return None, error.message


@pytest.mark.parametrize("protocol, scenario, cores, memory", list(runs()))
def test_shipped_protocols_do_what_is_expected(protocol, scenario, cores, memory):
    prepared, why_not = prepared_or_why_not(protocol, scenario, cores)
    if prepared is None:
        pytest.skip(why_not)
    prepared = prepared.under(straps=replace(prepared.run.straps, memory_model=memory.value))
    result = run(prepared, engine=engine(prepared.settings.config))
    assert {item.oracle for item in result.violations} == set(prepared.expected), [str(item) for item in result.violations]
    assert result.as_expected


def test_every_row_is_about_a_shipped_scenario():
    for protocol in shipped_protocols():
        rows = expectations(find_protocol(protocol), JUDGES)
        assert {row.scenario for row in rows} <= set(shipped_scenarios())
    assert expectations(find_protocol("v4"), JUDGES)
    assert expectations(find_protocol("mailbox"), JUDGES) == ()


@pytest.fixture
def beside(tmp_path):
    """Writes what stands beside a protocol."""
    def write(text):
        (tmp_path / "mine.expected.toml").write_text(text)
        return tmp_path / "mine.uasm"

    return write


def test_the_first_row_that_fits_counts(beside):
    path = beside("""
[[expected]]
scenario = "storm"
memory = ["tso", "pso"]
cores = [4, 8]
violations = ["O12", "O1"]
[[expected]]
scenario = "storm"
violations = ["O2"]
""")
    def of(scenario, memory, cores):
        return expected_of(path, JUDGES, scenario=scenario, memory=memory, cores=cores)

    assert of("storm", "tso", 8) == of("storm", "pso", 4) == ("O1", "O12")
    assert of("storm", "sc", 4) == of("storm", "tso", 3) == ("O2",)
    assert of("single", "tso", 4) == ()


@pytest.mark.parametrize("text, line, message", [
    ('[[expected]]\nviolations = ["O1"]', 1, "expected[0] has no scenario"),
    ('[[expected]]\nscenario = "storm"\nviolations = ["O13"]', 3, "has 'O13', which is not known"),
    ('[[expected]]\nscenario = "storm"\nmemory = ["tos"]', 3, 'has \'tos\', which is not known, did you mean "tso"?'),
    ('[[expected]]\nscenario = "storm"\ncores = [0]', 3, "has 0, which is not known"),
    ('[[expected]]\nscenario = "storm"\ncores = 4', 3, "must be a list"),
    ('[[expected]]\nscenario = "storm"\nmodel = 4', 3, "is not known here"),
    ('[expect]\n', 1, "is not known here"),
])
def test_refusals(beside, text, line, message):
    with pytest.raises(InputError) as refused:
        expectations(beside(text), JUDGES)
    assert message in refused.value.message
    assert refused.value.line == line


def test_what_the_scenario_says_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = 'title = "x"\ncores = 2\n{}\n[[program]]\ncores = [0]\ncommands = [{{ call = "single", target = 1, func = "nop" }}]\n'
    (tmp_path / "storm.toml").write_text(text.format(""))
    assert prepare("storm.toml").expected == ()         # not the shipped one
    (tmp_path / "storm.toml").write_text(text.format('[expect]\nviolations = ["O1"]'))
    assert prepare("storm.toml").expected == ("O1",)
