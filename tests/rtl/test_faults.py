"""Faults of the fabric: which interrupt is the one, and what a crossbar makes of it."""

import random

import pytest
from amaranth.back import rtlil
from amaranth.sim import Simulator

from rtl.apic.crossbar import Crossbar
from rtl.apic.faults import FaultInjector, FaultKind, fault_layout, faults_layout
from rtl.config import MachineConfig

N = 3


class Model:
    """What a FaultInjector does, in Python."""

    def __init__(self, plan):
        self.plan, self.sent, self.waited, self.now, self.gone = plan, 0, 0, 0, False

    def faults(self, valid):
        plan, source = self.plan, 1 << self.plan["fault_source"]
        its = valid & source if plan["fault"] is not FaultKind.NONE and self.sent == plan["fault_number"] else 0
        late = plan["fault"] is FaultKind.LATE and self.waited != plan["fault_delay"]
        sends = plan["resend_vector"] and self.now >= plan["resend_clock"] and not self.gone
        return {"drop": its if plan["fault"] is FaultKind.DROP else 0, "twice": its if plan["fault"] is FaultKind.TWICE else 0,
                "late": its if late else 0, "inject": (1 << plan["resend_target"]) & (1 << N) - 1 if sends else 0,
                "vector": plan["resend_vector"] if sends else 0}

    def step(self, valid, done, injected, run):
        faults = self.faults(valid)
        self.waited += bool(faults["late"])
        self.sent += plan_has(self.plan) and bool(done >> self.plan["fault_source"] & 1)
        self.gone |= bool(run and injected & faults["inject"])
        self.now += bool(run)


def plan_has(plan):
    return plan["fault"] is not FaultKind.NONE


@pytest.mark.parametrize("seed", range(6))
def test_it_does_what_the_model_does(seed):
    chance = random.Random(seed)
    plan = {"fault": chance.choice(list(FaultKind)), "fault_source": chance.randrange(N), "fault_number": chance.randrange(4),
            "fault_delay": chance.randrange(9), "resend_clock": chance.randrange(40), "resend_target": chance.randrange(N),
            "resend_vector": chance.choice((0, 0xFB))}
    injector, model = FaultInjector(N), Model(plan)

    async def bench(ctx):
        ctx.set(injector.plan, plan)
        ctx.set(injector.run, 1)
        for _ in range(120):
            valid = chance.getrandbits(N)
            done, injected = valid & chance.getrandbits(N), chance.getrandbits(N)
            for port, value in ((injector.valid, valid), (injector.done, done), (injector.injected, injected)):
                ctx.set(port, value)
            seen = {name: ctx.get(injector.faults[name]) for name, _ in faults_layout(N)}
            assert seen == model.faults(valid), f"seed {seed}, {plan}"
            model.step(valid, done, injected, True)
            await ctx.tick()

    simulator = Simulator(injector)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def _deliveries(faults, destination=1):
    """What comes of an interrupt from core 0 to core 1: [(clock, target, vector, source)], and the clocks in which it is done, with
    whether it is lost."""
    crossbar = Crossbar(MachineConfig(n_cores=N))
    seen, ends = [], []

    async def bench(ctx):
        ctx.set(crossbar.sources[0].message, {"vector": 0xFC, "destination": destination, "level": 1})
        ctx.set(crossbar.sources[0].valid, 1)
        for clock in range(12):
            for name, value in faults(clock).items():
                ctx.set(getattr(crossbar.faults, name), value)
            await ctx.delay(1e-9)
            for target in range(N):
                if ctx.get(crossbar.targets[target].valid):
                    record = crossbar.records[target]
                    assert ctx.get(record.accepted)
                    seen.append((clock, target, ctx.get(crossbar.targets[target].message.vector), ctx.get(record.source)))
            if ctx.get(crossbar.sources[0].valid) and ctx.get(crossbar.sources[0].done):
                ends.append((clock, ctx.get(crossbar.lost)))
                if not any(item[0] == clock for item in seen):
                    assert ctx.get(crossbar.records[0].valid) and not ctx.get(crossbar.records[0].accepted)
            else:
                assert not ctx.get(crossbar.lost)
            await ctx.tick()
            if ends:
                ctx.set(crossbar.sources[0].valid, 0)

    simulator = Simulator(crossbar)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return seen, ends


@pytest.mark.parametrize("faults, seen, ends", [
    pytest.param(lambda clock: {}, [(0, 1, 0xFC, 0)], [(0, 0)], id="none"),
    pytest.param(lambda clock: {"drop": 1}, [], [(0, 1)], id="dropped"),
    pytest.param(lambda clock: {"twice": 1}, [(0, 1, 0xFC, 0), (1, 1, 0xFC, 0)], [(1, 0)], id="twice"),
    pytest.param(lambda clock: {"late": clock < 5}, [(5, 1, 0xFC, 0)], [(5, 0)], id="late"),
    pytest.param(lambda clock: {"drop": 2, "twice": 4, "late": 2}, [(0, 1, 0xFC, 0)], [(0, 0)], id="of others"),
    pytest.param(lambda clock: {"inject": 4 if clock == 3 else 0, "vector": 0xFB}, [(0, 1, 0xFC, 0), (3, 2, 0xFB, 2)], [(0, 0)],
                 id="one that nobody has sent"),
    # What was sent goes first.
    pytest.param(lambda clock: {"inject": 2 if clock < 2 else 0, "vector": 0xFB}, [(0, 1, 0xFC, 0), (1, 1, 0xFB, 1)], [(0, 0)],
                 id="behind one that was sent"),
])
def test_a_crossbar_with_faults(faults, seen, ends):
    assert _deliveries(faults) == (seen, ends)


def test_a_message_to_no_core_is_not_lost_by_a_fault():
    for drop in (0, 1):
        assert _deliveries(lambda clock: {"drop": drop}, destination=N) == ([], [(0, 0)])  # noqa: B023


def test_it_becomes_hardware():
    assert "resend_clock" in fault_layout.members
    assert rtlil.convert(FaultInjector(N))
