"""What is judged when all has come to rest, and what a scenario itself expects: data, flags, locks, lists, hotplug, messages."""

import json

import pytest

from rtl.events import Whom
from sim.engines.engine import Ending
from sim.errors import InputError
from sim.runs.prepare import prepare
from sim.runs.run import run

from .judging import found, verdict
from .protocols import Protocol, changed, engine_for, v4
from .streams import LOCK, WAIT, Stream


@pytest.fixture
def judge(tmp_path):
    """judge(text, *changes, extra=...) : the Result of a scenario's text with v4, changed and with more microcode behind it."""
    def go(text, *changes, extra="", patience=None, visits=None, **options):
        protocol = Protocol(tmp_path, changed(*changes) + extra)
        path = tmp_path / "scenario.toml"
        path.write_text(text)
        prepared = prepare(path, protocol=str(protocol.path), patience=patience, visits=visits)
        return run(prepared.under(**options), engine=engine_for(prepared.settings.config))

    return go


def oracle(result, name):
    """(verdict, how often, what it lacks) of an oracle."""
    data = next(item for item in result.oracles if item["name"] == name)
    return data["verdict"], data["exercised"], data["lacks"]


def said(result, name):
    return [item.sentence for item in result.violations if item.oracle == name]


def program(*commands, core=0, cores=3, **tables):
    """A scenario in which one core does something. tables : name -> lines."""
    heads = "".join(f"[{name}]\n{lines}\n" for name, lines in tables.items())
    lines = ", ".join(f"{{ {item} }}" for item in commands)
    return f"cores = {cores}\n{heads}[[program]]\ncores = [{core}]\ncommands = [{lines}]\n"


ALL = 'call = "all", func = "count", wait = true'

# --- DATA -------------------------------------------------------------------------------------------------------------


def test_data_is_what_the_calls_owe(judge):
    result = judge(program(ALL, 'call = "many", mask = [1, 2], func = "touch", repeat = 3, wait = true',
                           'call = "many", mask = [1, 2], func = "clear_bit", wait = true'))
    assert result.ok, result.violations
    assert oracle(result, "DATA") == ("holds", 10, [])


@pytest.mark.parametrize("func, what, there, wanted", [("count", "counter", 4, 2), ("touch", "data of a command of core 0", 4, 2)])
def test_data_that_is_not(judge, func, what, there, wanted):
    """Nobody else would see it: each target has run the function once, and said so."""
    result = judge(program(f'call = "all", func = "{func}", wait = true'), ("func_touch_add", "mov   t0, 1", "mov t0, 2"))
    [sentence] = said(result, "DATA")
    assert sentence.startswith(f"at the end {what} (at 0x") and sentence.endswith(f"is {there:#x}, but should be {wanted:#x}")
    assert {item.oracle for item in result.violations} == {"DATA"}


@pytest.mark.parametrize("field", ["func", "target", "mask", "wait", "contract", "data"])
def test_data_of_the_scenario_that_the_protocol_writes(judge, field):
    """Nobody but functions writes into a command: what is asked for is what the scenario says."""
    result = judge(program('call = "many", mask = [1, 2], func = "nop", wait = true'),
                   ("smp_call_function_many", "; M12", f"stc [r2 + command.{field}], 8\n{{}}"),
                   ("smp_call_function_many", "call  send_call_func_ipi", "push r2\n{}\n pop r2"))
    [sentence] = said(result, "DATA")
    assert sentence.startswith(f"at the end {field} of a command of core 0 (at 0x")


def test_data_without_a_function_is_not_exercised(judge):
    assert oracle(judge(program('call = "nothing"')), "DATA") == ("not exercised", 0, [])


MINE = "\n.entry cmd_mine\n    jmp cmd_all\n"


def test_data_of_calls_that_nobody_knows_is_not_judged(judge):
    result = judge(program('call = "mine", func = "count"'), extra=MINE)
    assert result.ok, result.violations
    assert oracle(result, "DATA") == ("not judged", 0, ["calls whose contract is known"])
    assert oracle(result, "O2")[0] == "not exercised"


@pytest.mark.parametrize("extra, ok", [(MINE, True), ("\n.entry cmd_mine\n    jmp return_0\n", False)])
def test_a_call_of_ones_own_is_judged_like_the_one_that_it_is_like(judge, extra, ok):
    result = judge(program('call = "mine", func = "count", wait = true', calls='mine = "all"'), extra=extra)
    assert result.ok == ok
    assert ("O1" in {item.oracle for item in result.violations}) != ok
    assert oracle(result, "DATA") == ("holds" if ok else "violated", 2 if ok else 0, [])


# --- REST -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def stream():
    return Stream()


def rest(stream):
    return [sentence.removeprefix("REST: ") for sentence in found(stream, Ending.QUIET, only="REST")]


def test_rest_is_exercised_by_each_thing_that_can_be_out_of_place(stream):
    """4 cores with a csd in csd_data and in cfd_data, and a count there; then a list and a stack."""
    assert verdict(stream, "REST") == ("holds", 12, [])
    head, pointer = stream.address("call_function.queue.next"), stream.address("stack_pointer[1]")
    stream.store(1, pointer, stream.address("stack[1][0]"))
    stream.store(0, head, head)
    stream.store(0, head + 1, head)
    stream.ask(0, Whom.NOBODY)
    assert verdict(stream, "REST") == ("holds", 14, [])
    assert verdict(stream, "REST", Ending.LIMIT) == ("not judged", 0, ["a run that comes to rest"])


@pytest.mark.parametrize("flags, what", [(LOCK, "locked"), (WAIT, "waited for"), (LOCK | WAIT, "locked and waited for")])
def test_rest_a_flag(stream, flags, what):
    stream.store(0, stream.address("csd_data[2].flags"), flags)
    assert rest(stream) == [f"csd_data[2] is still {what} at the end of the run"]


def test_rest_a_lock(stream):
    clock = stream.lock(2, "call_function.lock")
    assert rest(stream) == [f"call_function.lock is held at the end, by core 2 since clock {clock}"]
    clock = stream.say(2, "LOCKED", stream.address("call_function.lock"))
    assert rest(stream) == [f"call_function.lock is held at the end, by core 2 since clock {clock}"]
    stream.unlock(2, "call_function.lock")
    assert rest(stream) == []


@pytest.mark.parametrize("word", [0, 1])
@pytest.mark.parametrize("before", [True, False])
def test_rest_a_list(stream, word, before):
    """That was empty when the first call began; one that was not may be a list of something else."""
    head = stream.address("call_function.queue.next")
    if before:
        stream.store(0, head, head)
        stream.store(0, head + 1, head)
    stream.ask(0, Whom.NOBODY)
    stream.store(0, head + word, 69)
    assert rest(stream) == (["call_function.queue is not empty at the end"] if before else [])


@pytest.mark.parametrize("refs, mask, what", [(1, 0, "refs 1, and in its mask nobody"), (0, 6, "refs 0, and in its mask 1, 2")])
def test_rest_a_count_and_a_mask(stream, refs, mask, what):
    cfd = stream.address("cfd_data[1]")
    stream.say(1, "REFS", cfd, refs, store=(cfd + 6, refs))
    stream.store(0, stream.address("cfd_mask[1]"), mask)
    assert rest(stream) == [f"at the end cfd_data[1].csd has {what}"]


def test_rest_a_mask_that_was_just_allocated_is_not_zeroed(stream):
    """Nor is one that was given back: what is in it says nothing, until a call counts."""
    cfd, mask = stream.address("cfd_data[1]"), stream.address("cfd_mask[1]")
    stream.store(0, mask, 0x55)
    assert rest(stream) == []
    stream.say(1, "REFS", cfd, 0, store=(cfd + 6, 0))
    assert rest(stream) == ["at the end cfd_data[1].csd has refs 0, and in its mask 0, 2, 4, 6"]
    stream.say(0, "NOTIFY", 2, 3)
    assert rest(stream) != []
    stream.say(0, "NOTIFY", 1, 7)
    assert rest(stream) == []


def test_rest_a_stack(stream):
    pointer, bottom = stream.address("stack_pointer[1]"), stream.address("stack[1][0]")
    for end in (bottom, bottom + 5):
        stream.store(1, pointer, end)
    assert rest(stream) == [f"the stack of core 1 ends at {bottom + 5:#x}, but at {bottom:#x} at the start"]
    stream.store(1, pointer, bottom)
    assert rest(stream) == []


def test_rest_a_csd_of_the_scenario(judge):
    result = judge(program('call = "csd", target = 1'), ("call_own", "csd.flags", "mov r3, CSD_FLAG_LOCK\n{}"),
                   ("generic_smp_call_function_single_interrupt", "call  csd_unlock", ""))
    assert said(result, "REST") == ["the csd of a command of core 0 is still locked at the end of the run"]


# --- HOTPLUG ----------------------------------------------------------------------------------------------------------

COME_AND_GO = program('call = "cpu_down", target = 2', 'call = "cpu_up", target = 2, frozen = true', 'call = "cpu_up", target = 2',
                      'call = "cpu_down", target = 1', 'call = "cpu_up_canceled", target = 1', 'call = "cpu_up", target = 1',
                      'call = "cpu_down", target = 0')


def test_hotplug_as_asked(judge):
    result = judge(COME_AND_GO)
    assert result.ok, result.violations
    assert oracle(result, "HOTPLUG") == ("holds", 7, [])


@pytest.mark.parametrize("calls", [("cpu_down", "cpu_down"), ("cpu_down", "cpu_up"), ("cpu_up", "cpu_up_canceled")])
def test_hotplug_of_one_core_by_two_is_not_taken_apart(judge, calls):
    text = "cores = 3\n[boot]\nonline = [0, 1{}]\n".format(", 2" if "cpu_down" in calls else "")
    for core, call in enumerate(calls):
        text += f'[[program]]\ncores = [{core}]\ncommands = [{{ call = "{call}", target = 2 }}]\n'
    result = judge(text)
    assert result.ok, result.violations
    assert oracle(result, "HOTPLUG") == ("holds", 2, [])


def test_hotplug_that_nobody_asks_for(judge):
    assert oracle(judge(program(ALL)), "HOTPLUG") == ("not exercised", 0, [])


#: CPU_UP_CANCELED for the notifier that failed.
CANCELS = "beq t0, NOTIFY_OK, .fine\n call notify, r1, [CPU_UP_CANCELED]\n jmp cpu_hotplug_done\n.fine:"
FAILS = program('call = "cpu_down", target = 2', 'call = "cpu_up", target = 2', boot="allocations_fail = [4]")


@pytest.mark.parametrize("text, change, sentence", [
    (COME_AND_GO, ("cpu_hotplug_notify", "call  notify", ""), "offline, which came or went 1 time; notified: nothing"),
    (COME_AND_GO, ("notify", "or    r1, r1, t0", ""), "online, which came or went 1 time; notified: 0x3 for core 2 (answer 0x1)"),
    (COME_AND_GO, ("cpu_up", "call  notify", "mov t0, NOTIFY_OK"), "online, which came or went 1 time; notified: nothing"),
    (COME_AND_GO, ("cpu_up", "bne   r3, 0", ""), "online, which came or went 1 time; notified: 0x3 for core 1 (answer 0x1)"),
    (FAILS, ("cpu_up", "bne   t0, NOTIFY_OK", ""), "online, which came or went 1 time; notified: 0x3 for core 2 (answer 0x8002)"),
    (FAILS, ("cpu_up", "bne   t0, NOTIFY_OK", CANCELS),
     "offline, which came or went no times; notified: 0x3 for core 2 (answer 0x8002), 0x4 for core 2 (answer 0x1)"),
])
def test_hotplug_that_goes_wrong(judge, text, change, sentence):
    result = judge(text, change)
    assert any(item.endswith(f"with the core {sentence}") for item in said(result, "HOTPLUG")), result.violations


@pytest.mark.parametrize("failing, change, sentence", [
    ("[4]", ("hotplug_cfd", "mov   t0, NOTIFY_BAD", "mov t0, NOTIFY_OK"), "allocation 4 fails, but the notifier answered 0x1"),
    ("[]", ("hotplug_cfd", "bne   t0, 0, .ok", ""), "allocation 1 succeeds, but the notifier answered 0x8002")])
def test_the_notifier_answers_as_the_allocation_comes_out(judge, failing, change, sentence):
    result = judge(FAILS.replace("[4]", failing), change)
    assert any(item.startswith(sentence) for item in said(result, "HOTPLUG"))


def test_hotplug_that_says_nothing_is_not_judged(tmp_path):
    protocol = Protocol(tmp_path, v4().replace(" @NOTIFY_RESULT(t0)", ""))
    result = protocol.run("hotplug")
    assert result.ok, result.violations
    assert oracle(result, "HOTPLUG") == ("not judged", 0, ["the event NOTIFY_RESULT"])


# --- EXPECT -----------------------------------------------------------------------------------------------------------

REFUSED = 'call = "single", target = 9, func = "nop", wait = true'


def expect(**tables):
    return {f"expect.{name}": lines for name, lines in tables.items()}


def test_what_a_scenario_expects_and_gets(judge):
    result = judge(program(REFUSED, ALL, **expect(results='"0.0" = -6\n"0.1" = 0', data="counter = 2", messages="refused = 0")))
    assert result.ok, result.violations
    assert oracle(result, "EXPECT") == ("holds", 4, [])


@pytest.mark.parametrize("tables, sentence", [
    ({"results": '"0.0" = 0'}, "call 0.0 smp_call_function_single from core 0 returned -6, but should return 0"),
    ({"results": '"1.0" = 0'}, "call 1.0 should return 0, but was never made"),
    ({"data": "counter = 3"}, "at the end counter is 0x2, but should be 0x3"),
    ({"messages": "merged = 5"}, "messages: 0 merged, but there should be 5")])
def test_what_a_scenario_expects_and_does_not_get(judge, tables, sentence):
    result = judge(program(REFUSED, ALL, **expect(**tables)))
    assert said(result, "EXPECT") == [sentence]
    assert not result.ok and not result.as_expected


def test_a_scenario_that_expects_nothing(judge):
    assert oracle(judge(program(ALL)), "EXPECT") == ("not exercised", 0, [])


def test_what_is_expected_of_a_run_that_is_cut_off(judge):
    """What has come back is judged, and what has not."""
    tables = expect(results='"0.0" = 0\n"0.1" = 0', data="counter = 9")
    result = judge(program(REFUSED, ALL + ", at = 3000", **tables), max_clocks=2500)
    assert said(result, "EXPECT") == ["call 0.0 smp_call_function_single from core 0 returned -6, but should return 0",
                                      "call 0.1 should return 0, but was never made"]
    assert oracle(result, "EXPECT")[2] == ["a run that comes to rest"]


@pytest.mark.parametrize("tables, message", [
    ({"data": "no_such = 1"}, 'expect.data.no_such is not a word that protocol.uasm declares'),
    ({"messages": "lost = 1"}, "expect.messages.lost is not one of sent, delivered, merged, refused, nobody, unaccepted"),
    ({"results": '"x" = 1'}, 'expect.results.x is not one of calls, such as "0.2"')])
def test_what_cannot_be_expected(judge, tables, message):
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        judge(program(ALL, **expect(**tables)))


# --- messages ---------------------------------------------------------------------------------------------------------

MESSAGES = """
.entry cmd_nobody
    jmp   send_IPI_cpu, t1, [RESCHEDULE_VECTOR]
.entry cmd_refused
    mov   t0, 0x100
    apicwrh t0
    apicwr t0, APIC_ICR2
    mov   t1, RESCHEDULE_VECTOR
    apicwr t1, APIC_ICR
    apicwr t1, APIC_ICR
    ret
.entry cmd_reschedule
    jmp   send_IPI_cpu, t1, [RESCHEDULE_VECTOR]
"""


def more(result, plain):
    return {name: count - plain.messages[name] for name, count in result.messages.items() if count != plain.messages[name]}


@pytest.mark.parametrize("commands, counted", [
    (['call = "reschedule", target = 1'], {"sent": 1, "delivered": 1}),
    (['call = "refused"'], {"sent": 1, "delivered": 1, "refused": 1})])
def test_what_became_of_messages(judge, commands, counted):
    plain = judge(program('call = "nothing"'))
    assert plain.ok and plain.messages["sent"] == plain.messages["delivered"] > 0
    assert more(judge(program(*commands), extra=MESSAGES), plain) == counted


def test_a_message_to_nobody(judge):
    """It is counted, demanded, and O12 names it."""
    text = program('call = "nobody", target = 1', expect="messages = { nobody = 0 }")
    plain = judge(text, extra=MESSAGES)
    assert plain.ok
    astray = "bne t1, RESCHEDULE_VECTOR, .there\n mov t0, 99\n.there:\n{}"
    result = judge(text, ("apic_send", "shl   t0, t0, 8", astray), extra=MESSAGES)
    assert more(result, plain) == {"delivered": -1, "nobody": 1}
    assert said(result, "EXPECT") == ["messages: 1 nobody, but there should be 0"]
    assert "which is not a core" in said(result, "O12")[0]


def test_messages_that_are_merged(judge):
    """The target has interrupts off while both arrive."""
    text = """
cores = 2
[functions]
work = 600
[[program]]
cores = [1]
commands = [{ call = "hold_call_lock", func = "work" }]
[[program]]
cores = [0]
commands = [{ call = "%s", target = 1, at = 100, repeat = 2 }]
"""
    assert more(judge(text % "reschedule", extra=MESSAGES), judge(text % "nothing")) == {"sent": 2, "delivered": 2, "merged": 1}


# --- limits -----------------------------------------------------------------------------------------------------------

FUNCTIONS = """
.entry func_long                            ; works
    nop   @RUN(r0)
    mov   t0, 20000
.work:
    loop  t0, t0, .work
    ret   @RAN
.entry func_spins                           ; reads what does not change
    nop   @RUN(r0)
    mov   t0, 4000
.spin:
    ld    t1, [counter]
    loop  t0, t0, .spin
    ret   @RAN
"""


def one(func, **tables):
    return program(f'call = "single", target = 1, func = "{func}", wait = true', **tables)


def test_a_function_that_works_long_is_not_stuck(judge):
    result = judge(one("long"), extra=FUNCTIONS)
    assert result.ok, result.violations
    assert result.clocks > 20_000


def test_a_function_that_spins_is(judge):
    result = judge(one("spins"), extra=FUNCTIONS)
    assert {item.oracle for item in result.violations} == {"WATCHDOG"}
    assert "core 1 reached entry" in said(result, "WATCHDOG")[0]


@pytest.mark.parametrize("tables, options, ok", [
    ({"limits": "patience = 30000"}, {}, True), ({"limits": "patience = 30000"}, {"patience": 500}, False),
    ({"limits": "patience = 500"}, {}, False), ({}, {"patience": 30000}, True)])
def test_patience_is_the_scenarios_or_what_is_asked_for(judge, tables, options, ok):
    assert judge(one("spins", **tables), extra=FUNCTIONS, **options).ok == ok


@pytest.mark.parametrize("tables, options, bound", [
    ({}, {}, None), ({"limits": "visits = 1"}, {}, 1), ({"limits": "visits = 1"}, {"visits": 9}, None)])
def test_the_bound_of_a_walk(judge, tables, options, bound):
    """Core 2 is held up until both entries are in the queue."""
    heads = "".join(f"[{name}]\n{lines}\n" for name, lines in tables.items())
    result = judge(f"""
cores = 4
{heads}
[functions]
work = [5, 5, 600, 5]
[[program]]
cores = [2]
commands = [{{ call = "hold_call_lock", func = "nop" }}, {{ call = "single", target = "self", func = "work" }}]
[[program]]
cores = [0, 1]
commands = [{{ call = "many", mask = [2, 3], func = "work", at = 200 }}]
""", **options)
    assert result.facts["most_visits"] == 2
    assert all(sentence.endswith("; at most 1 are expected") for sentence in said(result, "O10"))
    assert bool(said(result, "O10")) == (bound == 1)


@pytest.mark.parametrize("line", ["patience = 0", "visits = -1", 'visits = "many"', "pause = 3"])
def test_limits_that_are_none(judge, line):
    with pytest.raises(InputError, match="limits"):
        judge(one("nop", limits=line))


# --- a run that is violated and cut off -------------------------------------------------------------------------------


def test_a_run_that_is_violated_and_cut_off_says_both(crosscall):
    clocks = json.loads(crosscall("run", "early-return", "--json", "--no-vcd")[1])["violations"][0]["clock"]
    limit = str(clocks + 20)
    code, text, _ = crosscall("run", "early-return", "--no-vcd", "--max-clocks", limit)
    assert code == 1
    assert f"violated: O1; the run was cut off after {limit} clocks (--max-clocks)" in text
    code, text, _ = crosscall("run", "early-return", "--no-vcd", "--max-clocks", limit, "--json")
    report = json.loads(text)
    assert (code, report["ending"], report["ok"], report["as_expected"]) == (1, "limit", False, False)
    assert [item["oracle"] for item in report["violations"]] == ["O1"]
    # O3 and others would need the end.
    silent = {item["name"] for item in report["oracles"] if item["verdict"] == "not judged"}
    assert silent == {"O3", "O9", "DATA", "REST"}


def test_a_run_that_is_cut_off_early_shows_what_was_asked(crosscall):
    """A call that waits is none that does not, before its caller has come to wait."""
    called = json.loads(crosscall("run", "early-return", "--json", "--no-vcd")[1])["calls"][0]["stages"]["call"]
    code, text, _ = crosscall("run", "early-return", "--no-vcd", "--max-clocks", str(called + 20), "--json")
    report = json.loads(text)
    assert code == 1 and report["ending"] == "limit"
    [call] = report["calls"]
    assert call["wait"] and call["latency"] is None and call["stages"]["wait"] is None
    assert "cut off" in crosscall("run", "early-return", "--no-vcd", "--max-clocks", str(called + 20))[1]
