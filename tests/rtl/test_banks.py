"""The arena under a whole Machine: banks work at the same time, cores get their turn, and latency is what it is said to be."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from rtl.events import Event
from rtl.memory.port import MemoryModel, MemoryOp
from sim.engines.engine import Ending

from .machine_runner import NO_WAITING, runner

N = 4
#: Core 0 starts the others. Then each core, with its number in r0, does BODY over and over: ROUNDS times.
EVERYBODY = """
    .const ROUNDS = 20
    .org 0
        cpuid r0
        bne r0, 0, body
        mov r2, 1
    start:
        shl r1, r2, 8
        apicwrh r1
        apicwr r0, APIC_ICR2
        mov r1, MODE_STARTUP << 8
        apicwr r1, APIC_ICR
    sent:
        apicrd r1, APIC_ICR
        bts r1, 1 << 12, sent
        add r2, r2, 1
        blt r2, NR_CPUS, start
    body:
        mov r7, ROUNDS
        add r3, r0, 32
    again:
        {}
        loop r7, r7, again
        halt
"""


def together(assembled, body, straps=NO_WAITING, *, n_banks, schedule=None):
    """A run of all cores."""
    contents, _ = assembled(EVERYBODY.format(body), n_cores=N)
    run = runner(N, n_banks=n_banks).run(contents, straps, schedule=schedule, max_clocks=8000)
    assert run.ending is Ending.QUIET
    return run


def busiest(run):
    """How many operations became visible at most in one clock, and the clocks between the first and the last of all."""
    per_clock = Counter(commit.clock for commit in run.commits)
    return max(per_clock.values()), max(per_clock) - min(per_clock)


@pytest.mark.parametrize("n_banks", [1, pytest.param(2, marks=pytest.mark.slow), 4])
@pytest.mark.parametrize("word", ["ld r4, [r3]", "st [r3], r4"])
def test_banks_work_in_the_same_clock(word, n_banks, assembled):
    """Each core has a word of its own, in a bank of its own if there are as many: as many operations in a clock as banks. All
    are stalled now and then, and go on in the same clock; single stalls between see to it that they do so with any words."""
    run = together(assembled, "\n".join([word] * 4), n_banks=n_banks,
                   schedule=lambda clock: {"stall": 0b1111 if clock % 41 < 15 else random.Random(clock).getrandbits(4)})
    most, _ = busiest(run)
    assert most == n_banks
    for commit in run.commits:
        assert commit.bank == commit.address % n_banks


def test_more_banks_are_quicker(assembled):
    """Four cores that do nothing but load, back to back, each from its word: one bank has twice as much to do as it can."""
    clocks = [busiest(together(assembled, "\n".join(["ld r4, [r3]"] * 8), n_banks=n_banks))[1] for n_banks in (1, 4)]
    assert clocks[1] < 0.85 * clocks[0]


@pytest.mark.parametrize("word", ["ld r4, [40]", "fadd r4, [40], r0"])
def test_cores_get_their_turn(word, assembled):
    """All want the same word all the time: while all are at work, no core is done twice before another that has waited."""
    run = together(assembled, "\n".join([word] * 4), n_banks=2)
    mine = [commit for commit in run.commits if commit.address == 40]
    ends = min(max(commit.clock for commit in mine if commit.core == core) for core in range(N))
    begins = max(min(commit.clock for commit in mine if commit.core == core) for core in range(N))
    middle = [commit.core for commit in mine if begins <= commit.clock <= ends]
    assert len(middle) > 100
    for core in range(N):
        places = [place for place, other in enumerate(middle) if other == core]
        # A core that has just left its loop word counts as one that does not ask for the moment.
        assert max(later - earlier for earlier, later in zip(places, places[1:], strict=False)) <= N


@pytest.mark.parametrize("memory_model", MemoryModel, ids=lambda model: model.name.lower())
@pytest.mark.parametrize("latency", [0, 1, 7])
def test_arena_latency(latency, memory_model, assembled):
    """Every operation of a core that waits for it takes so many clocks more; a store that is posted none."""
    contents, _ = assembled(
        "nop @COMMAND\nld r1, [40]\nnop @QUEUE\nfadd r1, [40], r0\nnop @TARGET\nstc [40], 1\nnop @TARGETS\nhalt")
    run = runner().run(contents, replace(NO_WAITING, arena_latency=latency, memory_model=memory_model.value))
    clocks = [run.said(event)[0].clock for event in (Event.COMMAND, Event.QUEUE, Event.TARGET, Event.TARGETS)]
    waits = 3 + latency
    store = waits if memory_model is MemoryModel.SC else 1
    assert [later - earlier - 1 for earlier, later in zip(clocks, clocks[1:], strict=False)] == [waits, waits, store]
    stored, = (commit.clock for commit in run.commits if commit.op is MemoryOp.WRITE)
    # Posted in the clock before the event's; chosen, on its way, at the bank, done.
    assert stored == clocks[3] - 1 + (0 if memory_model is MemoryModel.SC else 3 + latency)
