"""Knock-out of barriers and locks, and what the memory models make of a protocol without them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rtl.core.microword import MicroWord, Op
from rtl.events import Event
from rtl.schedule import ScheduleKind
from sim.cli import app
from sim.engines.compiled import CompiledEngine
from sim.errors import InputError
from sim.knockout.knockout import MEMORY, Knockout
from sim.microcode.assembler import assemble
from sim.microcode.knockout import knock_out
from sim.microcode.protocols import barriers_and_locks, find_protocol
from sim.runs.plan import Plan
from sim.runs.prepare import prepare
from sim.runs.run import run

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "memory.md"
NAMES = {
    "call_function_lock", "call_single_queue_lock", "cfd_lock", "csd_complete_wmb", "csd_unlock_wmb", "handler_mb",
    "list_add_rcu_wmb", "smp_mb_before_ipi", "spin_unlock_wmb", "x2apic_fence",
}


@pytest.fixture(scope="module")
def v4():
    return assemble(find_protocol("v4"), n_cores=4, xlen=16, defines={"X2APIC": 1})


# --- the words --------------------------------------------------------------------------------------------------------


def test_v4_names_all_its_barriers_and_locks(v4):
    """Every fence and every taking and giving back of a spin lock has a name."""
    assert set(v4.names) == NAMES
    assert barriers_and_locks("v4") == sorted(NAMES, key=lambda name: min(v4.names[name]))
    named = {address for addresses in v4.names.values() for address in addresses}
    for address, raw in enumerate(v4.words):
        word = MicroWord.from_bits(raw)
        locks = word.op is Op.CALL and v4.label(word.target) in ("spin_lock", "spin_unlock")
        if word.op is Op.FENCE or locks:
            assert address in named, v4.lines[address]


@pytest.mark.parametrize("name", sorted(NAMES))
def test_only_the_named_words_go(name, v4):
    without = knock_out(v4, [name])
    changed = {address for address, (old, new) in enumerate(zip(v4.words, without.words, strict=True)) if old != new}
    assert changed == set(v4.names[name])
    for address in changed:
        old, new = (MicroWord.from_bits(image.words[address]) for image in (v4, without))
        assert old.op in (Op.FENCE, Op.CALL)
        assert new.op is Op.NOP
        assert (new.event, new.entry) == (old.event, old.entry)


def test_what_a_word_says_and_its_entry_mark_stay(tmp_path):
    path = tmp_path / "own.uasm"
    path.write_text("jmp start\n.entry start\nfence FULL @VISIT(r3, r5) !mine\nfence FULL !other\nhalt\n")
    image = assemble(path, n_cores=1, xlen=16)
    word = MicroWord.from_bits(knock_out(image, ["mine"]).words[1])
    assert (word.op, word.event, word.ra, word.rb, word.entry) == (Op.NOP, Event.VISIT, 3, 5, 1)
    assert knock_out(image, ["mine", "other"]).words[2] == MicroWord.const({"op": Op.NOP}).as_bits()
    assert knock_out(image, []).words == image.words


def test_an_unknown_name_is_refused(tmp_path):
    path = tmp_path / "own.uasm"
    path.write_text("fence FULL !mine\nfence FULL !yours\nhalt\n")
    image = assemble(path, n_cores=1, xlen=16)
    with pytest.raises(InputError) as refusal:
        knock_out(image, ["mine", "mime"])
    assert str(refusal.value) == (
        f'{path}: the protocol has no barrier or lock named mime, did you mean "mine"? (it has: mine, yours)')


# --- the command ------------------------------------------------------------------------------------------------------


def crosscall(*arguments):
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_memory_is_short_for_the_strap(tmp_path):
    code, out, _ = crosscall("run", "single", "--memory", "pso", "--without", "handler_mb", "--no-vcd", "--json",
                             "--out", str(tmp_path))
    result = json.loads(out)
    assert (code, result["memory"], result["straps"]["memory_model"], result["without"]) == (0, "pso", 2, ["handler_mb"])
    code, out, _ = crosscall("run", "single", "--memory", "tso", "--no-vcd", "--out", str(tmp_path))
    assert code == 0
    assert "\nprotocol v4, 2 cores, memory tso, seed 0: " in out


@pytest.mark.parametrize("name", ["TSO", "rmo", ""])
def test_an_unknown_memory_model_is_refused(name, tmp_path):
    for command in (("run", "single"), ("hunt", "single"), ("litmus",)):
        code, out, err = crosscall(*command, "--memory", name, "--out", str(tmp_path))
        assert (code, out, err) == (2, "", f"crosscall: --memory {name}: must be sc, tso or pso\n")


def test_list_names_barriers_and_locks():
    _, out, _ = crosscall("list", "--json")
    v4, = (protocol for protocol in json.loads(out)["protocols"] if protocol["name"] == "v4")
    assert set(v4["names"]) == NAMES
    _, out, _ = crosscall("list")
    assert all(name in out for name in NAMES)


# --- the experiment ---------------------------------------------------------------------------------------------------

BOTH = ("smp_mb_before_ipi", "x2apic_fence")


@pytest.fixture(scope="module")
def engine():
    """The machine of both scenarios: they have different numbers of cores."""
    made = {}

    def get(config):
        if config not in made:
            made[config] = CompiledEngine(config)
        return made[config]

    return get


def violated(engine, scenario, *, x2apic, without, memory=1, runs=12):
    """The oracles that are violated in each of so many runs whose drains are held now and then, for up to 128 clocks."""
    prepared = prepare(scenario, assignments=(f"memory_model={memory}", f"x2apic={x2apic}"), without=without)
    plans = (Plan(kind=ScheduleKind.BOUNDED, seed=seed, hold_drain=20, delay=7) for seed in range(runs))
    machine = engine(prepared.settings.config)
    return [{item.oracle for item in run(prepared.under(plan=plan), engine=machine).violations} for plan in plans]


def test_without_its_fences_the_many_path_loses_a_call(engine):
    """TSO, x2APIC: the interrupt overtakes the list addition, and the handler walks a list without the call."""
    found = violated(engine, "many", x2apic=1, without=BOTH)
    lost = [oracles for oracles in found if oracles]
    assert lost
    assert set().union(*lost) <= {"O3", "O9", "DATA", "REST", "WATCHDOG"}
    # A caller that waits does so for ever; a call that nobody waits for is found at the end.
    assert any("O3" in oracles for oracles in lost) and {"WATCHDOG"} in lost


def test_the_single_path_does_not(engine):
    """Its handler takes the queue's lock, and finds it held until the sender's stores are visible."""
    assert not any(violated(engine, "single", x2apic=1, without=BOTH, runs=30))


@pytest.mark.parametrize("without", [(), BOTH[:1], BOTH[1:]], ids=lambda names: " ".join(names) or "nothing")
def test_either_fence_is_enough(without, engine):
    assert not any(violated(engine, "many", x2apic=1, without=without))


def test_in_xapic_mode_no_fence_is_needed(engine):
    """The write to ICR waits for the stores before it."""
    assert not any(violated(engine, "many", x2apic=0, without=BOTH[:1]))


def test_under_sc_no_fence_is_needed(engine):
    assert not any(violated(engine, "many", x2apic=1, without=BOTH, memory=0))


# --- the documentation ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row, scenario, number", [
    ("single, one target (`single`)", "single", 0),
    ("many, two targets (`many`)", "many", 2),
    ("all others, three targets (`broadcast`)", "broadcast", 0),
])
def test_the_documented_clocks(row, scenario, number, engine):
    clocks = []
    for memory in range(3):
        prepared = prepare(scenario, assignments=(f"memory_model={memory}",))
        clocks.append(run(prepared, engine=engine(prepared.settings.config)).calls[number].to_json()["latency"])
    assert f"| {row} | {clocks[0]} | {clocks[1]} | {clocks[2]} |" in DOCUMENTATION.read_text()


# --- the table --------------------------------------------------------------------------------------------------------


def _knockout(protocol="v4", **options):
    pairs = options.pop("pairs", False)
    this = Knockout(protocol, **options)
    return this, this.run(pairs=pairs)


def test_there_is_a_row_for_each_name_model_and_scenario():
    this, rows = _knockout(scenarios=("single",), memory=("sc", "tso"), runs=4)
    assert [(row.removed, row.memory, row.scenario) for row in rows] == [
        ((name,), memory, "single") for name in barriers_and_locks("v4") for memory in ("sc", "tso")]
    # What does nothing under a model is not run.
    assert {row.removed[0] for row in rows if row.memory == "sc" and row.runs == 0} == NAMES - {
        "call_function_lock", "call_single_queue_lock", "cfd_lock"}
    assert "x2apic_fence" not in [row.removed[0] for row in _knockout(
        scenarios=("single",), memory=("sc",), runs=0, assignments=("x2apic=0",))[1]]


def test_two_that_cover_for_each_other(tmp_path):
    """And the waves of what they show are that run."""
    this, rows = _knockout(scenarios=("many",), only=("smp_mb_before_ipi", "x2apic_fence"), memory=("tso",), runs=64, pairs=True,
                           out=tmp_path)
    alone = {row.removed[0]: row for row in rows if len(row.removed) == 1}
    assert not (alone["smp_mb_before_ipi"].violation or alone["x2apic_fence"].violation)
    assert {alone[name].runs for name in ("smp_mb_before_ipi", "x2apic_fence")} == {64}
    both, = (row for row in rows if set(row.removed) == {"smp_mb_before_ipi", "x2apic_fence"})
    assert both.violation in {"WATCHDOG", "O3", "O9"}
    schedule = Path(both.wave).with_suffix(".schedule")
    result = CliRunner().invoke(app, ["replay", str(schedule), "--no-vcd", "--json"])
    assert both.violation in {item["oracle"] for item in json.loads(result.stdout)["violations"]}


def test_what_the_protocol_does_itself_does_not_count():
    this, rows = _knockout(scenarios=("early-return",), only=("cfd_lock",), memory=("sc",), runs=8)
    assert "O1" in this.own
    assert "O1" not in {row.violation for row in rows}


def test_the_command(crosscall, tmp_path):
    code, out, err = crosscall("knockout", "--protocol", "v4", "single", "--memory", "sc", "--runs", "4", "--no-vcd", "--json")
    assert (code, err) == (0, "")
    assert {"protocol", "removed", "memory", "scenario", "violation", "runs"} <= json.loads(out)[0].keys()
    code, out, _ = crosscall("knockout", "--protocol", "v4", "single", "--memory", "sc", "--runs", "4", "--no-vcd")
    assert code == 0 and "never mattered on this machine: " in out
    assert list(tmp_path.iterdir()) == []
    for arguments, message in ((("--protocol", "v5"), 'there is no protocol "v5"'),
                               (("--protocol", "v4", "--memory", "tos"), "--memory tos: must be one of sc, tso, pso"),
                               (("--protocol", "v4", "--only", "cfd_lokc"), 'named cfd_lokc, did you mean "cfd_lock"?')):
        code, out, err = crosscall("knockout", *arguments)
        assert (code, out) == (2, "") and message in err


@pytest.mark.slow
@pytest.mark.parametrize("name, scenario, first", [
    ("call_function_lock", "storm", "sc"), ("call_single_queue_lock", "reuse", "sc"), ("cfd_lock", "storm", "sc"),
    ("spin_unlock_wmb", "storm", "pso"), ("csd_complete_wmb", "single", "pso"), ("csd_unlock_wmb", "reuse", "pso"),
])
def test_what_carries_weight(name, scenario, first):
    """As docs/memory.md says: from this memory model on, and not before."""
    rows = {row.memory: row for row in _knockout(scenarios=(scenario,), runs=200)[1] if row.removed == (name,)}
    assert [row.violation is not None for row in rows.values()] == [MEMORY.index(model) >= MEMORY.index(first) for model in rows]
