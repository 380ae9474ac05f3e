"""What boards are made of, by itself."""

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from rtl.boards.board import Board
from rtl.boards.runner import Runner
from rtl.boards.uart import UartReceiver, UartTransmitter
from rtl.boards.wire import Identity, Operation, vocabulary, word_octets
from rtl.config import PRESETS, MachineConfig


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


@pytest.mark.parametrize("config", [*PRESETS.values(), MachineConfig(n_cores=3, n_banks=4)], ids=repr)
def test_an_identity_says_it_all(config):
    identity = Identity(config, 0x12345678, 48_000)
    assert Identity.of(identity.words()) == identity
    assert all(0 <= word < 1 << 16 for word in identity.words())


def test_every_operation_has_words_and_fits_its_number():
    assert set(word_octets(MachineConfig())) == set(Operation)
    assert vocabulary() == vocabulary()


@pytest.mark.parametrize("config", [
    MachineConfig(n_cores=1, microcode_depth=64, arena_depth=64, stack_depth=16, store_buffer_depth=0),
    MachineConfig(n_cores=3, xlen=64, n_banks=4),
], ids=["least", "odd"])
def test_a_board_has_no_combinational_loop(config):
    assert "\\console" in rtlil.convert(Board(config, divisor=104))
