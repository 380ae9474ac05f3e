"""Intel SDM volume 3, the APIC chapter; the directed tests assert what kvm-unit-tests x86/apic.c and x86/ioapic.c assert."""

import random
from collections import Counter

import pytest

from rtl.apic.local_apic import Highest, LocalApic
from rtl.apic.message import DeliveryMode, Shorthand
from rtl.apic.registers import ApicRegister
from rtl.config import MachineConfig
from rtl.events import ApicEvent

FIXED, INIT, STARTUP = DeliveryMode.FIXED, DeliveryMode.INIT, DeliveryMode.STARTUP
FIELDS = ("vector", "mode", "logical", "level", "trigger", "shorthand", "destination")


class Model:
    """The local APIC in plain Python: sets of vectors, one method per thing that happens in a clock."""

    def __init__(self, core_id, config, x2apic):
        self.core_id, self.x2apic = core_id, x2apic and config.x2apic_mode
        self.absent = {register for register, there in ((ApicRegister.TPR, config.task_priority),
                                                        (ApicRegister.ESR, config.error_status)) if not there}
        self.reads = config.register_reads
        self.lowest = max(16, config.first_vector)
        self.irr, self.isr = set(), set()
        self.tpr = self.errors = self.esr = self.destination = 0
        self.busy = False             # a message is under way: the one sent last
        self.last = self.command = dict.fromkeys(FIELDS, 0)   # the message sent last, and what ICR shows of it
        self.offer = None             # the vector on ``interrupt``
        self.pulse = None

    @property
    def ppr(self):
        served = max(self.isr, default=0)
        return served & 0xF0 if served >> 4 > self.tpr >> 4 else self.tpr

    @property
    def icr(self):
        shown = self.command
        return (shown["vector"] | shown["mode"] << 8 | shown["logical"] << 11 | self.busy << 12 | shown["level"] << 14
                | shown["trigger"] << 15 | shown["shorthand"] << 18 | self.x2apic * shown["destination"] << 32)

    def asked(self, value, wide):
        """The message that a write to ICR asks for, and why it is not sent: a sentence, or None."""
        destination = value >> 32 if self.x2apic and wide else 0xFFFFFFFF if self.destination == 0xFF else self.destination
        message = {"vector": value & 0xFF, "mode": value >> 8 & 7, "logical": value >> 11 & 1, "level": value >> 14 & 1,
                   "trigger": value >> 15 & 1, "shorthand": value >> 18 & 3, "destination": destination}
        mode, shorthand = message["mode"], message["shorthand"]
        if mode not in (0, 5, 6):
            return message, "there is no such mode"
        if mode == 5 and (message["trigger"], message["level"]) == (1, 0):
            return message, "INIT level de-assert"
        if mode and shorthand in (1, 2):
            return message, "a core does not start itself"
        if message["logical"] and not shorthand and not (self.x2apic and wide):
            return message, "there is no LDR"
        return message, None

    def read(self, register):
        if not self.reads:
            return self.busy << 12 if register == ApicRegister.ICR else 0
        for first, vectors in (ApicRegister.ISR, self.isr), (ApicRegister.IRR, self.irr):
            if first <= register < first + 8:
                return sum(1 << vector % 32 for vector in vectors if vector // 32 == register - first)
        return {
            ApicRegister.ID: self.core_id << 24,
            ApicRegister.VERSION: 0x14,
            ApicRegister.TPR: self.tpr,
            ApicRegister.PPR: self.ppr,
            ApicRegister.ESR: self.esr,
            ApicRegister.ICR: self.icr,
            ApicRegister.ICR2: self.destination << 24,
        }.get(register, 0)

    def write(self, register, value, wide=False):
        """Carries a write out and gives its record: (event, vector, what else is in it) or None."""
        if register in self.absent:
            return None
        if register == ApicRegister.TPR:
            self.tpr = value & 0xFF
        elif register == ApicRegister.ESR:
            self.esr, self.errors = self.errors, 0
        elif register == ApicRegister.ICR2:
            self.destination = value >> 24 & 0xFF
        elif register == ApicRegister.EOI and self.isr:
            ended = max(self.isr)
            self.isr.remove(ended)
            return ApicEvent.EOI, {"vector": ended}
        elif register == ApicRegister.ICR:
            message, reason = self.asked(value, wide)
            if self.busy or reason:
                return ApicEvent.REFUSE, message
            if message["mode"] == 0 and message["vector"] < 16:
                self.errors |= 1 << 5
                return ApicEvent.REFUSE, message
            self.busy, self.last, self.command = True, message, message
            return ApicEvent.SEND, message
        return None

    def clock(self, accept, access, delivered, done):
        """One clock: the core accepts or accesses a register, a message comes in, the one on its way out is done."""
        above = max(self.irr, default=0)
        offer = above if above >> 4 > self.ppr >> 4 else None
        record = None
        if access:
            record = self.write(*access)
            offer = None if access[0] in {ApicRegister.TPR} - self.absent else offer
        if accept:
            self.irr.remove(self.offer)
            self.isr.add(self.offer)
            record, offer = (ApicEvent.ACCEPT, {"vector": self.offer}), None
        if done:
            self.busy = False
        self.pulse = None
        if delivered:
            vector, mode = delivered
            self.pulse = mode
            if mode == INIT:
                self.irr, self.isr, self.tpr, self.errors, self.esr, offer = set(), set(), 0, 0, 0, None
                self.command, self.destination = dict.fromkeys(FIELDS, 0), 0
            elif mode == FIXED and vector >= self.lowest:
                self.irr.add(vector)
            elif mode == FIXED:
                self.errors |= 1 << 6
        self.offer = offer
        return record


@pytest.mark.parametrize("x2apic", [0, 1], ids=["xAPIC", "x2APIC"])
@pytest.mark.parametrize("n_vectors", [16, 32, 256])
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_random_operation(n_vectors, seed, x2apic, simulate, convert):
    random_operation(MachineConfig(n_vectors=n_vectors), seed, x2apic, simulate, convert)


@pytest.mark.parametrize("absent", ["x2apic_mode", "task_priority", "error_status", "register_reads"])
def test_random_operation_of_one_that_lacks_something(absent, simulate, convert):
    """What the strap says counts for nothing without an x2APIC; a register that is not there, or cannot be read, reads 0, whatever
    was written."""
    random_operation(MachineConfig(**{absent: 0}), absent, 1, simulate, convert)


def random_operation(config, seed, x2apic, simulate, convert):
    dut = LocalApic(config)
    rng = random.Random(seed)
    legible = [ApicRegister.ID, ApicRegister.VERSION, ApicRegister.TPR, ApicRegister.PPR, ApicRegister.ESR, ApicRegister.ICR,
               ApicRegister.ICR2, *range(0x10, 0x18), *range(0x20, 0x28), 0x00, 0x0F]
    samples = (dut.interrupt, dut.vector, dut.record, dut.registers.read_data, dut.out.valid, dut.out.message, dut.init,
               dut.startup, dut.irr, dut.isr, dut.tpr)

    def fields(message):
        return {name: getattr(getattr(message, name), "value", getattr(message, name)) for name in FIELDS}

    def bits(vectors):
        return sum(1 << vector - config.first_vector for vector in vectors)

    def access():
        register = rng.choice([ApicRegister.EOI] * 6 + [ApicRegister.TPR, ApicRegister.ESR, ApicRegister.ICR2]
                              + [ApicRegister.ICR] * 3)
        value = rng.getrandbits(64)
        if register == ApicRegister.TPR:
            value = rng.choice([0, 0, rng.randrange(256)])
        elif register == ApicRegister.ICR and rng.random() < 0.7:
            value = (rng.randrange(256) | rng.choice([0, 0, 0x500, 0x4500, 0x8500, 0x600, 0x800, 0x4000, 0x8000])
                     | rng.choice([0, 0, 1, 2, 3]) << 18 | rng.choice([0, 1, 0xFFFFFFFF, rng.getrandbits(32)]) << 32)
        elif register == ApicRegister.ICR2 and rng.random() < 0.2:
            value |= 0xFF << 24
        wide = rng.random() < 0.5
        return register, value if wide or rng.random() < 0.5 else value & 0xFFFFFFFF, wide

    async def testbench(ctx):
        model = Model(3, config, x2apic)
        port, delivery = dut.registers, dut.delivery
        ctx.set(dut.core_id, 3)
        ctx.set(dut.x2apic, x2apic)
        events = Counter()
        for clock in range(1200):
            accept = model.offer is not None and rng.random() < 0.5
            written = access() if not accept and rng.random() < 0.3 else None
            register = written[0] if written else rng.choice(legible)
            delivered = None
            if rng.random() < 0.3:
                mode = rng.choices([FIXED, INIT, *DeliveryMode], [300, 1] + [1] * 8)[0]
                delivered = rng.choice([rng.randrange(256), rng.randrange(config.first_vector, 256)]), mode
            done = model.busy and rng.random() < 0.2

            ctx.set(dut.accept, accept)
            ctx.set(port.valid, not accept)
            ctx.set(port.write, written is not None)
            ctx.set(port.register, register)
            ctx.set(port.write_data, written[1] if written else 0)
            ctx.set(port.wide, written[2] if written else 0)
            ctx.set(delivery.valid, delivered is not None)
            if delivered:
                ctx.set(delivery.message, {"vector": delivered[0], "mode": delivered[1], "destination": 3})
            ctx.set(dut.out.done, done)
            _, _, interrupt, vector, record, read, valid, message, init, startup, irr, isr, tpr = await ctx.tick().sample(*samples)

            where = f"seed {seed}, clock {clock}"
            assert (vector if interrupt else None) == model.offer, where
            assert (init, startup) == (model.pulse == INIT, model.pulse == STARTUP), where
            assert (irr, isr, tpr) == (bits(model.irr), bits(model.isr), model.tpr), where
            assert valid == model.busy, where
            assert fields(message) == model.last, where
            assert read == model.read(register), f"{where}, register {register:#x}"
            expected = model.clock(accept, written, delivered, done)
            assert record.valid == (expected is not None), where
            assert expected is None or record.event == expected[0], where
            assert expected is None or fields(record) == dict.fromkeys(FIELDS, 0) | expected[1], where
            events[expected and expected[0]] += 1
        assert min(events[event] for event in ApicEvent) > 5, f"seed {seed}: {events}"

    simulate(dut, testbench)
    convert(LocalApic(config))


@pytest.mark.parametrize("n", [16, 32, 256])
def test_highest(n, simulate, convert):
    dut = Highest(n)
    rng = random.Random(n)

    async def testbench(ctx):
        for _ in range(400):
            bits = rng.getrandbits(n) & rng.getrandbits(n) >> rng.randrange(n + 1)
            ctx.set(dut.bits, bits)
            await ctx.delay(1e-6)
            expected = bits != 0, max(0, bits.bit_length() - 1)
            assert (ctx.get(dut.found), ctx.get(dut.index)) == expected, f"seed {n}, bits {bits:#x}"

    simulate(dut, testbench)
    convert(Highest(n))


class Core:
    """Drives a local APIC as a core and a fabric do, one thing per clock."""

    def __init__(self, ctx, apic):
        self.ctx, self.apic = ctx, apic

    async def clock(self, *signals):
        return (await self.ctx.tick().sample(*signals))[2:]

    async def write(self, register, value=0):
        """Writes; gives the record's event, if there is one."""
        port = self.apic.registers
        for signal, level in (port.valid, 1), (port.write, 1), (port.register, register), (port.write_data, value):
            self.ctx.set(signal, level)
        (record,) = await self.clock(self.apic.record)
        self.ctx.set(port.valid, 0)
        return record.event if record.valid else None

    async def read(self, register):
        port = self.apic.registers
        for signal, level in (port.valid, 1), (port.write, 0), (port.register, register):
            self.ctx.set(signal, level)
        (value,) = await self.clock(port.read_data)
        self.ctx.set(port.valid, 0)
        return value

    async def deliver(self, vector=0, mode=FIXED):
        self.ctx.set(self.apic.delivery.valid, 1)
        self.ctx.set(self.apic.delivery.message, {"vector": vector, "mode": mode, "destination": 0})
        await self.clock()
        self.ctx.set(self.apic.delivery.valid, 0)

    async def take(self):
        """Accepts what is offered within three clocks; None if nothing is."""
        for _ in range(3):
            interrupt, vector = await self.clock(self.apic.interrupt, self.apic.vector)
            if interrupt:
                self.ctx.set(self.apic.accept, 1)
                await self.clock()
                self.ctx.set(self.apic.accept, 0)
                return vector
        return None


@pytest.fixture
def run(simulate):
    """Run a directed test on the core's side of a local APIC with all vectors."""

    def start(test):
        apic = LocalApic(MachineConfig(n_vectors=256))

        async def testbench(ctx):
            await test(Core(ctx, apic))

        simulate(apic, testbench)

    return start


def test_an_interrupt_takes_two_clocks(run):
    async def test(core):
        await core.deliver(0xF1)
        assert await core.clock(core.apic.interrupt) == (0,)
        assert await core.clock(core.apic.interrupt, core.apic.vector) == (1, 0xF1)

    run(test)


def test_higher_vector_first(run):
    """Two edges before the core looks: the higher vector is taken first, the other when the first one has ended."""
    async def test(core):
        await core.deliver(0x31)
        await core.deliver(0x52)
        await core.clock()
        assert await core.take() == 0x52
        assert await core.take() is None
        await core.write(ApicRegister.EOI)
        assert await core.take() == 0x31

    run(test)


def test_nesting_and_order_of_eoi(run):
    """A higher class interrupts a lower one, the same class does not; EOI ends the highest in service."""
    async def test(core):
        await core.deliver(0x41)
        assert await core.take() == 0x41
        await core.deliver(0x4F)
        assert await core.take() is None
        await core.deliver(0x50)
        assert await core.take() == 0x50
        assert await core.read(ApicRegister.PPR) == 0x50
        assert await core.read(ApicRegister.ISR + 2) == 1 << 1 | 1 << 16
        assert await core.write(ApicRegister.EOI) == ApicEvent.EOI
        assert await core.read(ApicRegister.ISR + 2) == 1 << 1
        assert await core.take() is None
        assert await core.write(ApicRegister.EOI) == ApicEvent.EOI
        assert await core.take() == 0x4F
        assert await core.write(ApicRegister.EOI) == ApicEvent.EOI
        assert await core.write(ApicRegister.EOI) is None     # nothing in service

    run(test)


def test_two_eois_in_successive_clocks(run):
    async def test(core):
        await core.deliver(0x41)
        await core.take()
        await core.deliver(0x50)
        await core.take()
        assert await core.write(ApicRegister.EOI) == ApicEvent.EOI
        assert await core.write(ApicRegister.EOI) == ApicEvent.EOI
        assert await core.read(ApicRegister.ISR + 2) == 0

    run(test)


def test_task_priority(run):
    """A class is held off by its own TPR class, whatever the vector inside it, and passes one class above."""
    async def test(core):
        await core.write(ApicRegister.TPR, 0x40)
        await core.deliver(0x4F)
        assert await core.take() is None
        await core.deliver(0x50)
        assert await core.take() == 0x50
        await core.write(ApicRegister.EOI)
        await core.write(ApicRegister.TPR, 0x3F)
        assert await core.read(ApicRegister.PPR) == 0x3F
        assert await core.take() == 0x4F
        assert await core.read(ApicRegister.PPR) == 0x40

    run(test)


def test_raising_task_priority_withdraws_the_offer(run):
    async def test(core):
        await core.deliver(0x50)
        await core.clock()
        assert await core.clock(core.apic.interrupt) == (1,)
        await core.write(ApicRegister.TPR, 0x50)
        assert await core.take() is None

    run(test)


def test_same_vector_coalesces(run):
    """Three more of the vector in service make one more run."""
    async def test(core):
        await core.deliver(0x60)
        assert await core.take() == 0x60
        for _ in range(3):
            await core.deliver(0x60)
        assert await core.take() is None
        await core.write(ApicRegister.EOI)
        assert await core.take() == 0x60
        await core.write(ApicRegister.EOI)
        assert await core.take() is None

    run(test)


def test_same_vector_in_the_clock_of_accept_is_not_lost(run):
    async def test(core):
        await core.deliver(0x60)
        await core.clock()
        core.ctx.set(core.apic.accept, 1)
        await core.deliver(0x60)
        core.ctx.set(core.apic.accept, 0)
        assert await core.read(ApicRegister.ISR + 3) == await core.read(ApicRegister.IRR + 3) == 1
        await core.write(ApicRegister.EOI)
        assert await core.take() == 0x60

    run(test)


def test_delivery_status(run):
    """Busy from the clock after the write until the fabric's ``done``; a write meanwhile is refused and spoils nothing."""
    async def test(core):
        await core.write(ApicRegister.ICR2, 2 << 24)
        assert await core.write(ApicRegister.ICR, 0xF1) == ApicEvent.SEND
        assert await core.read(ApicRegister.ICR) == 1 << 12 | 0xF1
        await core.write(ApicRegister.ICR2, 3 << 24)
        assert await core.write(ApicRegister.ICR, 0xF2) == ApicEvent.REFUSE
        core.ctx.set(core.apic.out.done, 1)
        assert await core.write(ApicRegister.ICR, 0xF3) == ApicEvent.REFUSE
        core.ctx.set(core.apic.out.done, 0)
        assert await core.read(ApicRegister.ICR) == 0xF1
        (message,) = await core.clock(core.apic.out.message)
        assert (message.vector, message.mode, message.destination) == (0xF1, FIXED, 2)
        assert await core.write(ApicRegister.ICR, 0xF2) == ApicEvent.SEND

    run(test)


@pytest.mark.parametrize("command", [
    0x100, 0x200, 0x300, 0x400, 0x700,    # modes
    0x800,                                # logical destination
    0x40500, 0x80500, 0x40600, 0x80600,   # a core neither resets nor starts itself
    0x8500, 0xC8500,                      # INIT level de-assert
])
def test_what_this_apic_does_not_have_is_refused(command, run):
    async def test(core):
        assert await core.write(ApicRegister.ICR, command | 0xF1) == ApicEvent.REFUSE
        assert await core.read(ApicRegister.ICR) == 0

    run(test)


@pytest.mark.parametrize(("x2apic", "icr2", "icr", "wide", "expected"), [
    (0, 2 << 24, 0xF1, False, {"destination": 2}),
    (0, 0xFF << 24, 0xF1, False, {"destination": 0xFFFFFFFF}),
    (0, 2 << 24, 7 << 32 | 0xF1, True, {"destination": 2}),
    (1, 2 << 24, 0xF1, False, {"destination": 2}),
    (1, 2 << 24, 0x12345 << 32 | 0xF1, True, {"destination": 0x12345}),
    (1, 0, 0xFF << 32 | 0xF1, True, {"destination": 0xFF}),
    (1, 0, 0x00020001 << 32 | 0x8F1, True, {"destination": 0x20001, "logical": 1}),
    (0, 0, 0x4C0F1, False, {"shorthand": Shorthand.SELF, "trigger": 1, "level": 1}),
    (0, 0, 0x808F1, False, {"shorthand": Shorthand.ALL, "logical": 1}),
    (0, 0, 0xC0500 | 0x4000, False, {"shorthand": Shorthand.OTHERS, "mode": INIT, "level": 1, "vector": 0}),
])
def test_whom_a_message_names(x2apic, icr2, icr, wide, expected, run):
    """Ids of 8 bits and the broadcast 0xff in an xAPIC, ids of 32 bits in an x2APIC; shorthands in both."""
    async def test(core):
        core.ctx.set(core.apic.x2apic, x2apic)
        await core.write(ApicRegister.ICR2, icr2)
        core.ctx.set(core.apic.registers.wide, wide)
        assert await core.write(ApicRegister.ICR, icr) == ApicEvent.SEND
        (message,) = await core.clock(core.apic.out.message)
        plain = dict.fromkeys(FIELDS, 0) | {"vector": 0xF1, "mode": FIXED, "shorthand": Shorthand.NONE}
        assert {name: getattr(message, name) for name in FIELDS} == plain | expected
        assert await core.read(ApicRegister.ICR) & 0xCCFFF == icr & 0xCCFFF
        assert await core.read(ApicRegister.ICR) >> 32 == (expected.get("destination", 0) if x2apic else 0)

    run(test)


@pytest.mark.parametrize("x2apic", [0, 1])
def test_an_xapic_serializes(x2apic, run):
    async def test(core):
        core.ctx.set(core.apic.x2apic, x2apic)
        assert await core.clock(core.apic.registers.serializes) == (not x2apic,)

    run(test)


def test_illegal_vectors(run):
    """Errors collect until ESR is written, and are read from then until it is written again."""
    async def test(core):
        assert await core.write(ApicRegister.ICR, 0x0F) == ApicEvent.REFUSE
        assert await core.read(ApicRegister.ESR) == 0
        await core.write(ApicRegister.ESR)
        assert await core.read(ApicRegister.ESR) == 1 << 5
        await core.deliver(0x0F)
        assert await core.read(ApicRegister.IRR) == 0
        assert await core.read(ApicRegister.ESR) == 1 << 5
        await core.write(ApicRegister.ESR)
        assert await core.read(ApicRegister.ESR) == 1 << 6
        await core.write(ApicRegister.ESR)
        assert await core.read(ApicRegister.ESR) == 0

    run(test)


def test_init_and_startup(run):
    """INIT clears what is requested and served, and withdraws the offer, but leaves the message under way alone."""
    async def test(core):
        apic = core.apic
        await core.write(ApicRegister.ICR2, 1 << 24)
        await core.write(ApicRegister.ICR, 0xF1)
        await core.deliver(0x61)
        assert await core.take() == 0x61
        await core.deliver(0x71)
        await core.write(ApicRegister.TPR, 0x10)
        await core.deliver(mode=INIT)
        assert await core.clock(apic.init, apic.startup, apic.interrupt, apic.irr, apic.isr, apic.tpr) == (1, 0, 0, 0, 0, 0)
        assert await core.clock(apic.init, apic.interrupt, apic.out.valid) == (0, 0, 1)
        await core.deliver(0x10, STARTUP)
        assert await core.clock(apic.init, apic.startup) == (0, 1)
        assert await core.clock(apic.startup, apic.irr) == (0, 0)

    run(test)


def test_init_resets_the_command_register(run):
    """Intel SDM volume 3, "Local APIC State After It Receives an INIT": ICR is among what is reset. A message under way stays what
    it is, and says so by its delivery status alone."""
    async def test(core):
        apic = core.apic
        await core.write(ApicRegister.ICR2, 2 << 24)
        await core.write(ApicRegister.ICR, 0x6F1)
        await core.deliver(mode=INIT)
        assert await core.read(ApicRegister.ICR2) == 0
        assert await core.read(ApicRegister.ICR) == 1 << 12
        (message,) = await core.clock(apic.out.message)
        assert (message.vector, message.mode, message.destination) == (0xF1, STARTUP, 2)
        core.ctx.set(apic.out.done, 1)
        await core.clock()
        core.ctx.set(apic.out.done, 0)
        assert await core.read(ApicRegister.ICR) == 0
        assert await core.write(ApicRegister.ICR, 0xF2) == ApicEvent.SEND     # to where ICR2 says: 0
        (message,) = await core.clock(apic.out.message)
        assert (message.vector, message.destination) == (0xF2, 0)
        assert await core.read(ApicRegister.ICR) == 1 << 12 | 0xF2

    run(test)


def test_outputs_are_functions_of_state(run):
    """No input reaches core or fabric in the same clock; only read data and records follow the core's access."""
    async def test(core):
        ctx, apic = core.ctx, core.apic
        await core.write(ApicRegister.ICR, 0xF1)
        await core.deliver(0x61)
        await core.clock()
        outputs = (apic.interrupt, apic.vector, apic.out.valid, apic.out.message, apic.init, apic.startup, apic.irr, apic.isr,
                   apic.tpr)
        before = [ctx.get(output) for output in outputs]
        for register in ApicRegister.TPR, ApicRegister.EOI, ApicRegister.ICR:
            for signal, value in (
                (apic.registers.register, register), (apic.registers.write_data, 0xFF), (apic.registers.write, 1),
                (apic.registers.valid, 1), (apic.registers.valid, 0), (apic.accept, 1), (apic.out.done, 1),
                (apic.delivery.message, {"vector": 0xFF, "mode": INIT, "destination": 0}), (apic.delivery.valid, 1),
            ):
                ctx.set(signal, value)
                assert [ctx.get(output) for output in outputs] == before

    run(test)
