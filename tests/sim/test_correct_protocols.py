"""Correct protocols that are written another way than v4: nobody accuses them, and what is not judged says so."""

import re

import pytest

from rtl.events import Event
from sim.engines.engine import Ending
from sim.scenarios.reader import find_scenario, read_scenario

from .protocols import OWN, SCENARIOS, Protocol, changed, judged, v4

#: What is known of a call whatever the protocol says: all of it from the command loop and the functions.
CONTRACT = {"O1", "O2", "O3", "O8", "O9", "WHERE", "RESULT", "HOTPLUG", "DATA", "REST", "WARN", "TRAP", "EXPECT", "WATCHDOG"}
NESTED = {name for name in SCENARIOS for program in read_scenario(find_scenario(name), seed=0).programs
          for command in program if command.func == "nested"}
#: Scenarios with a function that these do not include.
MORE = {name for name in SCENARIOS
        if read_scenario(find_scenario(name), seed=0).defines.keys() & {"RENDEZVOUS", "GUARDED", "SCFTORTURE"}}


def scenarios(without=(), slow=()):
    """The names of those for v4."""
    return [pytest.param(name, marks=pytest.mark.slow if name in slow else ())
            for name in SCENARIOS if name not in without]


def show(result):
    return [f"{item.oracle}: {item.sentence}" for item in result.violations]


def own(name, folder, define=""):
    """A protocol of ours. define : a line in front of it."""
    return Protocol(folder, f"{define}\n{(OWN / f'{name}.uasm').read_text()}")


@pytest.fixture(scope="module")
def llist(tmp_path_factory):
    return own("llist", tmp_path_factory.mktemp("llist"))


@pytest.fixture(scope="module", params=[0, 1], ids=["one word", "two words"])
def ticket(request, tmp_path_factory):
    return own("ticket", tmp_path_factory.mktemp("ticket"), f".const TWO_WORDS = {request.param}")


@pytest.mark.parametrize("name", scenarios(MORE))
def test_lists_without_locks(llist, name):
    result = llist.run(name)
    violated, silent = judged(result)
    assert not violated, show(result)
    assert silent == {"O5", "O10"}


@pytest.mark.parametrize("name", scenarios(NESTED | MORE))
def test_one_request_behind_a_ticket_lock(ticket, name):
    result = ticket.run(name)
    violated, silent = judged(result)
    assert not violated, show(result)
    assert not silent & (CONTRACT | {"LOCK"})
    lock = next(oracle for oracle in result.oracles if oracle["name"] == "LOCK")
    assert lock["verdict"] == "holds"


def test_nested_is_what_one_request_cannot(ticket):
    """And it is told: a scenario that asks for it is red."""
    assert "WATCHDOG" in judged(ticket.run("nested"))[0]


# --- v4 in other words ------------------------------------------------------------------------------------------------

#: What the command loop, hotplug and the functions say. All else is the protocol's own, and may be left out.
COMMON = ("COMMAND", "COMMAND_DONE", "PROGRAM_DONE", "ONLINE", "OFFLINE", "NOTIFY", "NOTIFY_RESULT", "REQUEST", "ISSUE", "RESULT",
          "RUN", "RAN")
#: Whole words of v4's text -> other ones.
NAMES = {"csd": "job", "cfd": "crowd", "flags": "marks", "func": "what", "info": "whereto", "refs": "to_come", "lock": "guard",
         "list": "place", "queue": "line", "stack": "frames", "stack_pointer": "frames_end", "CSD_FLAG_WAIT": "WAITED_FOR",
         "CSD_FLAG_LOCK": "IN_USE"}

ONE_WORD = """
    push  r0
    mov   t0, 0x100
    fadd  t0, [t1], t0
    and   t0, t0, 0xff00
.spin:
    ld    r0, [t1]
    shl   r0, r0, 8
    and   r0, r0, 0xff00
    beq   r0, t0, .locked
    pause .spin
.locked:
    pop   r0
    ret   @LOCKED(t1)

spin_unlock:
    fence WRITE !spin_unlock_wmb
    ld    t0, [t1]
    and   t0, t0, 0xff
    bne   t0, 0xff, .plain
    mov   t0, 1
    sub   t0, t0, 0x100
    jmp   .add
.plain:
    mov   t0, 1
.add:
    fadd  t0, [t1], t0 @UNLOCK
    ret
"""
TWO_WORDS = """
    push  r0
    mov   t0, 1
    fadd  t0, [t1], t0
.spin:
    ld    r0, [t1 + 1]
    beq   r0, t0, .locked
    pause .spin
.locked:
    add   r0, t1, 1
    nop   @LOCKED(r0)
    pop   r0
    ret

spin_unlock:
    fence WRITE !spin_unlock_wmb
    ld    t0, [t1 + 1]
    add   t0, t0, 1
    st    [t1 + 1], t0 @UNLOCK
    ret
"""


def with_locks(body, text):
    """v4 with another spin_lock() and spin_unlock(). The mutex of hotplug stays what it is."""
    text = re.sub(r"(?<=\nspin_lock:).*?(?=\n; -----)", lambda found: body, text, count=1, flags=re.DOTALL)
    return changed(("cpu_hotplug_done", "jmp   spin_unlock", "stc [cpu_add_remove_lock], 0 @UNLOCK\n ret"), text=text)


def two_words():
    text = re.sub(r"^    lock$", "    lock\n    lock_owner", v4(), flags=re.MULTILINE)
    return with_locks(TWO_WORDS, text.replace("[call_function.queue, call_function.queue, 0]",
                                              "[call_function.queue, call_function.queue, 0, 0]"))


def silent():
    said = "|".join(event.name for event in Event if event.name not in COMMON)
    return re.sub(rf" @({said})\b(\([^)]*\))?", "", v4())


def renamed():
    """What a command's fields are called, scenarios know, and roles are; the rest is called otherwise."""
    head, start, rest = v4().partition(".struct command")
    fields, end, rest = rest.partition(".end")
    words = re.compile(rf"\b(?<!command\.)({'|'.join(NAMES)})\b")

    def other(text):
        parts = re.split(r"^(\.role +\S+)", text, flags=re.MULTILINE)
        return "".join(part if part.startswith(".role") else words.sub(lambda found: NAMES[found[0]], part) for part in parts)

    return other(head) + start + fields + end + other(rest)


#: name -> (its text, oracles that cannot judge it, what of v4's weaknesses only its own events tell).
AS_WELL = {
    "a ticket lock in one word": (lambda: with_locks(ONE_WORD, v4()), set(), set()),
    "a ticket lock in two words": (two_words, set(), set()),
    "other names": (renamed, set(), set()),
    "waits that wait for nothing": (lambda: changed(("generic_exec_single", "if (wait) csd_wait", "jmp csd_wait"),
                                                    ("smp_call_function_many", "M12 if (wait)", "")), set(), set()),
    "no event of its own": (silent, {"O4", "O5", "O6", "O7", "O10", "O11", "SENT", "LOCK", "LOCKORDER"}, {"O10", "O12"}),
}


@pytest.fixture(scope="module", params=AS_WELL)
def as_well(request, tmp_path_factory):
    text, unjudged, untold = AS_WELL[request.param]
    return Protocol(tmp_path_factory.mktemp("v4"), text()), unjudged, untold


# The functions of memory-order write what DATA does not know.
@pytest.mark.parametrize("name", scenarios(without={"memory-order"}, slow={"starved"}))
def test_v4_in_other_words_is_v4(as_well, name):
    """With its weaknesses, where they can be seen."""
    protocol, unjudged, untold = as_well
    result = protocol.run(name)
    violated, silent = judged(result)
    assert violated == set(result.prepared.expected) - untold, show(result)
    if result.ending is Ending.QUIET:
        assert silent == unjudged
