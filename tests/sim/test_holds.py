"""Holds: what is held where and for how long, what is said of it, and the races that it provokes."""

import json
import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from rtl.events import Event
from rtl.memory.port import MemoryOp
from sim.begun import Begun
from sim.engines.pysim import PySimEngine
from sim.errors import InputError
from sim.records import CommitRecord, CoreRecord, MessageRecord
from sim.runs.holds import LONGEST, hold_up, read_hold, read_holds, with_holds
from sim.runs.prepare import prepare
from tests.sim.runs import engine_for, prepare_text, run_prepared

TSO = ("memory_model=1", "x2apic=1", "store_buffer_depth=8")


class _Begins(Begun):
    """list : (clock, core, address) of each word that a core has begun."""

    def __init__(self, config, image):
        super().__init__(config, image)
        self.list = []

    def on_clock(self, clock, records, probe):
        self.clock = clock - 1
        return super().on_clock(clock, records, probe)

    def begun(self, core, address):
        self.list.append((self.clock, core, address))


def _held(prepared, *texts, engine=None):
    """(Prepared, Helds)."""
    config = prepared.run.config
    return hold_up(prepared, [read_hold(text, prepared.image, config.n_cores) for text in texts], engine or engine_for(config))


def _begins(prepared):
    sink = _Begins(prepared.run.config, prepared.image)
    engine_for(prepared.run.config).run(prepared.job, sink=sink, probe=True)
    return sink.list


# --- how long ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["v4", "v6"])
@pytest.mark.parametrize("at, until", [
    ("FUNC_ENTRY", "IRET"), ("HANDLE#2", "IRET"), ("RUN#3", "RUN"), ("HANDLE_END#2", "QUEUE")])
def test_a_core_stands_still_from_one_place_to_the_other(protocol, at, until):
    """Where interrupts are off. It comes to its place when it would without the hold, begins nothing, and begins the word at its
    place in the clock after the one in which the other core begins the word at the other place."""
    prepared = prepare("storm", protocol=protocol)
    place, _, number = at.partition("#")
    words, others = (prepared.image.events[Event[name]] for name in (place, until))
    arrives = [item for item in _begins(prepared) if item[1] == 2 and item[2] in words][int(number or 1) - 1]
    this, (held,) = _held(prepared, f"2 at {at} until 1 at {until}")
    assert held.met and held.clocks.start == arrives[0]
    begins = _begins(this)
    assert not [clock for clock, core, _ in begins if core == 2 and clock in held.clocks]
    assert (held.clocks.stop, 2, arrives[2]) in begins
    comes = [clock for clock, core, word in begins if core == 1 and word in others and clock > held.clocks.start]
    assert comes[0] == held.clocks[-1]


def test_progress_is_told():
    told = []
    prepared = prepare("single")
    hold_up(prepared, read_holds(prepared, ["0 at CALL for 7"]), engine_for(prepared.run.config), told.append)
    assert told == [f"run {number} to find the clocks of the holds" for number in (1, 2)]


def test_a_missing_compiler_is_told_by_the_run_alone(monkeypatch):
    monkeypatch.setenv("CC", "/nonexistent")
    told = []
    prepared = prepare("single", cores=2).under(max_clocks=20)
    with_holds(prepared, read_holds(prepared, ["0 at reset for 3"]), told.append)
    assert told == ['hold "0 at reset for 3": clocks 4 to 6']


def test_for_so_many_clocks():
    prepared = prepare("single")
    this, (held,) = _held(prepared, "0 at CALL for 7")
    assert held.met and len(held.clocks) == 7
    assert [clock for clock, core, _ in _begins(this) if core == 0 and clock >= held.clocks.start][0] == held.clocks.stop
    assert _held(prepared)[0].run.schedule == ()


def test_one_core_is_let_go_where_the_next_one_is_held():
    this, (first, second) = _held(prepare("storm"), "2 at RUN until 1 at RUN", "1 at RUN until 2 at RAN")
    assert first.clocks[-1] == second.clocks.start < second.clocks[-1] and first.met and second.met
    begins = _begins(this)
    assert [clock for clock, core, _ in begins if core == 2 and clock >= first.clocks.start][0] == second.clocks.start + 1
    assert not [clock for clock, core, _ in begins if core == 1 and clock in second.clocks]


def test_a_number_counts_from_the_start_of_the_run_and_none_is_the_next_time():
    prepared = prepare("storm")
    words = prepared.image.events[Event.RUN]
    plain = [clock for clock, core, word in _begins(prepared) if core == 1 and word in words]
    _, (held, after) = _held(prepared, "1 at RUN#2 for 1", "1 at RUN#3 for 1")
    assert held.clocks.start == plain[1] and after.clocks.start > held.clocks.start
    arrives = [clock for clock, core, word in _begins(prepared) if core == 0 and word in words][3]
    came = len([clock for clock in plain if clock < arrives])
    _, (late,) = _held(prepared, f"0 at RUN#4 until 1 at RUN#{came}")
    assert late.late and late.clocks is None
    assert late.sentence.endswith("core 1 had come before core 0, so nothing was held")
    _, (soon,) = _held(prepared, f"0 at RUN#4 until 1 at RUN#{came + 1}")
    assert soon.met and soon.clocks.start == arrives


def test_two_cores_that_come_in_the_same_clock():
    """The hold lasts for this clock, whichever of the two cores it holds."""
    prepared = prepare("storm", protocol="v4")
    words = {word for words in prepared.image.events.values() for word in words}
    begins = [(clock, core, prepared.image.label(word)) for clock, core, word in _begins(prepared) if word in words]
    (clock, one, here), (_, two, there) = next(pair for pair in pairwise(begins) if pair[0][0] == pair[1][0])
    times = [len([item for item in begins if item[0] <= clock and item[1:] == place]) for place in ((one, here), (two, there))]
    first, second = f"{one} at {here}#{times[0]}", f"{two} at {there}#{times[1]}"
    for texts in ([f"{first} until {second}"], [f"{second} until {first}"], [f"{first} until {two} at {there}"],
                  [f"{second} until {one} at {here}", f"{first} until {two} at {there}"]):
        this, helds = _held(prepared, *texts)
        assert [(held.clocks, held.met) for held in helds] == [(range(clock, clock + 1), True)] * len(texts)
        assert {clock for clock, core, word in _begins(this) if core == helds[0].hold.at.core} >= {clock + 1}
    _, (again,) = _held(prepared, f"drain {first} until {one} at {here}")                  # the same core: the next time
    assert again.clocks.start == clock and len(again.clocks) > 1


@pytest.mark.parametrize("number", ["", "#2"])
def test_a_core_that_stands_at_a_place_comes_there_when_it_goes_on(number):
    stands = "1 at RUN#2 for 300"
    this, (first,) = _held(prepare("storm", protocol="v4"), stands)
    words = {word for words in this.image.events.values() for word in words}
    begins = [(core, this.image.label(word)) for clock, core, word in _begins(this) if core == 2 and word in words
              and clock < first.clocks[50]]
    core, label = begins[-1]
    other = f"{core} at {label}#{begins.count(begins[-1])} until 1 at RUN{number}"
    _, (held, again) = _held(prepare("storm", protocol="v4"), stands, other)
    assert held.clocks == first.clocks and again.met
    assert again.clocks.start in first.clocks and again.clocks[-1] == first.clocks.stop


def test_a_fence_that_waits_for_stores_is_begun_once():
    prepared = prepare("many", protocol="v4", assignments=TSO)
    calls = [record.clock for record in run_prepared(prepared).records if getattr(record, "event", None) is Event.IPI_MASK]
    _, (second, never) = _held(prepared, "0 at smp_mb_before_ipi#2 for 1", "0 at smp_mb_before_ipi#99 for 1")
    assert calls[0] < second.clocks.start < calls[1] and never.came == len(calls)


def _interrupts(record):
    return type(record) is CoreRecord and record.event is Event.HANDLE and record.core == 1


def _stores(record):
    return type(record) is CommitRecord and record.op is MemoryOp.WRITE and record.core == 0


def _messages(record):
    return type(record) is MessageRecord and record.source == 0


@pytest.mark.parametrize("text, what", [
    ("interrupt 1 at HANDLE_END for 900", _interrupts), ("drain 0 at QUEUE#2 for 200", _stores),
    ("message 0 at QUEUE#2 for 300", _messages),
])
def test_other_things_are_held(text, what):
    """No interrupt is taken, no store leaves, no message arrives. The core itself goes on, and in the end nothing is lost."""
    prepared = prepare("many", protocol="v4", assignments=TSO)
    this, (held,) = _held(prepared, text)
    run = run_prepared(this)
    settled = held.clocks[10:]                   # what had started has come to its end
    assert not [record for record in run.records if what(record) and record.clock in settled]
    assert [record for record in run_prepared(prepared).records if what(record) and record.clock in settled]
    assert [clock for clock, core, _ in _begins(this) if core == held.hold.at.core and clock in held.clocks] and run.result.ok


@pytest.mark.slow
def test_every_engine_holds_the_same():
    prepared = prepare("single", protocol="v4", cores=2).under(max_clocks=2000)
    texts = ("1 at FUNC_ENTRY for 60", "1 at HANDLE_END#2 until 0 at CALL")
    (this, helds), (other, again) = _held(prepared, *texts), _held(prepared, *texts, engine=PySimEngine(prepared.run.config))
    assert (this.run, helds) == (other.run, again) and all(held.met for held in helds)


# --- what is said -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text, says", [
    ("1 at FUNC_ENTRY#99 until 0 at RETURN", "core 1 comes there 4 times, so nothing was held"),
    ("0 at FUNC_ENTRY until 1 at RETURN", "core 0 comes there never, so nothing was held"),
    ("1 at FUNC_ENTRY until 0 at FUNC_ENTRY", f"it ended after {LONGEST} clocks, because core 0 had not come"),
])
def test_what_became_of_it(text, says):
    prepared = prepare("many", protocol="v4", cores=4)
    this, (held,) = _held(prepared, text)
    assert held.sentence.startswith(f'hold "{text}": ') and held.sentence.endswith(says)
    assert run_prepared(this).result.ok and this.patience == prepared.patience + len(held.clocks or ())


@pytest.mark.parametrize("text, limit", [
    ("1 at FUNC_ENTRY#2 until 0 at RETURN", 1800), ("1 at FUNC_ENTRY#2 for 900", 1800),
    ("interrupt 1 at HANDLE_END#4 for 5000", 100_000),                   # everything has come to rest
])
def test_the_run_ends_during_a_hold(text, limit):
    this, (held,) = _held(prepare("many", protocol="v4").under(max_clocks=limit), text)
    clocks = run_prepared(this, max_clocks=limit).result.clocks
    assert held.sentence == f'hold "{text}": clocks {held.clocks.start} to {clocks - 1}, where the run ended'


@pytest.mark.parametrize("text, says", [
    ("", "must be written as"), ("0 at CALL", "must be written as"), ("0 at CALL until 1", "must be written as"),
    ("0 at CALL for 0", "must be for 1 to 5000 clocks"), ("0 at CALL for 5001", "must be for 1 to 5000 clocks"),
    ("4 at CALL for 3", "there is no core 4; there are 4"), ("0 at CALL until 9 at CALL", "there is no core 9"),
    ("0 at CALL#0 for 3", "#0 is no number of times"), ("drian 0 at CALL for 3", 'cannot be held, did you mean "drain"'),
    ("0 at CAL for 3", 'v4.uasm has no place "CAL", did you mean "CALL"'), ("0 at \x00 for 3", "has no place"),
    ("0 at NOIPI until 1 at DEQUEUE_EMPTY for 3", "must be written as"),
])
def test_refused(text, says, crosscall, tmp_path):
    image = prepare("many").image
    with pytest.raises(InputError) as error:
        read_hold(text, image, 4)
    assert f'the hold "{text}"' in str(error.value) and says in str(error.value)
    code, out, err = crosscall("run", "many", "--hold", text)
    assert (code, out) == (2, "") and says in err and not list(tmp_path.iterdir())


# --- races ------------------------------------------------------------------------------------------------------------


PAGE = (Path(__file__).parents[2] / "docs" / "holds.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("line", [
    line for line in PAGE.replace("\\\n", "").splitlines() if line.startswith("crosscall run")])
def test_the_examples_of_the_page(line, crosscall):
    _, *arguments = shlex.split(line, comments=True)
    expected = line.rpartition("# ")[2].split(":")[0]
    code, out, err = crosscall(*arguments, "--no-vcd", "--json")
    violated = {item["oracle"] for item in json.loads(out)["violations"]}
    assert (code, violated) == ((0, set()) if expected == "clean" else (1, {expected}))
    if "v2.6.30" in line:
        assert re.search(r"^hold .*$", PAGE, re.MULTILINE)[0] in err


@pytest.mark.parametrize("text", re.findall(r"`([^`]+)`", "".join(
    line.split("|")[1] for line in PAGE.partition("| place | meaning |")[2].partition("\n\n")[0].splitlines()[2:])))
def test_the_places_of_the_page(text):
    read_hold(f"0 at {text} for 1", prepare("many", protocol="v4").image, 4)


#: The interrupt of core 1 brings cores 2 and 3 to the entry of core 0 as well.
EMPTY = """
title = "empty"
cores = 4
program = [{ cores = [0, 1], commands = [{ call = "many", mask = [2, 3], func = "nop", wait = true }] }]
"""


@pytest.mark.parametrize("place, violations", [("smp_mb_before_ipi", {"O12"}), ("IPI_MASK", set())])
def test_an_event_comes_after_what_it_tells_of(place, violations):
    """The word that emits IPI_MASK has the mask in a register: a core that is held there has read it."""
    this, helds = _held(prepare_text(EMPTY, protocol="v2.6.39"), f"0 at {place} until 3 at HANDLE_END",
                        "2 at HANDLE_END until 3 at HANDLE_END")
    assert all(held.met for held in helds) and run_prepared(this).violations == violations


#: Core 2 walks the queue for the call of core 3, while core 0 puts in an entry that is not for it.
PASSING = """
title = "passing"
cores = 4
program = [
    { cores = [0], commands = [{ call = "many", mask = [1, 3], func = "nop", delay = 150 }] },
    { cores = [3], commands = [{ call = "many", mask = [1, 2], func = "nop" }] },
]

[machine]
store_buffer_depth = 8

[straps]
memory_model = 2
"""


def test_a_barrier_that_is_needed_for_a_few_clocks():
    """v2.6.32 without the barrier of list_add_rcu(): the new entry is reachable before its `next` is stored, and a walker that
    passes it follows NULL. With the barrier, the stores before it leave first, whatever is held."""
    prepared = prepare_text(PASSING, protocol="v2.6.32")
    holds = ("2 at v2.6.32.uasm:66 until 0 at spin_unlock#4",           # the walker, until the entry is reachable
             "drain 0 at v2.6.32.uasm:44 until 0 at lists.uasm:22",     # both stores are in the buffer
             "reorder 0 at lists.uasm:22 for 4",                        # the younger one leaves
             "drain 0 at spin_unlock#4 for 60")                         # and the older one stays
    without, helds = _held(prepared.leaving_out(["list_add_rcu_wmb"]), *holds)
    assert run_prepared(without).violations == {"TRAP"} and all(held.met for held in helds)
    assert run_prepared(_held(prepared, *holds)[0]).result.ok


def test_by_the_command(crosscall, tmp_path):
    """What is held is told beside the report; the schedule repeats the run without it."""
    hold = "1 at FUNC_ENTRY#2 until 0 at RETURN"
    code, out, err = crosscall("run", "many", "--protocol", "v4", "--hold", hold, "--json")
    assert code == 1 and f'hold "{hold}": clocks ' in err
    run = json.loads(out)
    code, out, _ = crosscall("replay", "waves/many.schedule", "--no-vcd", "--json")
    assert code == 1 and json.loads(out)["digest"] == run["digest"]
