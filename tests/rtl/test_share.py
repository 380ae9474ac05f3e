"""Joining components by shared signals does what ``connect`` does, and leaves every component as its signature says."""

import re

import pytest
from amaranth.back import rtlil
from amaranth.hdl import DriverConflict, Fragment, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect

from rtl.config import PRESETS, MachineConfig
from rtl.memory.port import MemoryPort
from rtl.rig import Rig
from rtl.share import Bundle, share

pair_layout = data.StructLayout({"low": 4, "high": 4})
other_layout = data.StructLayout({"high": 4, "low": 4})


class Link(Bundle):
    def __init__(self, width):
        super().__init__({"request": Out(width), "answer": In(width)})


class Asker(wiring.Component):
    start: In(8)
    link: Out(Link(8))
    sum: Out(8)
    pair: Out(pair_layout)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.sum.eq(self.sum + self.link.answer)
        m.d.comb += [self.link.request.eq(self.start ^ self.sum), self.pair.low.eq(self.sum), self.pair.high.eq(self.start)]
        return m


class Answerer(wiring.Component):
    links: In(Link(8)).array(2)

    def elaborate(self, platform):
        m = Module()
        for number, link in enumerate(self.links):
            m.d.comb += link.answer.eq(link.request + number + 1)
        return m


class Parent(wiring.Component):
    """Two Askers and an Answerer, joined by assignments or by sharing."""

    start: In(8)
    sums: Out(8).array(2)
    pair: Out(pair_layout)

    def __init__(self, shares):
        self.shares = shares
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.answerer = answerer = Answerer()
        for number in range(2):
            m.submodules[f"asker{number}"] = asker = Asker()
            if self.shares:
                share(asker, start=self.start, link=answerer.links[number], sum=self.sums[number])
                if number == 0:
                    share(asker, pair=self.pair)
            else:
                connect(m, asker.link, answerer.links[number])
                m.d.comb += [asker.start.eq(self.start), self.sums[number].eq(asker.sum)]
                if number == 0:
                    m.d.comb += self.pair.eq(asker.pair)
        return m


def components(top):
    """All that is elaborated below ``top``, with the ports that it had."""

    def walk(fragment):
        yield from (origin for origin in fragment.origins or () if isinstance(origin, wiring.Component))
        for child, *_ in fragment.subfragments:
            yield from walk(child)

    return list(walk(Fragment.get(top, None)))


def reasons_against(component):
    reasons = []
    component.signature.is_compliant(component, reasons=reasons)
    return reasons


def test_it_does_what_connect_does(simulate, convert):
    seen = {}
    for shares in True, False:
        dut = Parent(shares)

        async def testbench(ctx, dut=dut, shares=shares):
            seen[shares] = []
            for start in (3, 200, 7, 90, 255, 0, 1, 1):
                ctx.set(dut.start, start)
                _, _, *values = await ctx.tick().sample(*dut.sums, dut.pair)
                seen[shares].append(values)

        simulate(dut, testbench)
        convert(Parent(shares))
    assert seen[True] == seen[False]
    assert len({tuple(map(str, values)) for values in seen[True]}) > 4


def test_no_assignment_is_left():
    """Between a parent and its children, and between siblings, there is one signal where ``connect`` has two and an assignment."""
    top = {shares: re.search(r"^module \\top\n(.*?)^end$", rtlil.convert(Parent(shares)), re.MULTILINE | re.DOTALL)[1]
           for shares in (True, False)}
    assert len(re.findall(r"^  wire ", top[True], re.MULTILINE)) < len(re.findall(r"^  wire ", top[False], re.MULTILINE))


@pytest.mark.parametrize("config", [PRESETS["tiny"], MachineConfig(n_cores=3, n_banks=2, xlen=32)], ids=["tiny", "3 cores"])
def test_every_component_complies_with_its_signature(config):
    found = components(Rig(config))
    assert {"Machine", "Shared", "Tile", "Core", "Sequencer", "Monitor", "CoreMonitor"} <= {type(item).__name__ for item in found}
    for item in found:
        assert reasons_against(item) == [], type(item).__name__


def test_an_interface_is_turned_round():
    answerer, asker = Answerer(), Asker()
    share(asker, link=answerer.links[1])
    assert asker.link.signature == asker.signature.members["link"].signature
    assert asker.link.request is answerer.links[1].request
    assert reasons_against(asker) == []


SHAPE = "is expected to have the shape"
PAIR = "StructLayout({'low': 4, 'high': 4})"


@pytest.mark.parametrize(("port", "value", "message"), [
    ("start", lambda: Signal(16)[:8], "is neither a signal nor a constant, but (slice"),
    ("start", lambda: Signal(data.ArrayLayout(8, 2))[0], "is neither a signal nor a constant, but (slice"),
    ("start", lambda: Signal(9), f"{SHAPE} unsigned(8), but it has the shape unsigned(9)"),
    ("start", lambda: Signal(8, init=1), "is expected to have the initial value None, but it has the initial value 1"),
    ("start", lambda: "start", "is not a value-castable object, but 'start'"),
    ("pair", lambda: Signal(8), f"{SHAPE} {PAIR}, but it has the shape unsigned(8)"),
    ("pair", lambda: Signal(other_layout), f"{SHAPE} {PAIR}, but it has the shape StructLayout({{'high': 4, 'low': 4}})"),
    ("link", lambda: Signal(16), "does not have an attribute 'signature'"),
    ("link.signature", lambda: Link(9).create(), "is expected to be equal to this signature"),
])
def test_what_does_not_comply_is_refused(port, value, message):
    asker, good = Asker(), Signal(8)
    before = {name: getattr(asker, name) for name in asker.signature.members}
    with pytest.raises(wiring.ConnectionError, match=re.escape(f"Ports cannot be shared:\n- 'Asker.{port}' {message}")):
        share(asker, **{"sum": good, port.split(".")[0]: value()})
    assert all(getattr(asker, name) is value for name, value in before.items())


def test_an_array_has_its_length():
    answerer = Answerer()
    with pytest.raises(wiring.ConnectionError, match="'Answerer.links' is expected to have dimension 2, but its length is 1"):
        share(answerer, links=[Link(8).flip().create()])


def test_there_must_be_such_a_port():
    with pytest.raises(AttributeError, match="^Asker has no port 'stop'$"):
        share(Asker(), stop=Signal())


def test_two_drivers_are_refused():
    class Both(wiring.Component):
        sum: Out(8)

        def elaborate(self, platform):
            m = Module()
            for number in range(2):
                m.submodules[f"asker{number}"] = asker = Asker()
                share(asker, sum=self.sum)
            return m

    with pytest.raises(DriverConflict):
        rtlil.convert(Both())


def test_bundles_are_known_by_their_members():
    assert Link(8) == Link(8) != Link(9)
    assert Link(8).flip() == Link(8).flip() != Link(8)
    assert Link(8) != wiring.Signature(dict(Link(8).members.items()))
    assert MemoryPort(PRESETS["tiny"]) == MemoryPort(PRESETS["tiny"]) != MemoryPort(PRESETS["wide"])
