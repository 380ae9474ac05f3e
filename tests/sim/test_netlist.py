"""The graph of a netlist and the scalar C made from it, against PySim, on random components."""

import ctypes

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sim.engines.compiled import scalar
from sim.engines.compiled.alone import alone
from sim.engines.compiled.netlist import UnknownCellError, build_graph, early_outputs
from sim.engines.compiled.toolchain import load

from .random_components import components, simulate, stimuli

_CLOCKS = 30


class _Scalar:
    """A component without black boxes as scalar C."""

    def __init__(self, component):
        self._unit = alone(component, "Unit")
        self._library = load(f"{self._unit.text}static Unit unit;\nvoid start(void) {{ Unit_start(&unit); }}\n"
                             "void step(const uint64_t *in, uint64_t *out) { Unit_step(&unit, in, out); }\n", options=("-O1",))

    def run(self, stimulus):
        self._library.start()
        result = []
        for values in stimulus:
            given = [values[name] >> low & (1 << width) - 1 for name, low, width in self._unit.inputs]
            told = (ctypes.c_uint64 * len(self._unit.outputs))()
            self._library.step((ctypes.c_uint64 * len(given))(*given), told)
            clock = {}
            for (name, low), word in zip(self._unit.outputs, told, strict=True):
                clock[name] = clock.get(name, 0) | word << low
            result.append(clock)
        return result


@settings(derandomize=True, max_examples=25, deadline=None, database=None, phases=[Phase.generate],
          suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize("group", [pytest.param(1, marks=pytest.mark.slow), 8])
@given(st.data())
def test_scalar_code_computes_what_pysim_computes(monkeypatch, group, data):
    monkeypatch.setattr(scalar, "_GROUP", group)
    component = data.draw(components())
    stimulus = data.draw(stimuli(component, _CLOCKS))
    assert _Scalar(component).run(stimulus) == simulate(component, stimulus)


class _Small(wiring.Component):
    """``o`` is what a function makes of ``a`` and ``b``."""

    def __init__(self, function, width=8, shape=8):
        self._function = function
        super().__init__({"a": In(width), "b": In(width), "o": Out(shape)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(self._function(m, self.a, self.b))
        return m


def _asynchronous_read(m, a, b):
    m.submodules.memory = memory = Memory(shape=8, depth=4, init=[1, 2, 3, 4])
    read = memory.read_port(domain="comb")
    m.d.comb += read.addr.eq(a)
    return read.data


def _wide_memory(m, a, b):
    m.submodules.memory = memory = Memory(shape=80, depth=4, init=[])
    read = memory.read_port()
    m.d.comb += read.addr.eq(a)
    return read.data


@pytest.mark.parametrize(("function", "width", "named"), [
    (lambda m, a, b: a // b, 8, "u//"),
    (lambda m, a, b: a % b, 8, "u%"),
    (lambda m, a, b: a.as_signed() >> b[:3], 8, "s>>"),
    (lambda m, a, b: a.as_signed() < b.as_signed(), 8, "s<"),
    (lambda m, a, b: a.xor(), 8, "r^"),
    (lambda m, a, b: a < b, 80, "u<"),
    (_asynchronous_read, 8, "asynchronous read port"),
    (_wide_memory, 8, "words of 80 bits"),
])
def test_what_is_not_known_is_refused_by_name(function, width, named):
    with pytest.raises(UnknownCellError) as refused:
        build_graph(_Small(function, width))
    assert named in str(refused.value)


def test_outputs_that_are_functions_of_state_alone():
    class Mixed(wiring.Component):
        a: In(4)
        state: Out(4)
        of_state: Out(1)
        mixed: Out(4)

        def elaborate(self, platform):
            m = Module()
            stored = Signal(4)
            m.d.sync += stored.eq(self.a)
            m.d.comb += [self.state.eq(stored), self.of_state.eq(stored == 3), self.mixed.eq(stored + self.a)]
            return m

    assert early_outputs(build_graph(Mixed())) == {"state", "of_state"}
