"""What boards are made of, by itself."""

import random

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from rtl.boards.arena_copy import ArenaCopy
from rtl.boards.board import Board
from rtl.boards.rounds import Rounds
from rtl.boards.runner import Runner
from rtl.boards.uart import UartReceiver, UartTransmitter
from rtl.boards.wire import Identity, Operation, vocabulary, word_octets
from rtl.check.room import Room
from rtl.config import PRESETS, MachineConfig
from rtl.monitor import Monitor


class Loop(wiring.Component):
    """A transmitter and a receiver, each with its own clocks per bit."""

    octet: In(8)
    valid: In(1)
    ready: Out(1)
    tx: Out(1)
    rx: In(1, init=1)
    got: Out(1)
    came: Out(8)

    def __init__(self, there, here):
        super().__init__()
        self._transmitter, self._receiver = UartTransmitter(there), UartReceiver(here)

    def elaborate(self, platform):
        m = Module()
        m.submodules.transmitter, m.submodules.receiver = transmitter, receiver = self._transmitter, self._receiver
        m.d.comb += [
            transmitter.octet.eq(self.octet), transmitter.valid.eq(self.valid), self.ready.eq(transmitter.ready),
            self.tx.eq(transmitter.tx), receiver.rx.eq(self.rx), self.got.eq(receiver.valid), self.came.eq(receiver.octet),
        ]
        return m


def exchanged(there, here, octets, spoil=lambda clock, tx: tx):
    """What arrives of these octets."""
    loop, came = Loop(there, here), []

    async def send(ctx):
        for octet in octets:
            ctx.set(loop.octet, octet)
            ctx.set(loop.valid, 1)
            await ctx.tick().until(loop.ready)
        ctx.set(loop.valid, 0)
        await ctx.tick().repeat(12 * there)

    async def wire(ctx):
        clock = 0
        async for _, _, tx, got, octet in ctx.tick().sample(loop.tx, loop.got, loop.came):
            ctx.set(loop.rx, spoil(clock, tx))
            clock += 1
            if got:
                came.append(octet)

    simulator = Simulator(loop)
    simulator.add_clock(1e-6)
    simulator.add_testbench(send)
    simulator.add_testbench(wire, background=True)
    simulator.run()
    return came


@pytest.mark.parametrize(("there", "here"), [(2, 2), (3, 3), (4, 4), (100, 104), (104, 100), (5, 5)])
def test_octets_arrive_back_to_back(there, here):
    """Also with clocks that differ by 4 %, as cheap oscillators do."""
    octets = [0x00, 0xFF, 0xA5, 0x5A, 0x01, 0x80]
    assert exchanged(there, here, octets) == octets


def test_a_glitch_is_no_start_and_a_missing_stop_bit_no_octet():
    octets = [0x55, 0x0F]
    # The line idles for a while first, and falls for 3 of 20 clocks in that time.
    assert exchanged(20, 20, octets, lambda clock, tx: 0 if clock in range(300, 303) else tx)[:1] == [0x55]
    # The start bit is in clocks 1 to 20, the stop bit in 181 to 200.
    assert exchanged(20, 20, [0x55], lambda clock, tx: 0 if clock in range(178, 203) else tx) == []


@pytest.mark.parametrize("kind", [UartReceiver, UartTransmitter])
@pytest.mark.parametrize(("divisor", "error", "sentence"), [
    (1, ValueError, "divisor must be at least 2, not 1"),
    (2.5, TypeError, "divisor must be an integer, not 2.5"),
])
def test_what_is_no_divisor(kind, divisor, error, sentence):
    with pytest.raises(error) as refused:
        kind(divisor)
    assert str(refused.value) == sentence


class Ran:
    """A Runner, clock by clock: what goes in, and what was seen."""

    def __init__(self, *, begin=False):
        self.runner = Runner(begin=begin)

    def __call__(self, clocks, inputs):
        """(reset, run, enable) of each clock, the summary at the end. inputs : clock -> {port: value}; held for one clock."""
        runner, seen = self.runner, []

        async def bench(ctx):
            for clock in range(clocks):
                for name in ("go", "hold", "quiet", "trapped", "last"):
                    ctx.set(getattr(runner, name), inputs.get(clock, {}).get(name, 0))
                seen.append((ctx.get(runner.reset), ctx.get(runner.run), ctx.get(runner.enable)))
                await ctx.tick()
            self.summary = {name: ctx.get(runner.summary[name]) for name in ("begun", "running", "quiet", "trapped", "clock")}

        simulator = Simulator(runner)
        simulator.add_clock(1e-6)
        simulator.add_testbench(bench)
        simulator.run()
        return seen


IDLE, RESET, SETTLE, CLOCK, STOPPED = (0, 0, 1), (1, 0, 0), (0, 0, 1), (0, 1, 1), (0, 1, 0)


def test_a_run_of_so_many_clocks_that_goes_on():
    ran = Ran()
    seen = ran(12, {1: {"go": 1, "last": 2}, 9: {"go": 1, "last": 3}})
    assert seen == [IDLE, IDLE, RESET, SETTLE, CLOCK, CLOCK, CLOCK, STOPPED, STOPPED, STOPPED, CLOCK, STOPPED]
    assert ran.summary == {"begun": 1, "running": 0, "quiet": 0, "trapped": 0, "clock": 4}


def test_go_can_be_repeated():
    ran = Ran()
    assert ran(10, {0: {"go": 1, "last": 1}, 7: {"go": 1, "last": 1}})[5:] == [STOPPED] * 5
    assert ran.summary["clock"] == 2


@pytest.mark.parametrize("flag", ["quiet", "trapped"])
def test_the_clock_that_is_quiet_or_trapped_is_the_last(flag):
    ran = Ran()
    seen = ran(10, {0: {"go": 1, "last": 99}, 5: {flag: 1}, 7: {"go": 1, "last": 99}})
    assert seen == [IDLE, RESET, SETTLE, CLOCK, CLOCK, CLOCK, STOPPED, STOPPED, STOPPED, STOPPED]
    assert ran.summary == {"begun": 1, "running": 0, "quiet": 0, "trapped": 0, "clock": 3, flag: 1}


def test_hold_ends_a_run_and_the_next_begins_afresh():
    ran = Ran()
    seen = ran(12, {0: {"go": 1, "last": 99}, 5: {"hold": 1}, 7: {"go": 1, "last": 0}})
    assert seen == [IDLE, RESET, SETTLE, CLOCK, CLOCK, CLOCK, RESET, IDLE, RESET, SETTLE, CLOCK, STOPPED]
    assert ran.summary["clock"] == 1


def test_a_run_at_power_up():
    assert Ran(begin=True)(4, {}) == [RESET, SETTLE, CLOCK, CLOCK]


# --- hunting ------------------------------------------------------------------------------------------------------------


class Hunting:
    """Rounds, and what is around them: a run takes so many clocks, and sets a flag as late as a Monitor may, or none."""

    #: Clocks that restoring takes.
    RESTORE = 3

    def __init__(self, clocks, hits):
        self._clocks, self._hits = clocks, hits

    def __call__(self, total, begins):
        """(number, found, going, begun) in the end, and what was asked of the board: [(clock, what), ...].

        begins : clock -> last.
        """
        rounds, asked = Rounds(), []

        async def bench(ctx):
            restoring, started, ended, number = None, None, None, -1
            for clock in range(total):
                ctx.set(rounds.begin, clock in begins)
                ctx.set(rounds.last, begins.get(clock, 0))
                for name in ("hold", "restore", "go"):
                    if ctx.get(getattr(rounds, name)):
                        asked.append((clock, name))
                if asked[-1:] == [(clock, "restore")]:
                    restoring, ended = clock, None
                if asked[-1:] == [(clock, "go")]:
                    started, number = clock, number + 1
                running = started is not None and 0 < clock - started <= self._clocks[number]
                if started is not None and clock - started == self._clocks[number] + 1:
                    ended = clock
                ctx.set(rounds.restored, restoring is not None and clock == restoring + self.RESTORE)
                ctx.set(rounds.running, running)
                # The register before the Monitor, and what it takes by itself.
                ctx.set(rounds.hit, ended is not None and clock >= ended + 1 + Monitor.LATENCY and number in self._hits)
                await ctx.tick()
            return ctx.get(rounds.number), ctx.get(rounds.found), ctx.get(rounds.going), ctx.get(rounds.begun)

        simulator = Simulator(rounds)
        simulator.add_clock(1e-6)

        async def all_of_it(ctx):
            self.seen = await bench(ctx)

        simulator.add_testbench(all_of_it)
        simulator.run()
        return self.seen, asked

    def expected(self, start, numbers):
        """What is asked for these runs, the first of them in the clock after ``start``; and when the last is over."""
        asked, clock = [], start + 1
        for number in numbers:
            go = clock + self.RESTORE + 1
            asked += [(clock, "hold"), (clock, "restore"), (go, "go")]
            # Its clocks; one in which its end is seen; those until the flags are complete; one in which they are looked at.
            clock = go + self._clocks[number] + 1 + Monitor.LATENCY + 1 + 2
        return asked, clock


@pytest.mark.parametrize("hits", [(), (0,), (2,), (3,)], ids=repr)
def test_rounds_stop_at_the_first_finding_or_the_last_run(hits):
    clocks = [7, 1, 12, 4]
    hunting = Hunting(clocks, hits)
    ran = min([3, *hits])
    seen, asked = hunting(250, {5: 3})
    assert seen == (ran, bool(hits), 0, 1)
    assert asked == hunting.expected(5, range(ran + 1))[0]


def test_rounds_go_on_where_they_stand():
    """And neither a repeated request nor a finding lets one run be made again."""
    hunting = Hunting([7, 1, 12, 4], (3,))
    first, end = hunting.expected(2, range(2))
    later, _ = hunting.expected(100, range(2, 4))
    assert end < 90
    assert hunting(300, {2: 1, 20: 1, 90: 1, 100: 9, 110: 9, 250: 9}) == ((3, 1, 0, 1), first + later)


def test_what_an_arena_was_loaded_with_is_restored():
    config = MachineConfig(n_cores=1, arena_depth=64, microcode_depth=64)
    chance = random.Random(1)
    copy, memory, asked = ArenaCopy(config), [*range(1, 65)], [chance.getrandbits(16) for _ in range(64)]
    copy.data.init = list(memory)

    async def load(ctx, address, word, microcode=0):
        ctx.set(copy.source.valid, 1)
        ctx.set(copy.source.microcode, microcode)
        ctx.set(copy.source.address, address)
        ctx.set(copy.source.data, word)
        assert (ctx.get(copy.load.valid), ctx.get(copy.load.microcode), ctx.get(copy.load.address), ctx.get(copy.load.data)) == (
            1, microcode, address, word)
        await ctx.tick()
        ctx.set(copy.source.valid, 0)

    async def restored(ctx):
        """What is written to the arena until it says that it is done; nothing is written afterwards."""
        written = []
        ctx.set(copy.restore, 1)
        for clock in range(200):
            done = ctx.get(copy.restored)
            if ctx.get(copy.load.valid):
                assert not ctx.get(copy.load.microcode)
                written.append((ctx.get(copy.load.address), ctx.get(copy.load.data)))
            await ctx.tick()
            ctx.set(copy.restore, 0)
            if done:
                assert clock == 64 + 1 and not ctx.get(copy.load.valid)
                return written
        return None

    async def bench(ctx):
        assert await restored(ctx) == list(enumerate(memory))
        for address in chance.sample(range(64), 20):
            memory[address] = asked[address]
            await load(ctx, address, asked[address])
        await load(ctx, 3, 0x1234, microcode=1)
        for _ in range(2):
            assert await restored(ctx) == list(enumerate(memory))

    simulator = Simulator(copy)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("config", [*PRESETS.values(), MachineConfig(n_cores=3, n_banks=4)], ids=repr)
@pytest.mark.parametrize("room", [None, Room(obligations=5, csds=3, locks=1)])
def test_an_identity_says_it_all(config, room):
    identity = Identity(config, 0x12345678, 48_000, room)
    assert Identity.of(identity.words()) == identity
    assert all(0 <= word < 1 << 16 for word in identity.words())


def test_every_operation_has_words_and_fits_its_number():
    assert set(word_octets(MachineConfig())) == set(Operation)
    assert vocabulary() == vocabulary()


@pytest.mark.parametrize("config", [
    MachineConfig(n_cores=1, microcode_depth=64, arena_depth=64, stack_depth=16, store_buffer_depth=0),
    MachineConfig(n_cores=3, xlen=64, n_banks=4),
], ids=["least", "odd"])
@pytest.mark.parametrize("room", [None, pytest.param(Room(obligations=2, csds=2, locks=1), marks=pytest.mark.slow)],
                         ids=["", "hunter"])
def test_a_board_has_no_combinational_loop(config, room):
    text = rtlil.convert(Board(config, divisor=104, room=room))
    assert "\\console" in text
    assert ("\\monitor" in text) is ("\\scheduler" in text) is (room is not None)
