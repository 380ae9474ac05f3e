"""Made-up runs for the tests of the waves: an image written by hand, and random probes and records."""

import enum
import random
from pathlib import Path

from amaranth.lib import data

from rtl.apic.message import message_layout
from rtl.config import MachineConfig
from rtl.core.microword import MicroWord, Op
from rtl.core.seen import CoreState
from rtl.events import ApicEvent, Event
from rtl.memory.port import MemoryOp
from rtl.probe import tile_probe_layout
from sim.microcode.image import Field, Image, Line, ObjectType, StoredObject
from sim.microcode.roles import Part
from sim.records import ApicRecord, CommitRecord, CoreRecord, MessageRecord, Sources
from sim.waves.writer import WaveWriter

CSD = ObjectType("csd", 4, (Field("list.next", 0, "csd"), Field("func", 1), Field("flags", 2), Field("mask", 3, "cpumask")),
                 (("", "csd", 0),))
CPUMASK = ObjectType("cpumask", 1, (Field("bits", 0),))
PAD = ObjectType("pad", 2, (Field("spare[0]", 0), Field("spare[1]", 1)))
WORD = ObjectType("word", 1, (Field("", 0),))


def make_image(config):
    """A small protocol that does nothing, with one object of every sort."""
    objects = [StoredObject("lock", "lock", WORD, 16), StoredObject("pool[0]", "pool", WORD, 17, index=0),
               StoredObject("pool[1]", "pool", WORD, 18, index=1), StoredObject("pad", "pad", PAD, 19)]
    base = 32
    for cpu in range(config.n_cores):
        objects.append(StoredObject(f"csd_data[{cpu}]", "csd_data", CSD, base + 8 * cpu, cpu=cpu))
        objects.append(StoredObject(f"mask[{cpu}]", "mask", CPUMASK, base + 8 * cpu + 4, cpu=cpu))
    ops = [Op.JMP, Op.JMP, Op.LD, Op.ST, Op.BNE, Op.MOV, Op.FENCE, Op.RET] * 8
    layout = MicroWord.as_shape()
    words = tuple(layout.const({"op": op}).as_bits() for op in ops)
    return Image(
        path=Path("/somewhere/made-up.uasm"), title="made up: $end of nothing", n_cores=config.n_cores, xlen=config.xlen,
        words=words,
        symbols={"reset": 0, "interrupt": 1, "smp_call_function_many": 2, "csd_lock": 20, "csd_unlock": 40},
        entries=frozenset({"csd_lock", "smp_call_function_many"}), arena={16: 1, 34: 2}, objects=tuple(objects),
        constants={"CSD_FLAG_WAIT": 1, "CSD_FLAG_LOCK": 2, "NR_CPUS": config.n_cores}, structs={"csd": CSD, "cpumask": CPUMASK},
        roles={"csd": (Part("csd"),), "csd.flags": (Part("csd", "flags"),), "flag.wait": (Part("CSD_FLAG_WAIT", value=1),),
               "flag.lock": (Part("CSD_FLAG_LOCK", value=2),)},
        warnings={1: ("csd_unlock_not_locked", "not locked")}, names={"csd_lock_mb": (22,)},
        lines={pc: Line("/somewhere/made-up.uasm", pc + 10, f"    {op.name.lower()} t0 ; {pc}", (("/somewhere/lib.uasm", 3),))
               for pc, op in enumerate(ops)},
        percpu_base=base, percpu_shift=3, heap=base + 8 * config.n_cores,
    )


def _pack(layout, value):
    """As ``layout.const(value).as_bits()``, thirty times faster."""
    raw = 0
    for name, field in layout:
        item = value[name]
        if isinstance(field.shape, data.Layout):
            item = _pack(field.shape, item)
        elif isinstance(item, enum.Enum):
            item = item.value
        raw |= item << field.offset
    return raw


class Run:
    """A random run: ``clocks`` is a list of (clock, [(index, raw)], probe), ``records`` the same records, typed."""

    def __init__(self, config, n_clocks, seed=0):
        self.config = config
        self.image = make_image(config)
        self.clocks = []
        self.records = []
        self.words = dict(self.image.arena)
        chance = random.Random(seed)
        sources = Sources(config)
        layout = tile_probe_layout(config)
        tiles = [self._tile(chance) for _ in range(config.n_cores)]
        for clock in range(n_clocks):
            records = self._records(chance, clock)
            raw = sorted(sources.encode(record) for record in records)
            self.records += [sources.decode(clock, index, value) for index, value in raw]
            probe = 0
            for number, tile in enumerate(tiles):
                probe |= _pack(layout, tile) << number * layout.size
            self.clocks.append((clock, raw, probe))
            for number, tile in enumerate(tiles):
                self._step(chance, tile, clock, number)

    def _tile(self, chance):
        return {
            "core": {"state": CoreState.RUN, "go": 1, "pc": 0, "interrupts_on": 1, "depth": 0, "registers": [0] * 8},
            "stores": 0, "memory_valid": 0, "memory_done": 0,
            "memory": {"op": MemoryOp.READ, "address": 0, "data": 0, "compare": 0},
            "irr": 0, "isr": 0, "tpr": 0, "interrupt": 0, "vector": 0, "icr_busy": 0,
            "icr": dict.fromkeys(message_layout.members, 0),
        }

    def _step(self, chance, tile, clock, number):
        """The pc changes in every clock, a register in every other, a memory operation is under way one time in four."""
        core = tile["core"]
        taken = chance.random() < 0.2 or core["pc"] == 63
        core["pc"] = 7 * core["pc"] % 64 if taken else core["pc"] + 1
        if (clock + number) % 2:
            core["registers"][chance.randrange(8)] = chance.getrandbits(self.config.xlen)
        if chance.random() < 0.25:
            core["state"] = chance.choice([CoreState.RUN, CoreState.MEMORY])
            tile["stores"] = chance.randint(0, self.config.store_buffer_depth)
            tile["memory_valid"] = int(core["state"] is CoreState.MEMORY)
            tile["memory"] = {"op": chance.choice(list(MemoryOp)), "address": self._address(chance),
                              "data": chance.getrandbits(self.config.xlen), "compare": 0}
        if chance.random() < 0.02:
            tile["irr"] = chance.getrandbits(self.config.n_vectors)
            tile["interrupt"] ^= 1
            tile["vector"] = chance.randrange(256)
            tile["icr_busy"] ^= 1
            tile["icr"] = {"vector": chance.randrange(256), "mode": chance.choice([0, 4]), "logical": 0, "level": 1, "trigger": 0,
                           "shorthand": chance.randrange(4), "destination": chance.randrange(4)}
            core["depth"] = chance.randrange(3)
            core["interrupts_on"] ^= 1

    def _address(self, chance):
        return chance.randrange(16, self.image.heap + 8)

    def _records(self, chance, clock):
        config = self.config
        for core in range(config.n_cores):
            draw = chance.random()
            word = chance.getrandbits(config.xlen)
            if draw < 0.15:
                yield CoreRecord(clock, core, chance.choice(list(Event)[1:]), chance.randrange(64), word, core, None, 0, 0)
            elif draw < 0.3:
                event = chance.choice([Event.NONE, Event.LOCK_TRY, Event.CSD_LOCK])
                yield CoreRecord(clock, core, event, chance.randrange(64), word, core, chance.choice(list(MemoryOp)),
                                 self._address(chance), word)
            if draw > 0.98:
                yield ApicRecord(clock, core, chance.choice(list(ApicEvent)), chance.randrange(256), chance.randrange(256))
            if draw < 0.02:
                lost = chance.random() < 0.1
                yield MessageRecord(clock, core if lost else chance.randrange(config.n_cores), None if lost else core,
                                    chance.randrange(256), chance.randrange(256), chance.choice([0, 4, 5]))
        for bank in range(config.n_banks):
            if chance.random() < 0.7:
                address = self._address(chance) // config.n_banks * config.n_banks + bank
                old = self.words.get(address, 0)
                new = chance.choice([old, 0, 1, 2, 3, 32, 36, chance.getrandbits(config.xlen)])
                self.words[address] = new
                yield CommitRecord(clock, bank, chance.choice(list(MemoryOp)), chance.randrange(config.n_cores), address, old, new)


def config_for(n_cores, **options):
    return MachineConfig(**options).with_cores(n_cores)


#: Stages as a call tracker might name them.
STAGES = ("none", "queue", "ipi", "gotipi", "function entry", "woken")


def write(run, target, *, start=0):
    """The waves of a run, with annotations and one violation in its middle; the closed writer."""
    length = len(run.clocks)
    with WaveWriter(target, run.config, run.image, stages=STAGES, start=start, meta={"seed": 1}, comment="made up") as waves:
        for clock, records, probe in run.clocks:
            waves.on_clock(clock, records, probe if clock >= start else None)
            busy = length < 4 * clock < 3 * length
            for core in range(run.config.n_cores) if clock % 7 == 3 else ():
                if busy:
                    waves.annotate(clock, core, f"{core}.{clock // 60}", (clock + core) % len(STAGES))
                else:
                    waves.annotate(clock, core, None, 0)
            if clock == length // 2:
                waves.violation(clock, "csd_unlock() of a csd that is not locked")
        waves.close(length)
    return waves
