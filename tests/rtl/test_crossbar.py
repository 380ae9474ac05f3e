import random

import pytest

from rtl.apic.crossbar import Crossbar
from rtl.apic.message import DeliveryMode
from rtl.config import MachineConfig

MODES = [mode.value for mode in DeliveryMode]


@pytest.mark.parametrize("n", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 4)), 3, 8])
@pytest.mark.parametrize("latency", [0, 1, 8])
@pytest.mark.parametrize("schedule", ["free", "held"])
def test_random_messages(n, latency, schedule, simulate, convert):
    """No lost, no false, no early and no unfair delivery; nobody waits for another target's messages."""
    config = MachineConfig(n_cores=n)
    dut = Crossbar(config)
    seed = 100 * n + 10 * latency + len(schedule)
    rng = random.Random(seed)
    samples = [*(signal for target in dut.targets for signal in (target.valid, target.message)),
               *(signal for source in dut.sources for signal in (source.done, source.accepted)), dut.records]

    async def bench(ctx):
        ctx.set(dut.latency, latency)
        sent = [None] * n             # (clock in which valid rose, (vector, mode, destination))
        passed_over = [0] * n
        held = 0
        for clock in range(300):
            for i, source in enumerate(dut.sources):
                if sent[i] is None and rng.random() < 0.5:
                    destination = rng.choice([0, rng.randrange(n + 1), 255])
                    sent[i] = clock, (rng.randrange(256), rng.choice(MODES), destination)
                    ctx.set(source.message, dict(zip(("vector", "mode", "destination"), sent[i][1], strict=True)))
                ctx.set(source.valid, sent[i] is not None)
            ready = [i for i in range(n) if sent[i] and sent[i][0] + latency <= clock and not held >> i & 1]
            held = rng.getrandbits(n) if schedule == "held" else 0
            ctx.set(dut.hold, held)
            _, _, *values, records = await ctx.tick().sample(*samples)

            where = f"seed {seed}, clock {clock}"
            done, accepted = values[2 * n::2], values[2 * n + 1::2]
            for t in range(n):
                waiting = [i for i in ready if sent[i][1][2] == t]
                winners = [i for i in waiting if done[i]]
                valid, message = values[2 * t:2 * t + 2]
                assert valid == bool(waiting) and len(winners) == valid, where
                carried = message.vector, message.mode.value, message.destination
                assert all(accepted[i] and sent[i][1] == carried for i in winners), where
            for i, record in enumerate(records):
                absent = i in ready and sent[i][1][2] >= n
                assert done[i] <= (i in ready) and done[i] >= absent, where
                assert accepted[i] == (done[i] and not absent), where
                assert (record.valid, record.accepted) == (done[i], accepted[i]), where
                assert not record.valid or (record.vector, record.mode, record.destination) == sent[i][1], where
                passed_over[i] = passed_over[i] + 1 if i in ready and not done[i] else 0
            assert max(passed_over) < n, where
            sent = [None if d else s for s, d in zip(sent, done, strict=True)]

    simulate(dut, bench)
    convert(Crossbar(config))
