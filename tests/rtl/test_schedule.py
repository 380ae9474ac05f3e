"""The generators against plain Python models, clock by clock, and what they do to a machine."""

import random
from functools import cache

import pytest
from amaranth.back import rtlil
from amaranth.sim import Simulator

from rtl.config import PRESETS, MachineConfig, Straps
from rtl.machine import Machine
from rtl.probe import probe_layout
from rtl.rig import Rig
from rtl.schedule import ScheduleKind, Scheduler
from sim.engines.engine import Contents, Ending, Job
from sim.engines.pysim import PySimEngine
from sim.engines.spec import EngineSpec
from sim.records import Digest, Sources
from sim.runs.plan import Plan
from sim.runs.prepare import prepare

SIZES = (1, 2, 3, 4, 8)
GAMMA = 0x9E3779B9
MASK = 0xFFFFFFFF

PLANS = {
    "none": Plan(seed=5, stall=200),
    "random": Plan(kind=ScheduleKind.RANDOM, seed=1, stall=128, hold_drain=10, hold_interrupt=60, hold_message=255),
    "late": Plan(kind=ScheduleKind.RANDOM, seed=7, start=300, stall=20),
    "bounded": Plan(kind=ScheduleKind.BOUNDED, seed=2, stall=16, hold_message=8, delay=4),
    "pct": Plan(kind=ScheduleKind.PCT, seed=3, changes=7, horizon=8),
    "pct with holds": Plan(kind=ScheduleKind.PCT, seed=MASK, changes=3, horizon=6, hold_interrupt=100, stall=255),
    "replay": Plan(kind=ScheduleKind.REPLAY, seed=9, stall=255),
}


class Model:
    """A Scheduler as its docstring says it. ``step`` takes what is true in a clock and gives what is in force in the next one."""

    def __init__(self, n, plan):
        self.n, self.plan = n, plan
        self.streams = [plan.seed ^ (number + 1) * GAMMA & MASK for number in range(n + 1)]
        self.clock = 0
        self.first = max(16 * n + 1, plan.start)
        self.left = [0] * n
        self.held = [0] * n                   # per core, from bit 0: stall, drain, interrupt, message, reorder
        self.row = list(range(n))
        self.common = []
        self.had = None, 0

    def step(self, status, replay=0):
        kind = self.plan.kind
        if kind is ScheduleKind.REPLAY:
            return replay
        if kind is not ScheduleKind.NONE:
            if self.clock + 1 >= self.first:
                self._draw(status)
            elif kind is ScheduleKind.PCT:
                self.common.insert(0, self.streams[-1])
                self._to_end(self.streams[-1] >> 32 - max(1, (self.n - 1).bit_length()))
            self.streams = [self._next(word) for word in self.streams]
        self.clock += 1
        return sum((held >> hold & 1) << hold * self.n + core for core, held in enumerate(self.held) for hold in range(5))

    @staticmethod
    def _next(word):
        word ^= word << 13 & MASK
        word ^= word >> 17
        word ^= word << 5 & MASK
        return word + GAMMA & MASK

    def _to_end(self, core):
        if core in self.row:
            self.row.remove(core)
            self.row.append(core)

    def _draw(self, status):
        plan = self.plan
        turn = next((core for core in self.row if not status[core]["halted"]), None)
        for core, word in enumerate(self.streams[:-1]):
            if self.left[core]:
                self.left[core] -= 1
                continue
            rates = plan.stall, plan.hold_drain, plan.hold_interrupt, plan.hold_message
            holds = [(word >> 8 * index & 0xFF) < rate for index, rate in enumerate(rates)]
            if plan.kind is ScheduleKind.PCT:
                holds[0] = core != turn and not status[core]["halted"]
            reorders = bool(word >> 8 & 1 and plan.hold_drain)
            self.held[core] = sum(hold << index for index, hold in enumerate([*holds, reorders]))
            if plan.kind is ScheduleKind.BOUNDED and any(holds):
                self.left[core] = self.streams[-1] & (1 << plan.delay) - 1
        if plan.kind is ScheduleKind.PCT and turn is not None:
            since = self.clock + 1 - self.first
            points = [word & (1 << plan.horizon) - 1 for word in self.common[:plan.changes]]
            before, clocks = self.had
            clocks = clocks + 1 if turn == before else 0
            self.had = turn, clocks
            if since in points or status[turn]["pausing"] or clocks == 512:
                self._to_end(turn)


@pytest.fixture(scope="module")
def simulators():
    made = {}

    def run(n, testbench):
        """Run a testbench(ctx, scheduler) on a Scheduler for n cores."""
        if n in made:
            made[n][1].reset()
        else:
            scheduler = Scheduler(MachineConfig(n_cores=n))
            made[n] = scheduler, Simulator(scheduler), [None]

            async def the_last_one(ctx):
                await made[n][2][0](ctx, scheduler)

            made[n][1].add_clock(1e-6)
            made[n][1].add_testbench(the_last_one)
        made[n][2][0] = testbench
        made[n][1].run()

    return run


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", PLANS)
def test_equals_its_model(simulators, name, n):
    plan = PLANS[name]
    model = Model(n, plan)
    rng = random.Random(n)

    async def testbench(ctx, scheduler):
        ctx.set(scheduler.plan, plan.as_const())
        await ctx.tick().repeat(3)
        ctx.set(scheduler.run, 1)
        expected = 0
        for clock in range(model.first + 150):
            # Long enough in one state that turns are held, short enough that everything happens.
            if rng.random() < 0.2:
                status = [{"halted": rng.random() < 0.3, "pausing": rng.random() < 0.1} for _ in range(n)]
                status = [{key: int(value) for key, value in core.items()} for core in status]
                ctx.set(scheduler.status, status)
                model.status = status
            replay = rng.getrandbits(5 * n)
            ctx.set(scheduler.replay.as_value(), replay)
            assert ctx.get(scheduler.schedule.as_value()) == expected, f"clock {clock}"
            expected = model.step(getattr(model, "status", [{"halted": 0, "pausing": 0}] * n), replay)
            await ctx.tick()

    simulators(n, testbench)


async def draw(ctx, scheduler, plan, clocks):
    """The raw schedules in force in the ``clocks`` clocks from the first in which somebody may be held."""
    ctx.set(scheduler.plan, plan.as_const())
    await ctx.tick()
    ctx.set(scheduler.run, 1)
    await ctx.tick().repeat(scheduler.warm_up + 1)
    return [(await ctx.tick().sample(scheduler.schedule.as_value()))[-1] for _ in range(clocks)]


@pytest.mark.parametrize("rate", [4, 64, 200])
def test_rates_are_what_they_say(simulators, rate):
    async def testbench(ctx, scheduler):
        rates = dict.fromkeys(("stall", "hold_drain", "hold_interrupt", "hold_message"), rate)
        drawn = await draw(ctx, scheduler, Plan(kind=ScheduleKind.RANDOM, seed=rate, **rates), 2000)
        expected = 2000 * rate / 256
        deviation = (expected * (1 - rate / 256)) ** 0.5
        for bit in range(16):
            count = sum(raw >> bit & 1 for raw in drawn)
            assert abs(count - expected) < 4 * deviation, (bit, count)

    simulators(4, testbench)


def test_neighbouring_seeds_and_cores_have_nothing_in_common(simulators):
    drawn, plans = [], [Plan(kind=ScheduleKind.RANDOM, seed=seed, stall=128) for seed in (41, 42)]

    async def testbench(ctx, scheduler):
        drawn.append(await draw(ctx, scheduler, plans[len(drawn)], 1000))

    for _ in plans:
        simulators(4, testbench)
    streams = [[raw >> core & 1 for raw in run] for run in drawn for core in range(4)]
    for index, one in enumerate(streams):
        for other in streams[:index]:
            # Half of 1000 fair coins, within four deviations.
            assert abs(sum(a == b for a, b in zip(one, other, strict=True)) - 500) < 64


def test_bounded_holds_end(simulators):
    async def testbench(ctx, scheduler):
        drawn = await draw(ctx, scheduler, Plan(kind=ScheduleKind.BOUNDED, seed=11, stall=4, delay=3), 3000)
        lengths = set()
        for core in range(4):
            runs = "".join(str(raw >> core & 1) for raw in drawn).strip("1").split("0")
            lengths |= {len(run) for run in runs if run}
        assert set(range(1, 9)) <= lengths
        # Two holds may follow each other at once, three are rare.
        assert max(lengths) <= 24

    simulators(4, testbench)


@pytest.mark.parametrize("n, spins_silently", [
    *((n, False) for n in (2, 3, 4, 8)), *((n, True) for n in (2, 3, 4)), pytest.param(8, True, marks=pytest.mark.slow),
])
def test_pct_lets_everybody_come_to_an_end(simulators, n, spins_silently):
    """Each core spins until the one behind it is done, with PAUSE or without; then it works for some clocks, and halts."""
    order = random.Random(n).sample(range(n), n)

    async def testbench(ctx, scheduler):
        ctx.set(scheduler.plan, Plan(kind=ScheduleKind.PCT, seed=n, changes=2, horizon=9).as_const())
        ctx.set(scheduler.run, 1)
        work = [40] * n
        for _ in range(scheduler.warm_up + (520 * n * n if spins_silently else 80 * n * n)):
            stall, = (await ctx.tick().sample(scheduler.schedule.stall))[2:]
            status = []
            for core in range(n):
                place = order.index(core)
                spins = place + 1 < n and work[order[place + 1]] > 0
                if not spins and work[core] and not stall >> core & 1:
                    work[core] -= 1
                status.append({"halted": int(not work[core]), "pausing": int(spins and not spins_silently)})
            ctx.set(scheduler.status, status)
            if not any(work):
                return
        raise AssertionError(f"{work} left")

    simulators(n, testbench)


# In the machine.

class Listener:
    """A sink that keeps the digest and, per clock, whether each core executes."""

    def __init__(self, config):
        self.digest = Digest(Sources(config))
        self.probes = []

    def on_clock(self, clock, records, probe):
        for index, raw in records:
            self.digest.add(clock, index, raw)
        self.probes.append(probe)


@cache
def engine_for(config):
    """The compiled engine, if there is a C compiler: what is tried here is what schedules do, whoever carries them out."""
    return EngineSpec(config).make()


@pytest.fixture(scope="module")
def pair():
    """A machine of two cores, and what it runs."""
    prepared = prepare("refill")
    return engine_for(prepared.settings.config), prepared


def run(pair, plan, replay=(), **options):
    engine, prepared = pair
    listener = Listener(engine.config)
    job = Job(prepared.contents, prepared.settings.straps, max_clocks=20_000, plan=plan, replay=replay)
    outcome = engine.run(job, sink=listener, **options)
    return outcome, listener


@pytest.mark.parametrize("kind", [None, pytest.param("pysim", marks=pytest.mark.slow)], ids=["compiled", "pysim"])
def test_the_plan_none_is_the_machine_alone(pair, kind):
    prepared = pair[1]
    engine = EngineSpec(prepared.settings.config, kind).make()
    outcome, listener = run((engine, prepared), Plan(seed=3, stall=255))
    machine = Machine(engine.config)
    digest = Digest(Sources(engine.config))
    arena = machine.shared.arena

    async def testbench(ctx):
        for tile in machine.tiles:
            for row, word in enumerate(prepared.contents.microcode):
                ctx.set(tile.microcode[row], word)
        for address, word in prepared.contents.arena.items():
            bank, row = arena.locate(address)
            ctx.set(arena.banks[bank].data[row], word)
        ctx.set(machine.straps, prepared.settings.straps.as_const())
        await ctx.tick()
        ctx.set(machine.run, 1)
        records = [item for kind in ("core", "apic", "message", "bank") for item in machine.trace[kind]]
        for clock in range(outcome.clocks):
            *_, quiet, trace = await ctx.tick().sample(machine.quiet, machine.trace.as_value())
            at = 0
            for index, record in enumerate(records):
                width = record.shape().size
                raw = trace >> at & (1 << width) - 1
                at += width
                if raw & 1:
                    digest.add(clock, index, raw)
        assert quiet

    simulator = Simulator(machine)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    assert listener.digest.value() == digest.value()
    assert outcome.ending is Ending.QUIET and outcome.flags == {}


@pytest.mark.parametrize("plan", [
    Plan(kind=ScheduleKind.RANDOM, seed=4, stall=100, hold_interrupt=200, hold_message=200),
    Plan(kind=ScheduleKind.PCT, seed=5, changes=4, horizon=10),
], ids=["random", "pct"])
def test_a_recorded_run_is_repeated(pair, plan):
    outcome, listener = run(pair, plan, record=True)
    assert outcome.ending is Ending.QUIET
    again, heard = run(pair, Plan(kind=ScheduleKind.REPLAY), replay=outcome.schedule, record=True)
    assert heard.digest.value() == listener.digest.value()
    assert again == outcome
    same, heard = run(pair, plan)
    assert heard.digest.value() == listener.digest.value()


def test_replay_holds_from_the_first_clock(pair):
    """A schedule that no generator draws: core 0 may not start, then not go on."""
    replay = ((0, 1), (40, 0), (60, 1), (100, 0))
    outcome, listener = run(pair, Plan(kind=ScheduleKind.REPLAY), replay=replay, record=True, probe=True)
    assert outcome.schedule == replay
    plain, _ = run(pair, Plan())
    assert plain.clocks < outcome.clocks <= plain.clocks + 90


def test_a_stall_keeps_the_next_word_from_starting(pair):
    engine, _ = pair
    replay = tuple((200 + 7 * step, step % 4) for step in range(100))
    _, listener = run(pair, Plan(kind=ScheduleKind.REPLAY), replay=replay, probe=True)
    layout = probe_layout(engine.config)
    goes = [[tile.core.go for tile in layout.from_bits(probe).tile] for probe in listener.probes[:900]]
    stalled = dict(replay)
    in_force = 0
    for clock, after in enumerate(goes[1:]):
        in_force = stalled.get(clock, in_force)
        assert after == [int(not in_force & 1), int(not in_force >> 1 & 1)], clock + 1


def test_another_seed_is_another_run(pair):
    plans = [Plan(kind=ScheduleKind.BOUNDED, seed=seed, stall=4, delay=5) for seed in (0, 1)]
    assert len({run(pair, plan)[1].digest.value() for plan in plans}) == 2


@pytest.mark.parametrize("seed", range(3))
def test_pct_comes_to_rest(seed):
    prepared = prepare("early-return", cores=3)
    engine = engine_for(prepared.settings.config)
    job = Job(prepared.contents, prepared.settings.straps, max_clocks=20_000,
              plan=Plan(kind=ScheduleKind.PCT, seed=seed, changes=3, horizon=11))
    outcome = engine.run(job, sink=Listener(engine.config))
    assert outcome.ending is Ending.QUIET


@pytest.mark.slow
@pytest.mark.parametrize("name", ["storm", "hotplug", "call-lock", "revisit"])
def test_pct_comes_to_rest_everywhere(name):
    prepared = prepare(name)
    engine = engine_for(prepared.settings.config)
    for seed in range(8):
        job = Job(prepared.contents, prepared.settings.straps, max_clocks=100_000,
                  plan=Plan(kind=ScheduleKind.PCT, seed=seed, changes=seed, horizon=12))
        outcome = engine.run(job, sink=Listener(engine.config))
        assert outcome.ending is Ending.QUIET, seed


def test_plans_are_checked():
    with pytest.raises(TypeError, match="kind must be a ScheduleKind, not 1"):
        Plan(kind=1)
    with pytest.raises(ValueError, match="stall must be from 0 to 255, not 256"):
        Plan(stall=256)
    with pytest.raises(TypeError, match="seed must be an integer, not True"):
        Plan(seed=True)


# Elaboration.

@pytest.mark.parametrize("config", [
    PRESETS["tiny"], MachineConfig(n_cores=1), pytest.param(MachineConfig(n_cores=3), marks=pytest.mark.slow)],
                         ids=lambda config: f"{config.n_cores} cores")
def test_rig_converts(config):
    """RTLIL refuses what the simulator does not see: combinational loops."""
    rtlil.convert(Rig(config))


@pytest.mark.slow
@pytest.mark.parametrize("config", [PRESETS["default"], PRESETS["wide"], MachineConfig(n_cores=8)],
                         ids=lambda config: f"{config.n_cores} cores")
def test_large_rigs_convert(config):
    rtlil.convert(Rig(config))


def test_an_engine_without_contents_traps():
    """Unused words are PANIC: the Monitor sees the trap on the clock on which the run ends."""
    engine = PySimEngine(PRESETS["tiny"])
    outcome = engine.run(Job(Contents((), {}), Straps(), max_clocks=100), sink=Listener(engine.config))
    assert outcome.ending is Ending.TRAP
    assert outcome.flags == {"trap": outcome.clocks - 2}
