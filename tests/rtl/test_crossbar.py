"""Every message reaches whom it names (Intel SDM volume 3, "Determining IPI Destination"), and nobody else."""

import random

import pytest

from rtl import shared
from rtl.apic.crossbar import Crossbar
from rtl.apic.message import BROADCAST, DeliveryMode, Shorthand
from rtl.config import FABRICS, MachineConfig

FIELDS = ("vector", "mode", "logical", "level", "trigger", "shorthand", "destination")


def draw_message(rng, n, several):
    """Fields by name. several : also messages to several cores."""
    message = dict.fromkeys(FIELDS, 0) | {"vector": rng.randrange(256), "mode": rng.choice(list(DeliveryMode)),
                                          "shorthand": Shorthand.NONE, "level": rng.randrange(2), "trigger": rng.randrange(2),
                                          "destination": rng.choice([0, rng.randrange(n + 1), 255, BROADCAST - 1])}
    if several:
        kind = rng.choice(["one", "shorthand", "broadcast", "logical"])
        if kind == "shorthand":
            # Neither the destination nor its mode count.
            message |= {"shorthand": rng.choice(list(Shorthand)[1:]), "logical": rng.randrange(2),
                        "destination": rng.getrandbits(32)}
        elif kind == "broadcast":
            message["destination"] = BROADCAST
        elif kind == "logical":
            message |= {"logical": 1, "destination": rng.choice([0, 0, 1, 0xFFFF]) << 16 | rng.getrandbits(16)}
    return message


def named(message, source, n):
    """The model: the cores that a message names, from what the SDM says in words."""
    if message["shorthand"] == Shorthand.SELF:
        return {source}
    if message["shorthand"] == Shorthand.ALL or message["shorthand"] == Shorthand.NONE and not message["logical"] and (
            message["destination"] == BROADCAST):
        return set(range(n))
    if message["shorthand"] == Shorthand.OTHERS:
        return set(range(n)) - {source}
    if message["logical"]:
        # The logical id of an x2APIC: cluster id >> 4, and one bit of sixteen.
        logical = {core: (core // 16, 1 << core % 16) for core in range(n)}
        return {core for core, (cluster, bit) in logical.items()
                if cluster == message["destination"] >> 16 and message["destination"] & bit}
    return {core for core in range(n) if core == message["destination"]}


def may_name_several(message):
    if message["shorthand"] == Shorthand.NONE:
        return message["logical"] or message["destination"] == BROADCAST
    return message["shorthand"] != Shorthand.SELF


class Journey:
    """A message under way. left : whom it has not reached."""

    def __init__(self, message, source, clock, n):
        self.message, self.source, self.since = message, source, clock
        self.named = named(message, source, n)
        self.left = set(self.named)

    def deliverable(self, clock, latency, held, n):
        """The targets that it could be delivered to in this clock."""
        if clock < self.since + latency:
            return set()
        if may_name_several(self.message):
            return {target for target in self.left if not held >> (self.source + target) % n & 1}
        return set() if held >> self.source & 1 else set(self.left)


@pytest.mark.parametrize("n", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 4)), 3, 8])
@pytest.mark.parametrize("latency", [0, pytest.param(1, marks=pytest.mark.slow), 8])
@pytest.mark.parametrize("schedule", ["free", "held"])
@pytest.mark.parametrize("several", [False, True], ids=["one", "several"])
def test_random_messages(n, latency, schedule, several, simulate, convert):
    """No lost, no false, no early, no double and no unfair delivery; nobody waits for another target's messages."""
    config = MachineConfig(n_cores=n)
    dut = Crossbar(config)
    seed = 100 * n + 10 * latency + len(schedule) + several
    rng = random.Random(seed)
    samples = [*(signal for target in dut.targets for signal in (target.valid, target.message)),
               *(source.done for source in dut.sources), dut.records]

    def fields(message):
        return {name: getattr(message, name) for name in FIELDS}

    async def testbench(ctx):
        ctx.set(dut.latency, latency)
        journeys = [None] * n
        passed_over = {}
        held = reached = over = 0
        for clock in range(250):
            for i, source in enumerate(dut.sources):
                if journeys[i] is None and rng.random() < 0.5:
                    journeys[i] = Journey(draw_message(rng, n, several), i, clock, n)
                    ctx.set(source.message, journeys[i].message)
                ctx.set(source.valid, journeys[i] is not None)
            ready = {i: journey.deliverable(clock, latency, held, n) for i, journey in enumerate(journeys) if journey}
            nobody = {i for i, journey in enumerate(journeys)
                      if journey and not journey.named and clock >= journey.since + latency and not held >> i & 1}
            held = rng.getrandbits(n) if schedule == "held" else 0
            ctx.set(dut.hold, held)
            _, _, *values, records = await ctx.tick().sample(*samples)
            where = f"seed {seed}, clock {clock}"
            done = values[2 * n:]
            for t, record in enumerate(records):
                waiting = {i for i, targets in ready.items() if t in targets}
                valid, message = values[2 * t:2 * t + 2]
                assert valid == bool(waiting), where
                if valid:
                    # Who delivers is told by the record, and has to be one of those that wait.
                    winner = record.source
                    assert (record.valid, record.accepted) == (1, 1) and winner in waiting, where
                    assert fields(message) == fields(record) == journeys[winner].message, where
                    journeys[winner].left.discard(t)
                    reached += 1
                    for i in waiting:
                        passed_over[i, t] = 0 if i == winner else passed_over.get((i, t), 0) + 1
                        assert passed_over[i, t] < n, where
                else:
                    assert record.valid == (t in nobody), where
                    assert not record.valid or (record.accepted, record.source) == (0, t), where
                    assert not record.valid or fields(record) == journeys[t].message, where
            for i, journey in enumerate(journeys):
                ends = bool(journey) and not journey.left and (bool(journey.named) or i in nobody and not values[2 * i])
                assert done[i] == ends, where
                if ends:
                    journeys[i], over = None, over + 1
        assert over > 10 and reached > 5, where

    simulate(dut, testbench)
    if latency == 0 and schedule == "free":
        convert(Crossbar(config))


def test_each_cluster_has_sixteen_members(simulate):
    """Logical destinations in a machine of more than one cluster."""
    n = 33
    dut = Crossbar(MachineConfig(n_cores=n, xlen=64))
    cases = [(0x0000_8001, {0, 15}), (0x0001_8001, {16, 31}), (0x0002_FFFF, {32}), (0x0003_FFFF, set()), (0x0001_0000, set())]

    async def testbench(ctx):
        source = dut.sources[5]
        for destination, expected in cases:
            ctx.set(source.message, {"vector": 0x40, "logical": 1, "destination": destination})
            ctx.set(source.valid, 1)
            _, _, done, *valid = await ctx.tick().sample(source.done, *(target.valid for target in dut.targets))
            assert {core for core in range(n) if valid[core]} == expected, hex(destination)
            assert done
            ctx.set(source.valid, 0)
            await ctx.tick()

    simulate(dut, testbench)


def test_every_fabric_has_a_component():
    assert tuple(shared.FABRICS) == FABRICS
    with pytest.raises(ValueError, match="^fabric must be one of crossbar, not 'ring'$"):
        MachineConfig(fabric="ring")
