"""The Machine as a circuit, and that nothing outside of contents, straps and schedule changes what it does."""

import re
from functools import cache

import pytest
from amaranth.back import rtlil

# The netlist is not public. Nothing else tells which outputs hang combinationally on which inputs; if a release moves it, the
# helper below is what breaks.
from amaranth.hdl import Fragment, _ir, _nir

from rtl.apic.message import message_layout
from rtl.config import PRESETS, MachineConfig
from rtl.events import ApicEvent, Event
from rtl.machine import Machine
from rtl.tile import Tile
from sim.engines.engine import Contents, Ending, Job
from sim.engines.pysim import PySimEngine
from sim.microcode.assembler import assemble
from sim.records import ApicRecord, CoreRecord, Digest, MessageRecord, Sources
from sim.runs.prepare import prepare
from sim.runs.run import run

from .machine_runner import MachineRunner, Recorder, runner

CONFIGS = {
    "tiny": PRESETS["tiny"],
    "default": PRESETS["default"],
    "1 core": MachineConfig(n_cores=1, n_vectors=256),
    "2 cores, 2 banks": MachineConfig(n_cores=2, n_banks=2, xlen=64),
    "3 cores, 4 banks": MachineConfig(n_cores=3, n_banks=4, xlen=32),
    "with nothing that may be left out": MachineConfig(
        n_cores=2, store_buffer_depth=2, pso=0, x2apic_mode=0, task_priority=0, error_status=0, register_reads=0, delay_bits=4),
    "8 cores": MachineConfig(n_cores=8, microcode_depth=64, arena_depth=64),
}


# --- the circuit ------------------------------------------------------------------------------------------------------


@cache
def modules(config):
    """Module name -> its RTLIL. The conversion refuses combinational loops, which the simulator does not see."""
    text = rtlil.convert(Machine(config))
    return dict(re.findall(r"^module \\(\S+)\n(.*?)^end$", text, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.slow if name in ("default", "8 cores") else ()) for name in CONFIGS])
def test_tiles_are_one_circuit(name):
    """Also: no combinational loop."""
    config = CONFIGS[name]
    tiles = [tile_of(modules(config), number) for number in range(config.n_cores)]
    assert {"", ".core", ".core.sequencer", ".memory_path", ".apic"} <= set(tiles[0])
    for tile in tiles:
        assert tile == tiles[0]


def tile_of(modules, number):
    """The modules of one Tile. A name, which may be that of a signal of its neighbourhood, is told by where it first stands."""
    prefix = f"top.tile{number}"
    names = {}

    def numbered(name):
        return f"\\{names.setdefault(name[0], len(names))}"

    return {name.removeprefix(prefix): re.sub(r"\\\S+|\$\d+", numbered, body) for name, body in modules.items()
            if name == prefix or name.startswith(prefix + ".")}


@pytest.mark.slow
def test_wide_machine_converts():
    """The quick form is that of eight cores above, which is a machine of the same sizes per core."""
    assert "top.tile31.core.datapath" in modules(PRESETS["wide"])


def inputs_behind(component, *members):
    """The names of the input ports on which these output ports depend without a flip-flop or a memory between, and how many bits
    have been followed."""
    ports = {}
    for path, member, value in component.signature.flatten(component):
        direction = _ir.PortDirection.Input if member.flow.name == "In" else _ir.PortDirection.Output
        ports["__".join(map(str, path))] = (getattr(value, "as_value", lambda value=value: value)(), direction)
    netlist = _ir.build_netlist(Fragment.get(component, None), ports)
    names = {bit: name for name, (start, width) in netlist.top.ports_i.items() for bit in range(start, start + width)}
    outputs = [net for member in members for net in netlist.top.ports_o[member]]
    found, seen, todo = set(), set(), list(outputs)
    while todo:
        net = todo.pop()
        if net.is_const or net in seen:
            continue
        seen.add(net)
        cell = netlist.cells[net.cell]
        if isinstance(cell, _nir.Top):
            found.add(names[net.bit])
        elif not isinstance(cell, (_nir.FlipFlop, _nir.SyncReadPort)):
            todo += [edge[0] for edge in cell.comb_edges_to(net.bit)]
    return found, len(outputs)


@pytest.mark.parametrize("fields", [{}, {"xlen": 64, "n_vectors": 256, "n_banks": 4}], ids=["default", "large"])
def test_what_a_tile_sends_is_a_function_of_state(fields):
    """So that Shared, which answers in the same clock, closes no loop; and each part can be evaluated once per clock."""
    config = MachineConfig(**fields)
    sent = ("memory__valid", "memory__request", "out__valid", "out__message")
    found, bits = inputs_behind(Tile(config), *sent)
    assert found == set()
    assert bits == 1 + 3 + config.address_bits + 2 * config.xlen + 1 + message_layout.size
    # What does hang on inputs is seen.
    assert "memory__done" in inputs_behind(Tile(config), "core_record")[0]


# --- the run ----------------------------------------------------------------------------------------------------------


def scenario(*assignments):
    return prepare("single", cores=3, assignments=("n_banks=2", *assignments))


@cache
def reference():
    """The prepared scenario, its engine, and a run of it: outcome and records."""
    prepared = scenario()
    engine = PySimEngine(prepared.settings.config)
    return prepared, engine, *simulate(engine, prepared)


def simulate(engine, prepared, **options):
    sink = Recorder(engine.config)
    outcome = engine.run(Job(prepared.contents, prepared.settings.straps, max_clocks=20_000), sink=sink, **options)
    assert outcome.ending is Ending.QUIET
    return outcome, sink.raw


def digest(config, raw):
    result = Digest(Sources(config))
    for item in raw:
        result.add(*item)
    return result.value()


@pytest.mark.slow
def test_load_port_and_a_late_start_change_nothing():
    """All contents through the port, and ``run`` low for as long as one likes: the same records on the same clocks."""
    prepared, engine, outcome, raw = reference()
    other = MachineRunner(engine.config).run(prepared.contents, prepared.settings.straps, max_clocks=20_000, load_port=True,
                                             before=17)
    assert other.raw == raw
    assert digest(engine.config, other.raw) == digest(engine.config, raw)
    assert (other.clocks, other.ending, tuple(other.arena)) == (outcome.clocks, outcome.ending, outcome.arena)


@pytest.mark.slow
def test_a_second_run_equals_the_first_and_the_probe_changes_nothing():
    """Whatever ran between the two, and however it ended."""
    prepared, engine, outcome, raw = reference()

    class Impatient(Recorder):
        def on_clock(self, clock, records, probe):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        contents = Contents(microcode=[*prepared.contents.microcode, *[1] * 9], arena={1000: 7})
        engine.run(Job(contents, prepared.settings.straps, max_clocks=10), sink=Impatient(engine.config))
    assert simulate(engine, prepared, probe=True) == (outcome, raw)


@pytest.mark.parametrize("xlen", [pytest.param(32, marks=pytest.mark.slow), pytest.param(64, marks=pytest.mark.slow)])
def test_wider_words(xlen):
    """Wider registers do the same scenario in the same clocks, and the oracles hold."""
    prepared = scenario(f"xlen={xlen}")
    result = run(prepared)
    assert prepared.settings.config.xlen == xlen
    assert result.ok
    assert result.clocks == reference()[2].clocks


BROADCAST = """
    .global answers: word
    .macro wait_for_answers
    .again:
        ld r4, [answers]
        bne r4, NR_CPUS - 1, .again
    .end
.const AT_ONCE ?= 0
.if AT_ONCE
    .macro to_all_others command
        mov r3, 3 << 2                      ; shorthand: all but this one
        apicwrh r3
        mov r3, command
        apicwr r3, APIC_ICR
    .end
.else
    .macro to_all_others command
        mov r2, 1
    .next:
        shl r3, r2, 8
        apicwrh r3
        apicwr r0, APIC_ICR2
        mov r3, command
        apicwr r3, APIC_ICR
    .on_its_way:
        apicrd r4, APIC_ICR
        bts r4, 1 << 12, .on_its_way
        add r2, r2, 1
        bne r2, NR_CPUS, .next
    .end
.end
    .org 0
        jmp start
    .org ENTRY_INTERRUPT
        fadd r1, [answers], r1 @TAKE
        apicwr r0, APIC_EOI
        mov r1, 1
        iret
    start:
        cpuid r2
        mov r1, 1
        beq r2, 0, boot
        self r5
        nop @ONLINE(r5, r0)
        fadd r2, [answers], r1
        sti
        halt
        cli
        halt
    boot:
        to_all_others MODE_STARTUP << 8
        wait_for_answers
        stc [answers], 0
        to_all_others 0xf1
        wait_for_answers
        halt @PROGRAM_DONE
"""


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("n_cores", [3, pytest.param(32, marks=pytest.mark.slow)])
def test_broadcast(n_cores, at_once, tmp_path):
    """Core 0 starts all others, and interrupts them all, by a message to each or by one to all: each answers twice, and then
    everybody sleeps."""
    source = tmp_path / "broadcast.uasm"
    source.write_text(BROADCAST)
    config = MachineConfig().with_cores(n_cores) if n_cores > 16 else runner(n_cores).config
    image = assemble(source, n_cores=n_cores, xlen=config.xlen, any_events=True, defines={"AT_ONCE": int(at_once)})
    machine = MachineRunner(config) if n_cores > 16 else runner(n_cores)
    seen = machine.run(Contents(microcode=image.words, arena=image.arena), max_clocks=5000)
    others = set(range(1, n_cores))
    assert seen.ending is Ending.QUIET
    assert {record.core: record.a for record in seen.records
            if type(record) is CoreRecord and record.event is Event.ONLINE} == {core: 1 << core for core in others}
    answered = [record for record in seen.records if type(record) is CoreRecord and record.event is Event.TAKE]
    assert {record.core for record in answered} == others
    assert sorted(record.result for record in answered) == list(range(n_cores - 1))
    accepted = [record.vector for record in seen.records if type(record) is ApicRecord and record.event is ApicEvent.ACCEPT]
    assert accepted == [0xF1] * (n_cores - 1)
    sent = [record for record in seen.records if type(record) is ApicRecord and record.event is ApicEvent.SEND]
    assert len(sent) == 2 * (1 if at_once else n_cores - 1)
    arrived = [(record.mode, record.target) for record in seen.records if type(record) is MessageRecord]
    assert sorted(arrived) == [(mode, core) for mode in (0, 6) for core in sorted(others)]
