"""Mutants: that each is the fault it says it is, how it is judged, and how a campaign reports and is gone on with."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rtl.core.microword import MicroWord, Op
from rtl.events import Event
from sim.errors import InputError
from sim.microcode.assembler import assemble
from sim.microcode.protocols import find_protocol, shipped_protocols
from sim.mutate.campaign import Campaign, Report, Row, Sample
from sim.mutate.equivalents import Equivalents, equivalents_of
from sim.mutate.judge import Judge, Verdict, _flags, _more_often
from sim.mutate.mutants import WITNESSES, mutants_of
from sim.mutate.words import dead_register, matters_in_order, reached, reads, writes
from sim.scenarios.document import Document
from sim.scenarios.reader import find_scenario

from .runs import COMMAND


def _image(text, **options):
    return assemble(Path("small.uasm"), n_cores=2, xlen=16, text=text, **options)


def _changes(text, line=0):
    """What -> [words], as the listing shows them, of the mutants of one line of a small program (counted from 0)."""
    image = _image(text)
    wanted = text.splitlines()[line].partition(";")[0].split()
    return {mutant.what: mutant.sentence.split(" becomes ")[1].strip("`").split("; ")
            for mutant in mutants_of(image) if mutant.text.split() == wanted}


# --- the kinds of faults ----------------------------------------------------------------------------------------------


def test_an_operation_is_left_out_with_its_event():
    image = _image("  st [0x20], r1 @QUEUE\n  nop @WAIT(r1)\n  ret\n")
    left_out = {mutant.text: mutant for mutant in mutants_of(image) if mutant.what == "left out"}
    assert left_out.keys() == {"st [0x20], r1 @QUEUE", "ret"}, "a word that does nothing is not left out"
    word = MicroWord.from_bits(left_out["st [0x20], r1 @QUEUE"].applied().words[0])
    assert (word.op, word.event, word.rb, word.imm) == (Op.NOP, Event.NONE, 0, 0)


def test_an_entry_point_stays_one():
    image = _image(".entry func_nop\n  ret\n  ret\n.entry func_two\n  mov r0, r1\n")
    for mutant in mutants_of(image):
        then = mutant.applied()
        assert [MicroWord.from_bits(raw).entry for raw in then.words] == [MicroWord.from_bits(raw).entry for raw in image.words]


def test_branches():
    changes = _changes("  beq r1, 3, there @HANDLE\n  ret\nthere:\n  ret\n  ret\n")
    assert changes["branch inverted"] == ["bne r1, 3, there @HANDLE"]
    assert changes["branch always taken"] == ["jmp there @HANDLE(r1, r0)"]
    assert changes["branch never taken"] == ["nop"]
    assert changes["target + 1"] == ["beq r1, 3, there+1 @HANDLE"]
    for written, inverted in (("bne r1, r2", "beq r1, r2"), ("blt r1, 2", "bge r1, 2"), ("bge r1, 2", "blt r1, 2"),
                              ("bts r1, 2", "btc r1, 2"), ("btc r1, 2", "bts r1, 2"), ("ldz r1, [r2]", "ldnz r1, [r2]")):
        assert _changes(f"  {written}, there\n  ret\nthere:\n  ret\n")["branch inverted"] == [f"{inverted}, there"]


def test_what_a_branch_does_besides_stays():
    assert _changes("  ldz r1, [r2], there\n  ret\nthere:\n  ret\n")["branch never taken"] == ["ld r1, [r2]"]
    assert _changes("there:\n  loop r1, r2, there\n  ret\n", 1)["branch never taken"] == ["sub r1, r2, 1"]


def test_a_target_that_only_says_something_is_skipped_too():
    assert _changes("  jmp there\n  ret\nthere:\n  nop @WAIT(r1)\n  mov r1, 2\n  ret\n")["target + 1"] == ["jmp there+2"]


def test_flags_counts_offsets_and_vectors():
    assert {what: words for what, words in _changes("  and r1, r2, 1\n  ret\n").items() if "constant" in what} == {
        "constant ^ 1": ["and r1, r2, 0"], "constant ^ 2": ["and r1, r2, 3"], "constant ^ 3": ["and r1, r2, 2"]}
    assert {what: words for what, words in _changes("  stc [r1 + 4], 2\n  ret\n").items() if "constant" in what} == {
        "constant ^ 1": ["stc [r1 + 4], 3"], "constant ^ 2": ["stc [r1 + 4], 0"]}
    assert {what: words for what, words in _changes("  sub r1, r2, 1\n  ret\n").items() if "constant" in what} == {
        "constant + 1": ["sub r1, r2, 2"], "constant - 1": ["sub r1, r2, 0"]}
    assert {what: words for what, words in _changes("  mov r1, 0\n  ret\n").items() if "constant" in what} == {
        "constant + 1": ["mov r1, 1"]}
    assert {what: words for what, words in _changes("  ld r1, [r2 + 4]\n  ret\n").items() if "offset" in what} == {
        "offset + 1": ["ld r1, [r2 + 5]"]}
    assert _changes("  call send, r5, [0xfc]\nsend:\n  ret\n")["offset - 1"] == ["call send, r5, [0xfb]"]
    assert _changes("  apicwr r1, APIC_ICR2\n  ret\n")["constant - 1"] == ["apicwr r1, APIC_ICR"]


def test_registers():
    assert {what: words for what, words in _changes("  add r1, r2, r4\n  ret\n").items() if " as " in what} == {
        "r0 as rd": ["add r0, r2, r4"], "r3 as ra": ["add r1, r3, r4"], "r5 as rb": ["add r1, r2, r5"]}
    assert _changes("  push r2\n  ret\n") == {"r3 as rb": ["push r3"]}
    assert [what for what in _changes("  jmp there\nthere:\n  ret\n  ret\n") if " as " in what] == []


def test_fences_and_names():
    text = "  fence FULL !wall\n  st [r1], r2\n  call lock !lock\n  call lock !lock\n  ret\nlock:\n  ret\n"
    changes = _changes(text)
    assert changes["left out"] == ["nop"] and changes["fence WRITE"] == ["fence WRITE"] and changes["fence READ"] == ["fence READ"]
    image = _image(text)
    fences = {(mutant.text, mutant.what) for mutant in mutants_of(image) if mutant.fences}
    assert fences == {("fence FULL !wall", what) for what in ("left out", "fence WRITE", "fence READ", "exchanged with the next")}
    gone, = [mutant for mutant in mutants_of(image) if mutant.what == "without lock"]
    assert gone.words.keys() == {2, 3} and {MicroWord.from_bits(raw).op for raw in gone.words.values()} == {Op.NOP}
    # To leave out the one word of a name is to leave out the word.
    assert "without wall" not in changes


def test_to_jump_over_a_fence_is_about_the_fence():
    image = _image("  call give\n  call take\n  ret\ngive:\n  fence WRITE\n  ret\ntake:\n  mov r0, 1\n  ret\n")
    assert {mutant.text: mutant.fences for mutant in mutants_of(image) if mutant.what == "target + 1"} == {
        "call give": True, "call take": False}


def test_interrupts_that_are_not_switched():
    text = "  irqsave @NOIPI\n  mov r3, r1\n  irqrestore\n  ret\n"
    image = _image(text)
    on, = [mutant for mutant in mutants_of(image) if mutant.what == "interrupts stay on"]
    assert on.sentence == "`irqsave @NOIPI` becomes `jmp 4; getif r3 @NOIPI; push r3; jmp 1`"
    assert on.applied().words[1:4] == image.words[1:]
    off, = [mutant for mutant in mutants_of(image) if mutant.what == "interrupts stay off"]
    assert off.sentence == "`irqrestore` becomes `jmp 4; irqrestore; cli; jmp 3`"
    assert not [mutant for mutant in mutants_of(image, room=6) if "interrupts" in mutant.what], "where there is no room for them"
    assert _changes("  sti @FUNC_EXIT\n  ret\n")["left out"] == ["nop @FUNC_EXIT"]
    # The flag needs a register that nobody reads afterwards.
    assert "interrupts stay on" not in _changes("  irqsave\n  irqrestore\n  ret\n")


@pytest.mark.parametrize("first, second, expected", [
    ("st [0x20], r1", "st [0x21], r2", True),
    ("st [0x20], r1", "call there", True),
    ("ld r1, [r2]", "add r3, r1, 1", True),
    ("mov r1, 1", "mov r1, 2", True),
    ("add r3, r1, 1", "mov r1, 2", True),
    ("push r1", "push r2", True),
    ("cli", "ld r1, [0x20]", True),
    ("fence WRITE", "st [0x20], r1", True),
    ("mov r1, 1", "mov r2, 1", False),
    ("ld r1, [0x20]", "mov r2, 1", False),
    ("push r1", "ld r2, [0x20]", False),
])
def test_neighbours_are_exchanged_where_that_can_matter(first, second, expected):
    image = _image(f"  {first}\n  {second}\n  ret\nthere:\n  ret\n")
    assert matters_in_order(*image.words[:2]) is expected
    exchanged = [mutant for mutant in mutants_of(image) if mutant.what == "exchanged with the next" and 0 in mutant.words]
    assert [mutant.applied().words[:2] for mutant in exchanged] == ([image.words[1::-1]] if expected else [])


def test_neighbours_stay_where_somebody_comes_in_between_or_goes_away():
    for text in ("  st [0x20], r1\nthere:\n  st [0x21], r2\n  ret\n  jmp there\n", "  st [0x20], r1\n  ret\n",
                 "  jmp there\n  st [0x20], r1\nthere:\n  ret\n", "  beq r1, r2, there\n  st [0x20], r1\nthere:\n  ret\n"):
        assert not [mutant for mutant in mutants_of(_image(text)) if mutant.what == "exchanged with the next" and 0 in mutant.words]


def test_equal_images_are_one_mutant_and_none_is_the_original():
    image = _image("a:\n  beq r1, r0, b\nb:\n  ret\n")
    words = [mutant.applied().words for mutant in mutants_of(image)]
    assert len(set(words)) == len(words) and image.words not in words
    # Both registers turned round: `beq r1, r0` as `beq r0, r0` and as `beq r1, r1`, and no third.
    assert [mutant.what for mutant in mutants_of(image) if " as " in mutant.what] == ["r0 as ra", "r1 as rb"]


def test_what_is_read_written_and_dead():
    image = _image("  cas r1, [r2 + 1], r3\n  pusha\n  jmp there\nthere:\n  stc [r4], 9\n  icall r5\n  ret\n")
    assert [reads(raw) for raw in image.words] == [{1, 2, 3}, set(range(7)), set(), {4}, {5}, set()]
    assert [writes(raw) for raw in image.words] == [{1}, set(), set(), set(), set(), set()]
    image = _image("  beq r1, 0, other\n  mov r2, r3\n  mov r4, 1\nother:\n  mov r4, r2\n  mov r3, 1\n  ret\n")
    # r3 is read on one of the ways, r4 is written on both.
    assert dead_register(image.words, 0) == 4
    assert dead_register(image.words, 5) is None


def test_what_nothing_leads_to_has_no_faults():
    image = _image("  call there\n  jmp end\n  mov r1, 2\nthere:\n  beq r1, 0, other\n  ret\n  mov r1, 5\nother:\n  mov r1, 6\n"
                   "end:\n  pause end\n  mov r1, 8\n.entry func_nop\n  icall r1\n  ret\n  mov r1, 10\n")
    assert reached(image.words, (0,)) == {0, 1, 3, 4, 6, 7, 9, 10}
    assert {mutant.text for mutant in mutants_of(image) if mutant.text.startswith("mov")} == {"mov r1, 6"}


def test_a_fault_has_one_name_for_every_number_of_cores():
    names = [{mutant.id for mutant in mutants_of(assemble(find_protocol("v4"), n_cores=cores, xlen=16))} for cores in (2, 3, 4)]
    assert len(names[0]) > 1000
    # A constant that is 1 with some number of cores may turn two faults into one.
    assert all(len(names[0] ^ other) < 10 for other in names[1:])


def test_the_witness_has_no_faults():
    image = assemble(find_protocol("v4"), n_cores=2, xlen=16)
    files = {mutant.file for mutant in mutants_of(image)}
    # Some are in an image only if a scenario has put them there.
    assert set(WITNESSES) - {"scftorture.uasm", "ipibench.uasm", "guarded.uasm"} <= {line.file for line in image.lines.values()}
    assert files == {line.file for line in image.lines.values()} - set(WITNESSES)
    for mutant in mutants_of(image):
        if not mutant.what.startswith("without"):
            places = [image.lines[address].file for address in mutant.words if address in image.lines]
            assert places and not any(witness in places for witness in WITNESSES)


# --- how it is judged -------------------------------------------------------------------------------------------------


def test_how_much_more_often_is_no_chance():
    """Of twice 512 runs."""
    for here, there in ((0, 0), (3, 0), (19, 0), (11, 11), (30, 11), (336, 512), (400, 336)):
        assert not _more_often(here, there)
    for here, there in ((20, 0), (80, 11), (512, 336)):
        assert _more_often(here, there)


def test_what_the_protocol_itself_shows_is_counted_by_runs():
    judge = Judge("v4", scenarios=("early-return",), runs=64)
    number, *_ = judge.build(judge.mutants)
    normal = judge.normal(number)
    assert normal.oracles == {"O1"} and normal.as_expected
    assert normal.flags.keys() == {"early_return"} and 20 < normal.flags["early_return"] < 64 == len(normal.hunted)


@pytest.mark.slow
def test_a_deadlock_that_goes_away_is_missed():
    """v2.6.29 without memory: if its allocation does not fail, the two functions do not wait for each other. Elsewhere a deadlock
    is still news."""
    judge = Judge("v2.6.29", scenarios=("rendezvous-pair", "single"), runs=32)
    fails = _place("bne   data, 0, .none", "kmalloc:", "kmalloc.uasm")
    for number in judge.build([f"{fails} branch never taken"]):
        judge.learn(number, judge.normal(number))
    verdict = judge.judge(f"{fails} branch never taken")
    assert (verdict.killed_by, verdict.scenario, verdict.run) == ("MISSING", "rendezvous-pair", None)
    assert verdict.sentence.startswith("WATCHDOG is expected, but comes neither in the run nor in any of 32 schedules; ")
    pair, single, *_ = judge._settings
    assert (pair.normal.rests, single.normal.rests) == (False, True)
    assert "stuck" in judge.own_flags(pair) and "stuck" not in judge.own_flags(single)


@pytest.mark.slow
def test_the_oracles_see_at_last_what_the_monitor_does_not():
    """An interrupt that ends where it should return runs on into the next routine, and the core counts as asleep once more."""
    judge = Judge("v2.6.29", scenarios=("asleep",), runs=4)
    skips = f"{_place('btc   t1, t0, .awake', 'rcu_irq_enter:', 'rcu.uasm')} target + 1"
    for number in judge.build([skips]):
        judge.learn(number, judge.normal(number))
    setting, *_ = judge._where(skips)
    assert not any(_flags(outcome) for _, outcome in judge.hunt(setting, setting.with_mutant(skips), judge.numbers))
    verdict = judge.judge(skips)
    assert (verdict.killed_by, verdict.scenario, verdict.run) == ("O7", "asleep", 2)
    assert "touched cfd_pool" in verdict.sentence and "freed" in verdict.sentence
    # What the protocol itself shows there is no verdict.
    judge._own[setting] = frozenset({"O7", "GRACE"})
    assert judge.judge(skips) is None


# --- a campaign -------------------------------------------------------------------------------------------------------

#: What every campaign here is run on: one scenario of two cores, and what is done there to a wait.
_SMALL = ("--scenario", "single", "--runs", "8", "--processes", "2")


def _place(part, routine, source="v4.uasm"):
    """Where a line with this text stands behind a label: ``v4.uasm:76``."""
    lines = find_protocol("v4").with_name(source).read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(routine))
    return f"{source}:{1 + next(number for number in range(start, len(lines)) if part in lines[number])}"


_WOKEN = _place("btc   t0, CSD_FLAG_WAIT, .woken", "csd_wait:")


@pytest.fixture
def protocol(tmp_path):
    """A protocol of one's own, so that what stands beside it can be written: (its path, the path of its equivalents)."""
    path = tmp_path / "own.uasm"
    path.write_text('.title "own"\n.include "v4.uasm"\n')
    return path, tmp_path / "own.equivalents.toml"


def test_explanations_name_a_line_among_equal_ones(crosscall, protocol):
    """`ld t0, [data + csd.flags]` stands twice in csd_unlock(): the first is for its WARN_ON."""
    path, equivalents = protocol
    first = _place("ld    t0, [data + csd.flags]", "csd_unlock:")
    second = _place("andn  t0, t0, CSD_FLAG_LOCK", "csd_unlock:")
    number = int(second.partition(":")[2]) - 1
    for nth, line in ((1, first), (2, f"v4.uasm:{number}")):
        _entry(equivalents, line="ld t0, [data + csd.flags]", mutants=["left out"], nth=nth, **{"in": "csd_unlock"})
        reasons = Equivalents(Document(equivalents))
        image = assemble(path, n_cores=2, xlen=16)
        assert [mutant.place for mutant in mutants_of(image) if reasons.reason(mutant)] == [line]


def _entry(path, *, line="btc t0, CSD_FLAG_WAIT, .woken", mutants=("constant ^ 2",), reason="because", **more):
    entry = {"line": line, "mutants": list(mutants), "reason": reason, **more}
    path.write_text("[[equivalent]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in entry.items() if value))


def test_killed_survivors_and_what_is_explained(crosscall, protocol):
    path, equivalents = protocol
    _entry(equivalents, **{"in": "csd_wait"})
    code, out, err = crosscall("mutate", "--protocol", path, "--only", f"{_WOKEN} ", *_SMALL, "--json")
    report = json.loads(out)
    rows = {row["mutant"]: row for row in report["rows"]}
    assert err == ""
    assert (report["mutants"], report["equivalent"], report["killed"], report["survived"], code) == (8, 1, 7, 0, 0)
    assert report["percent"] == 100
    assert rows[f"{_WOKEN} constant ^ 2"] == {
        "mutant": f"{_WOKEN} constant ^ 2", "line": _WOKEN, "text": "btc t0, CSD_FLAG_WAIT, .woken", "routine": "csd_wait",
        "change": "`btc r4, 1, csd_wait+4` becomes `btc r4, 3, csd_wait+4`", "equivalent": "because",
        "killed_by": None, "scenario": None, "memory": None, "run": None, "sentence": None}
    never = rows[f"{_WOKEN} branch never taken"]
    assert (never["killed_by"], never["scenario"], never["memory"], never["run"]) == ("WATCHDOG", "single", "sc", None)
    assert rows[f"{_WOKEN} branch always taken"]["killed_by"] == "O7"


def test_without_an_explanation_it_survives(crosscall, tmp_path):
    """In a protocol with v4's text, but without what stands beside v4."""
    (tmp_path / "own.uasm").write_text(find_protocol("v4").read_text())
    woken = _WOKEN.replace("v4.uasm", "own.uasm")
    code, out, err = crosscall("mutate", "--protocol", tmp_path / "own.uasm", "--only", f"{woken} constant", *_SMALL)
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert f"{woken} constant ^ 2 (csd_wait): `btc r4, 1, csd_wait+4` becomes `btc r4, 3, csd_wait+4`" in lines
    assert lines[-2].startswith("3 mutants of own: 0 equivalent, ") and lines[-2].endswith(" of the faults")
    assert lines[-1].startswith("1 scenario, 8 schedules of each; this time 3 mutants in ")


def test_a_source_brings_its_explanations(tmp_path, protocol):
    """What stands beside an included source is about its lines, in every protocol; one that matches nothing is no error."""
    path, equivalents = protocol
    (tmp_path / "part.uasm").write_text(".entry part\n  mov   t0, 1\n  mov   t0, 2\n  ret\n")
    path.write_text(path.read_text() + '.include "part.uasm"\n.entry here\n  mov   t0, 2\n  ret\n')
    _entry(tmp_path / "part.equivalents.toml", line="mov t0, *", mutants=["left out"], reason="of the part")
    image = assemble(path, n_cores=2, xlen=16)
    mutants = [mutant for mutant in mutants_of(image)
               if mutant.what == "left out" and mutant.routine in ("part", "here", "spin_lock")]

    def explained():
        reasons = equivalents_of(path, {mutant.file for mutant in mutants})
        reasons.check(mutants_of(image))
        return {(mutant.file, mutant.text): reasons.reason(mutant) for mutant in mutants if mutant.text.startswith("mov")}

    shared = {("machine.uasm", "mov t0, 1"): None, ("own.uasm", "mov t0, 2"): None,
              ("part.uasm", "mov t0, 1"): "of the part", ("part.uasm", "mov t0, 2"): "of the part"}
    assert explained() == shared
    _entry(equivalents, line="mov t0, 2", mutants=["left out"], reason="of this protocol")
    assert explained() == shared | {(file, "mov t0, 2"): "of this protocol" for file in ("part.uasm", "own.uasm")}
    _entry(tmp_path / "part.equivalents.toml", line="add t0, 2", mutants=["left out"], reason="of the part")
    assert explained()["part.uasm", "mov t0, 1"] is None


def test_explanations_of_shared_lines_match_in_some_protocol():
    shipped = [find_protocol(name) for name in shipped_protocols()]
    every = [mutant for path in shipped for mutant in mutants_of(assemble(path, n_cores=4, xlen=16))]
    shared = {mutant.file for mutant in every} - {path.name for path in shipped}
    assert {"machine.uasm", "lists.uasm"} < shared
    equivalents_of(shipped[0], shared).check_shared(every)


@pytest.mark.slow
def test_a_sample(crosscall, protocol):
    """Of what is not explained; the seed says which."""
    path, _ = protocol
    command = ("mutate", "--protocol", path, "--only", "csd_wait", *_SMALL)
    whole = json.loads(crosscall(*command, "--json")[1])
    faults = [row["mutant"] for row in whole["rows"] if row["equivalent"] is None]
    assert whole["sample"] is None and whole["equivalent"] > 0

    def chosen(*arguments):
        report = json.loads(crosscall(*command, *arguments, "--resume", "--json")[1])
        assert report["here"] == report["equivalent"] == 0
        return [row["mutant"] for row in report["rows"]], report["sample"]

    names, sample = chosen("--sample", "6", "--seed", "1")
    assert len(names) == 6 and names == [name for name in faults if name in names]
    assert (sample["seed"], sample["of"]) == (1, len(faults))
    assert chosen("--sample", "6", "--seed", "1")[0] == names != chosen("--sample", "6", "--seed", "2")[0]
    assert set(chosen("--sample", "5", "--seed", "1")[0]) < set(names) < set(chosen("--sample", "12", "--seed", "1")[0])
    assert chosen("--sample", "1000")[0] == faults
    lines = crosscall(*command, "--sample", "6", "--seed", "1", "--resume")[1].splitlines()
    assert lines[-2].startswith(f"a sample, with seed 1, of {len(faults)} mutants: of all faults among these, ")


def test_a_sample_with_explained_ones(crosscall, protocol):
    """With --all they are chosen like the others, and run; the percentage is without them."""
    path, _ = protocol
    command = ("mutate", "--protocol", path, "--only", "csd_wait", *_SMALL, "--all", "--seed", "1", "--json")
    whole = json.loads(crosscall(*command)[1])
    report = json.loads(crosscall(*command, "--sample", "20", "--resume")[1])
    assert report["sample"]["of"] == whole["mutants"] > 20 == report["mutants"]
    assert 0 < report["equivalent"] == 20 - report["killed"] - report["survived"]
    assert report["rows"] == [row for row in whole["rows"] if row in report["rows"]]


def test_a_sample_of_nothing_but_explained_ones_says_nothing():
    row = Row("id", "line", "text", None, "", "because", None)
    assert Report("v4", ("single",), 8, (row,), 0, 0, Sample(0, 1000)).interval == (0, 100)


@pytest.mark.parametrize("killed, survived, low, high", [(60, 0, 93.98, 100), (57, 3, 86.30, 98.29), (1, 1, 9.45, 90.55)])
def test_what_a_sample_says_of_all(killed, survived, low, high):
    """Wilson's interval of 57 of 60, as tables have it: 0.863 to 0.983."""
    rows = tuple(Row("id", "line", "text", None, "", None, Verdict("O1", "single", "sc", None, "") if number < killed else None)
                 for number in range(killed + survived))
    report = Report("v4", ("single",), 8, rows, 0, 0, Sample(0, 1000))
    assert report.interval == pytest.approx((low, high), abs=0.01)


def test_an_explanation_that_is_wrong_is_found(crosscall, protocol):
    path, equivalents = protocol
    _entry(equivalents, mutants=["branch *"])
    only = ("--only", f"{_WOKEN} branch", *_SMALL)
    assert crosscall("mutate", "--protocol", path, *only)[0] == 0
    code, out, _ = crosscall("mutate", "--protocol", path, *only, "--all")
    assert code == 1
    assert out.count(f"\nexplained as equivalent, but killed: {_WOKEN} branch ") == 3


@pytest.mark.slow
def test_a_hunt_finds_what_the_run_does_not(tmp_path):
    """A store that has come out of its lock: the number that the verdict names shows it alone."""
    added = _place("@QUEUE", ".macro list_add_tail", "lists.uasm")
    arguments = {"scenarios": ("queue-irq",), "only": f"{added} < {_place('list_add_tail', 'generic_exec_single:')} exchanged",
                 "out": tmp_path}
    row, = Campaign("v4", runs=256, **arguments).run().rows
    assert row.verdict is not None and row.verdict.run is not None
    again, = Campaign("v4", runs=1, first=row.verdict.run, **arguments).run().rows
    assert again.verdict == row.verdict


@pytest.mark.slow
def test_a_fence_is_judged_where_stores_are_buffered(tmp_path):
    campaign = Campaign("v4", scenarios=("broadcast",), only="spin_unlock_wmb", runs=32, out=tmp_path)
    rows = {row.id.split(" ", 1)[1]: row for row in campaign.run().rows}
    assert rows.keys() == {"left out", "fence READ", "exchanged with the next"}
    assert all(row.verdict is not None and row.verdict.memory.startswith("pso") for row in rows.values())


@pytest.mark.slow
def test_in_pieces_it_is_the_same_campaign(tmp_path):
    def campaign(out, **options):
        return Campaign("v4", scenarios=("single",), only="csd_wait", runs=8, out=out, processes=2, **options)

    def until(limit):
        def progress(done, *_):
            if done >= limit:
                raise KeyboardInterrupt
        return progress

    whole = campaign(tmp_path / "whole").run()
    for limit, resume in ((3, False), (9, True)):
        with pytest.raises(KeyboardInterrupt):
            campaign(tmp_path / "pieces", progress=until(limit)).run(resume=resume)
    known = len(json.loads((tmp_path / "pieces/v4.mutate.json").read_text())["verdicts"])
    report = campaign(tmp_path / "pieces").run(resume=True)
    assert 9 <= known < whole.here and report.here == whole.here - known
    assert report.rows == whole.rows
    assert campaign(tmp_path / "pieces").run(resume=True).here == 0


def test_what_the_protocol_does_is_kept(tmp_path, monkeypatch):
    """Whoever resumes does not run the protocol again, except with another machine or other checks."""
    def campaign(only):
        return Campaign("v4", scenarios=("early-return",), only=only, runs=8, out=tmp_path, processes=1)

    def run_again(self, number):
        raise AssertionError("the protocol is run again")

    notebook = tmp_path / "v4.mutate.json"
    campaign(f"{_WOKEN} constant").run()
    text = notebook.read_text()
    kept = json.loads(text)["normals"]["settings"]["0"]
    assert (kept["oracles"], kept["rests"], len(kept["hunted"])) == (["O1"], True, 8)
    with monkeypatch.context() as patched:
        patched.setattr(Judge, "normal", run_again)
        resumed = campaign(f"{_WOKEN} ").run(resume=True)
        for stale in ({"house": "another"}, {"settings": {}}):
            parts = json.loads(text)
            notebook.write_text(json.dumps({**parts, "normals": {**parts["normals"], **stale}}))
            with pytest.raises(RuntimeError, match="the protocol is run again"):
                campaign(f"{_WOKEN} ").run(resume=True)
    assert resumed.here and resumed.rows == campaign(f"{_WOKEN} ").run().rows


@pytest.mark.parametrize("key, value", [("straps", "fabric_latency = 9"), ("limits", "patience = 9999"), ("limits", "visits = 99"),
                                        ("expect", 'violations = ["O1"]'), ("machine", "store_buffer_depth = 8")])
def test_a_scenario_on_another_machine_is_another_campaign(tmp_path, key, value):
    """Also where the words of program and arena are the same."""
    path = tmp_path / "own.toml"
    path.write_text(find_scenario("single").read_text())
    before = Judge("v4", scenarios=(str(path),), runs=1).identity
    path.write_text(f"{path.read_text()}\n[{key}]\n{value}\n")
    assert Judge("v4", scenarios=(str(path),), runs=1).identity != before


@pytest.mark.slow
def test_ctrl_c(tmp_path):
    process = subprocess.Popen([*COMMAND, "mutate", "--protocol", "v4", "--scenario", "single", "--runs", "16"], cwd=tmp_path,
                               start_new_session=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env={**os.environ, "PYTHONPATH": os.getcwd()})
    notebook = tmp_path / "waves/v4.mutate.json"
    try:
        deadline = time.monotonic() + 60
        while not (notebook.exists() and json.loads(notebook.read_text())["verdicts"]):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate(timeout=10) == ("", "crosscall: interrupted\n")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert os.listdir(notebook.parent) == [notebook.name]
    assert json.loads(notebook.read_text())["verdicts"]


# --- refused ----------------------------------------------------------------------------------------------------------


def test_a_machine_without_pso_is_refused(tmp_path):
    """A fence is judged under PSO, too."""
    text = find_scenario("single").read_text()
    path = tmp_path / "single.toml"
    path.write_text(f"{text}\n[machine]\npso = 0\n")
    with pytest.raises(InputError, match="single: memory_model=2 needs pso=1, but this machine has pso=0"):
        Judge("v4", scenarios=(str(path),), runs=1)


@pytest.mark.parametrize("entry, message", [
    ({"line": "btc t0, CSD_FLAG_WAITS, .woken"}, "line does not match any line with mutants"),
    ({"in": "csd_lock"}, "in csd_lock"),
    ({"mutants": ["constant ^ 9"]}, 'has "constant ^ 9", but the line has no such mutant (there are: branch inverted, '),
    ({"mutants": [3]}, "must be a list of changes to the line, not 3"),
    ({"reason": ""}, "reason is missing: an entry has line, mutants and reason"),
    ({"note": "x"}, "note is not known here (known: line, in, nth, mutants, reason)"),
    ({"nth": 2}, "line does not match any line with mutants, or not 2 times"),
])
def test_explanations_of_nothing_are_refused(crosscall, protocol, entry, message):
    path, equivalents = protocol
    _entry(equivalents, **entry)
    code, out, err = crosscall("mutate", "--protocol", path, *_SMALL)
    assert (code, out) == (2, "")
    assert err.startswith(f"crosscall: {equivalents}:") and message in err
    assert not Path("waves").exists()


@pytest.mark.parametrize("arguments, message", [
    (["--protocol", "v5"], 'there is no protocol "v5"'),
    (["--protocol", "v4", "--scenario", "nothing"], 'there is no scenario "nothing"'),
    (["--protocol", "v4", *_SMALL, "--only", "nothing at all"], "--only nothing at all: no mutant has this text in its name"),
    (["--protocol", "v4", *_SMALL, "--out", "file/waves"], "file/waves: cannot be created: Not a directory"),
    (["--protocol", "v4", *_SMALL, "--resume"], "waves/v4.mutate.json: there is no campaign to resume"),
    (["--protocol", "v4", "--runs", "0"], "invalid value for '--runs'"),
    (["--protocol", "v4", "--sample", "0"], "invalid value for '--sample'"),
    (["--protocol", "v4", *_SMALL, "--only", f"{_WOKEN} constant ^ 2", "--sample", "1"], "--sample: every mutant is explained"),
])
def test_bad_input(crosscall, tmp_path, arguments, message):
    (tmp_path / "file").touch()
    code, out, err = crosscall("mutate", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"crosscall: {message}")


def test_notebooks_that_are_none(crosscall, tmp_path):
    notebook = tmp_path / "waves/v4.mutate.json"
    notebook.parent.mkdir()
    command = ("mutate", "--protocol", "v4", "--only", f"{_WOKEN} branch", *_SMALL)
    for text in ("", "[]", "{}", '{"runs": [0, 8], "settings": [], "verdicts": [], "normals": {}}'):
        notebook.write_text(text)
        assert crosscall(*command, "--resume") == (2, "", "crosscall: waves/v4.mutate.json: is not the notebook of a campaign\n")
    assert crosscall(*command)[0] == 0
    before = notebook.read_bytes()
    for other in (["--runs", 9], ["--first", 1], ["--scenario", "refill"]):
        code, out, err = crosscall(*command, *other, "--resume")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("crosscall: waves/v4.mutate.json: is the notebook of another campaign: ")
    assert notebook.read_bytes() == before


def test_without_a_compiler_it_says_so(crosscall, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ziglang", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CC", "")
    code, out, err = crosscall("mutate", "--protocol", "v4", "--only", "csd_wait", *_SMALL)
    assert (code, out, err.count("\n")) == (3, "", 1)


# --- the whole of it --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_slice_of_v4(tmp_path):
    """The waiting side, on all scenarios: nothing that is explained is seen, and of the faults only the one survives that
    docs/findings.md names: a nowait call that waits all the same."""
    report = Campaign("v4", only="csd_wait", everything=True, out=tmp_path).run()
    assert len(report.rows) > 20 and len(report.scenarios) > 10
    assert [(row.text, row.id.split(" ", 1)[1]) for row in report.survivors] == [("bne r3, 0, csd_wait", "branch always taken")]
    assert report.equivalents and not report.contradictions
