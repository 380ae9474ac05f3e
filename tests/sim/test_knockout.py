"""Knock-out of barriers and locks, and what the memory models make of a protocol without them."""

import json
from pathlib import Path

import pytest

from rtl.core.microword import MicroWord, Op
from rtl.events import Event
from rtl.memory.port import MemoryModel
from rtl.schedule import ScheduleKind
from sim.engines.compiled import CompiledEngine
from sim.errors import InputError
from sim.knockout.knockout import MODELS, SCENARIOS, Case, Knockout, Row, holding
from sim.microcode.assembler import assemble
from sim.microcode.knockout import knock_out, useful_under
from sim.microcode.protocols import barriers_and_locks, find_protocol, shipped_protocols
from sim.report.knockout import summary
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


def test_memory_is_short_for_the_strap(crosscall, tmp_path):
    code, out, _ = crosscall("run", "single", "--memory", "pso", "--without", "handler_mb", "--no-vcd", "--json",
                             "--out", str(tmp_path))
    result = json.loads(out)
    assert (code, result["memory"], result["straps"]["memory_model"], result["without"]) == (0, "pso", 2, ["handler_mb"])
    code, out, _ = crosscall("run", "single", "--memory", "tso", "--no-vcd", "--out", str(tmp_path))
    assert code == 0
    assert "\nprotocol v4, 2 cores, memory tso, seed 0: " in out


@pytest.mark.parametrize("name", ["TSO", "rmo", ""])
def test_an_unknown_memory_model_is_refused(name, crosscall, tmp_path):
    for command in (("run", "single"), ("hunt", "single"), ("litmus",)):
        code, out, err = crosscall(*command, "--memory", name, "--out", str(tmp_path))
        assert (code, out, err) == (2, "", f"crosscall: --memory {name}: must be sc, tso or pso\n")


def test_list_names_barriers_and_locks(crosscall):
    _, out, _ = crosscall("list", "--json")
    v4, = (protocol for protocol in json.loads(out)["protocols"] if protocol["name"] == "v4")
    assert set(v4["names"]) == NAMES


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


# --- crosscall knockout -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_measures(crosscall):
    """A row for each name, then for pairs; the shortest run of each as waves, which can be repeated."""
    tried = (*reversed(BOTH), "csd_unlock_wmb")
    code, out, err = crosscall("knockout", "--protocol", "v4", "many", "--memory", "tso", "--pairs", "--runs", 8, "--judged", 0,
                               "--json", *(text for name in tried for text in ("--only", name)))
    assert (code, err) == (0, "")
    rows = {row["removed"]: row for row in json.loads(out)}
    assert [{row[key] for row in rows.values()} for key in ("protocol", "memory", "scenario")] == [{"v4"}, {"tso"}, {"many"}]
    # What does nothing under a memory model is no half of a pair there.
    assert rows.keys() == {*tried, "+".join(reversed(BOTH))}
    for name, row in rows.items():
        assert row["runs"] == (0 if name.endswith("_wmb") else 8), row
        assert (row["violation"] is None) == (row["clock"] is None) == (row["hits"] == 0) == (row["seen"] == {}), row

    lost = rows["+".join(reversed(BOTH))]
    assert lost["violation"] in ("O3", "O9", "REST", "WATCHDOG")
    assert [rows[name]["violation"] for name in BOTH] == [None, None]
    assert lost["wave"] == "waves/knockout/v4.x2apic_fence+smp_mb_before_ipi.tso.vcd"
    waves = {row["wave"] for row in rows.values() if row["violation"]}
    assert waves == {str(path) for path in Path("waves/knockout").glob("*.vcd")} and None not in waves
    code, out, _ = crosscall("replay", str(Path(lost["wave"]).with_suffix(".schedule")), "--no-vcd", "--json")
    again = json.loads(out)
    assert code == 1 and again["without"] == list(reversed(BOTH)) and again["memory"] == "tso"
    assert [lost["violation"], lost["clock"], lost["sentence"]] in [
        [item["oracle"], item["clock"], item["sentence"]] for item in again["violations"]]


@pytest.mark.slow
def test_what_counts_depends_on_the_scenario_and_on_the_memory_model():
    """v4 returns early in one scenario and not in the other; and what it does under SC it does under TSO."""
    this = Knockout("v4", scenarios=["early-return", "many"], memory=["tso"], only=["smp_mb_before_ipi"])
    row, other = this.run(runs=0, judged=0)
    assert {(scenario, model): "O1" in own for (scenario, model), own in this.own.items()} == {
        (scenario, model): scenario == "early-return" for scenario in ("early-return", "many") for model in MODELS}
    assert row.violation is other.violation is None and row.case.scenario == "early-return"


def test_what_the_protocol_does_by_itself_is_not_counted(crosscall):
    code, out, err = crosscall("knockout", "--protocol", "v4", "early-return", "--memory", "tso", "--runs", 1, "--judged", 0)
    assert (code, err) == (0, "") and "\nNot counted, because the complete protocol does so too: O1" in out
    assert "O1 in early-return" not in out and "early_return" not in out.partition("left out")[2].partition("carry weight")[0]
    assert not list(Path("waves/knockout").glob("v4.handler_mb*"))


@pytest.mark.slow
def test_a_protocol_of_ones_own_and_no_waves(crosscall):
    """What the Monitor does not see, the oracles do: a waiter's frame is written to after it has gone on."""
    Path("mine.uasm").write_text(find_protocol("v4").read_text())
    arguments = ("knockout", "--protocol", "mine.uasm", "single", "--memory", "pso", "--only", "csd_complete_wmb", "--runs", 24,
                 "--no-vcd", "--json")
    found = {}
    for judged in (0, 8):
        code, out, err = crosscall(*arguments, "--judged", judged)
        assert (code, err) == (0, "") and not Path("waves").exists()
        found[judged], = json.loads(out)
    assert found[0]["violation"] is None
    assert [found[8][key] for key in ("protocol", "violation", "wave")] == ["mine", "O7", None]
    assert found[8]["seen"].keys() == {"touch"}


@pytest.mark.parametrize("arguments, refusal", [
    (("--protocol", "v5"), 'there is no protocol "v5"'),
    (("--protocol", "v4", "mani"), 'there is no scenario "mani", did you mean "many"?'),
    (("--protocol", "v4", "--memory", "rmo"), "--memory rmo: must be one of sc, tso, pso"),
    (("--protocol", "v4", "--set", "memory_model=1"), "--set memory_model: memory models are chosen with --memory"),
    (("--protocol", "v4", "--set", "pso=0"), "memory_model=2 needs pso=1, but this machine has pso=0"),
    (("--protocol", "v4", "--set", "depth=1"), "--set depth=1: there is no such setting"),
    (("--protocol", "mailbox", "back-to-back"), 'names the call "each"'),
    (("--protocol", "v4", "--only", "handler_rmb"), 'no barrier or lock named handler_rmb, did you mean "handler_mb"?'),
    ((), "missing option '--protocol'"),
])
def test_bad_input(arguments, refusal, crosscall):
    code, out, err = crosscall("knockout", *arguments)
    assert (code, out) == (2, "") and refusal in err and not Path("waves").exists()


def test_what_a_protocol_cannot_run_is_left_out_and_said():
    this = Knockout("mailbox")
    assert 'names the call "each"' in this.skipped["back-to-back"] and set(this.scenarios).isdisjoint(this.skipped)
    assert {*this.scenarios, *this.skipped} == set(SCENARIOS)


@pytest.mark.parametrize("protocol", shipped_protocols())
def test_every_name_is_tried_where_it_can_do_something(protocol):
    this = Knockout(protocol)
    assert this.names == barriers_and_locks(protocol)
    image = assemble(find_protocol(protocol), n_cores=4, xlen=16, defines={"X2APIC": 1})
    for name in this.names:
        models = useful_under(image, name)
        assert models == tuple(MemoryModel)[len(MemoryModel) - len(models):], "a weaker model needs it, too"
        assert (len(models) == 3) == (MicroWord.from_bits(image.words[image.names[name][0]]).op is not Op.FENCE)


def test_the_table():
    def row(name, memory, scenario, runs, *seen):
        return Row("v4", Case((name,), memory, scenario), runs, seen=seen)

    assert summary([row("a", "tso", "many", 9, ("stuck", 1), ("lost", 2)), row("a", "tso", "single", 9, ("stuck", 4)),
                    row("a", "sc", "many", 0), row("b", "tso", "many", 9)]) == {
        "a": {"tso": "stuck 5, lost 2", "sc": "idle"}, "b": {"tso": "-"}}


def test_a_csd_that_is_locked_again_before_its_function_has_begun_is_not_given_back(engine):
    """v6, TSO: given back before the function, and locked at once. The lock is in a store buffer when the function begins."""
    prepared = prepare("storm", protocol="v6", assignments=("memory_model=1", "x2apic=1", "store_buffer_depth=8"),
                       without=["x2apic_fence"])
    assert not run(prepared.under(plan=holding(0)), engine=engine(prepared.settings.config)).violations


def test_a_frame_is_popped_when_its_core_pops_it(engine):
    """v6, PSO: the next call has pushed a frame and queued its csd when the pop becomes visible."""
    prepared = prepare("back-to-back", protocol="v6", assignments=("memory_model=2", "x2apic=1", "store_buffer_depth=8"))
    assert not run(prepared.under(plan=holding(4)), engine=engine(prepared.settings.config)).violations


@pytest.mark.slow
@pytest.mark.parametrize("name, scenario, first", [
    ("call_function_lock", "storm", "sc"), ("call_single_queue_lock", "reuse", "sc"), ("cfd_lock", "storm", "sc"),
    ("spin_unlock_wmb", "storm", "pso"), ("csd_complete_wmb", "single", "pso"), ("csd_unlock_wmb", "reuse", "pso"),
])
def test_what_carries_weight(name, scenario, first):
    """As docs/memory.md says: from this memory model on, and not before."""
    this = Knockout("v4", scenarios=[scenario], only=[name])
    rows = {row.case.memory: row for row in this.run(runs=50, judged=16, processes=2)}
    assert [rows[model].violation is not None for model in MODELS] == [
        MODELS.index(model) >= MODELS.index(first) for model in MODELS]
