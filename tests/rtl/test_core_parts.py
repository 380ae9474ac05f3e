"""The parts of a core's sequencer against plain Python models, clock by clock: private stack, start control, interrupts."""

import random

import pytest

from rtl.config import MachineConfig
from rtl.core.interrupts import Interrupts
from rtl.core.microword import Op
from rtl.core.stack import Stack
from rtl.core.start import Start

SEEDS = range(3)


@pytest.mark.parametrize("depth", [16, 64])
@pytest.mark.parametrize("seed", SEEDS)
def test_stack(depth, seed, simulate, convert):
    """Last in, first out, from empty to full and back, and cleared at any time."""
    config = MachineConfig(stack_depth=depth)
    dut = Stack(config)
    rng = random.Random(seed)
    samples = dut.top, dut.full, dut.empty, dut.settling

    async def testbench(ctx):
        model, settling, was = [], False, set()
        rate = 0.5
        for clock in range(40 * depth):
            if clock % (8 * depth) == 0:
                rate = rng.choice([0.2, 0.8])
            full, empty = len(model) == depth - 1, not model
            was |= {name for name, level in (("full", full), ("empty", empty)) if level}
            push = not full and rng.random() < rate
            pop = not push and not empty and not settling and rng.random() < 0.5
            clear = rng.random() < 1 / (8 * depth)
            word = rng.getrandbits(config.xlen)
            for signal, value in (dut.push, push), (dut.pop, pop), (dut.clear, clear), (dut.word, word):
                ctx.set(signal, value)
            _, _, *seen = await ctx.tick().sample(*samples)
            where = f"seed {seed}, clock {clock}"
            assert seen[1:] == [full, empty, settling], where
            assert empty or settling or seen[0] == model[-1], where
            if push:
                model.append(word)
            elif pop:
                model.pop()
            if clear:
                model.clear()
            settling = push
        assert was == {"full", "empty"}, f"seed {seed}"

    simulate(dut, testbench)
    convert(Stack(config))


class StartModel:
    """In words: what is to be carried out, and what for."""

    def __init__(self, *, bootstrap):
        self.bootstrap = bootstrap
        self.powered_up = self.init = self.startup = False

    def clock(self, *, go, init, startup, waits, busy):
        """Gives (restart, begin, pending) of this clock."""
        pending = self.init or self.startup or not self.powered_up
        restart, begin = self.init and not busy, False
        wanted = startup and (self.init or waits)
        powers_up = False
        if restart:
            self.init = False
        elif not self.powered_up and go:
            self.powered_up = powers_up = True
        elif self.startup and waits:
            begin, self.startup = True, False
        if init:
            self.init, self.startup = True, False
        elif wanted and not begin:
            self.startup = True
        if powers_up and self.bootstrap:
            self.startup = True
        return restart, begin, pending


@pytest.mark.parametrize("bootstrap", [0, 1])
@pytest.mark.parametrize("seed", SEEDS)
def test_start(bootstrap, seed, simulate, convert):
    dut = Start()
    rng = random.Random(seed)

    async def testbench(ctx):
        model = StartModel(bootstrap=bootstrap)
        begun = restarted = 0
        ctx.set(dut.bootstrap, bootstrap)
        for clock in range(2000):
            message = rng.choices([None, "init", "startup"], [8, 1, 1])[0]
            inputs = {"go": clock > 5 and rng.random() < 0.7, "init": message == "init", "startup": message == "startup",
                      "waits": rng.random() < 0.5, "busy": rng.random() < 0.3}
            for name, level in inputs.items():
                ctx.set(getattr(dut, name), level)
            _, _, *seen = await ctx.tick().sample(dut.restart, dut.begin, dut.pending)
            expected = model.clock(**inputs)
            assert tuple(map(bool, seen)) == expected, f"seed {seed}, clock {clock}"
            restarted, begun = restarted + expected[0], begun + expected[1]
        assert restarted > 20 and begun > 20, f"seed {seed}"

    simulate(dut, testbench)
    convert(Start())


def test_the_bootstrap_core_starts_by_itself_and_no_other(simulate):
    for bootstrap in 0, 1:
        dut = Start()

        async def testbench(ctx, dut=dut, bootstrap=bootstrap):
            ctx.set(dut.bootstrap, bootstrap)
            ctx.set(dut.waits, 1)
            begins = []
            for clock in range(6):
                ctx.set(dut.go, clock >= 2)
                begins += (await ctx.tick().sample(dut.begin))[2:]
            assert begins == [0, 0, 0, bootstrap, 0, 0]

        simulate(dut, testbench)


def test_init_takes_a_startup_back_and_one_behind_it_counts(simulate):
    """Also while a memory operation keeps INIT waiting."""
    dut = Start()

    async def testbench(ctx):
        async def clock(**inputs):
            for name in "go", "init", "startup", "waits", "busy":
                ctx.set(getattr(dut, name), inputs.get(name, 0))
            return tuple((await ctx.tick().sample(dut.restart, dut.begin))[2:])

        await clock(go=1)                                          # powered up
        assert await clock(startup=1) == (0, 0)                    # not waited for: lost
        assert await clock(waits=1) == (0, 0)
        assert await clock(startup=1, waits=1) == (0, 0)
        assert await clock(init=1) == (0, 0)                       # before it was carried out
        assert await clock(busy=1, startup=1) == (0, 0)
        assert await clock(busy=1) == (0, 0)
        assert await clock() == (1, 0)
        assert await clock(waits=1) == (0, 1)
        assert await clock(waits=1) == (0, 0)

    simulate(dut, testbench)


class InterruptsModel:
    """The interrupt flag with its shadow, and what acceptance and IRET cost."""

    def __init__(self, entry, leave):
        self.entry, self.leave = entry, leave
        self.on = self.shadow = self.held = False
        self.vector = self.depth = self.delay = 0

    def clock(self, *, interrupt, pending_vector, hold, between, refused, op, completes, popped, clear):
        """Gives (accept, delays, delayed) of this clock."""
        accept = bool(interrupt and between and self.on and not self.shadow and not self.held)
        completes = completes and not accept
        self.held = hold
        delayed, cost = self.delay == 1, 0
        if self.delay:
            self.delay -= 1
        if accept and not refused:
            self.on, self.vector, self.depth, cost = False, pending_vector, self.depth + 1, self.entry
            self.delay = cost
        elif completes:
            self.shadow = op is Op.STI and not self.on
            if op in (Op.CLI, Op.IRQSAVE, Op.STI):
                self.on = op is Op.STI
            elif op in (Op.IRQRESTORE, Op.IRET):
                self.on = popped
            if op is Op.IRET:
                self.depth, cost = self.depth - 1, self.leave
                self.delay = cost
        if clear:
            self.on = self.shadow = False
            self.depth = self.delay = 0
        return accept, cost > 0, delayed


@pytest.mark.parametrize(("entry", "leave", "delay_bits"), [(0, 0, 8), (1, 3, 2), (5, 0, 8), (5, 3, 3), (5, 8, 3)])
@pytest.mark.parametrize("seed", SEEDS)
def test_interrupts(entry, leave, delay_bits, seed, simulate, convert):
    """Nothing completes in a clock of acceptance or while the cost of one is counted, as in a core."""
    config = MachineConfig(stack_depth=16, delay_bits=delay_bits)
    dut = Interrupts(config)
    rng = random.Random(seed)
    samples = dut.accept, dut.delays, dut.delayed, dut.on, dut.vector, dut.depth
    ops = [Op.CLI, Op.STI, Op.IRQSAVE, Op.IRQRESTORE, Op.IRET, Op.NOP, Op.NOP]

    async def testbench(ctx):
        model = InterruptsModel(entry % (1 << delay_bits), leave % (1 << delay_bits))
        accepted = 0
        ctx.set(dut.entry, entry)
        ctx.set(dut.leave, leave)
        for clock in range(3000):
            idle = model.delay == 0
            inputs = {"interrupt": rng.random() < 0.4, "pending_vector": rng.randrange(256), "hold": rng.random() < 0.2,
                      "between": idle and rng.random() < 0.8, "refused": rng.random() < 0.1, "op": rng.choice(ops),
                      "completes": idle and rng.random() < 0.6, "popped": rng.random() < 0.5, "clear": rng.random() < 0.01}
            before = [model.on, model.vector, model.depth % config.stack_depth]
            if inputs["interrupt"] and inputs["between"] and model.on and not model.shadow and not model.held:
                inputs["completes"] = False
            for name, value in inputs.items():
                ctx.set(getattr(dut, name), value)
            _, _, *seen = await ctx.tick().sample(*samples)
            expected = model.clock(**inputs)
            where = f"seed {seed}, clock {clock}"
            assert seen[3:] == before, where
            assert tuple(map(bool, seen[:3])) == expected, where
            accepted += expected[0]
        assert accepted > 100, f"seed {seed}"

    simulate(dut, testbench)
    convert(Interrupts(config))
