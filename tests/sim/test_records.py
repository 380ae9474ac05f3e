"""Records: from the raw word and back, and the digest of a run."""

import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl.config import MachineConfig
from rtl.events import ApicEvent, Event
from rtl.memory.port import MemoryOp
from sim.records import ApicRecord, CommitRecord, CoreRecord, Digest, MessageRecord, Sources

CONFIGS = [
    MachineConfig(n_cores=1, arena_depth=64, microcode_depth=64),
    MachineConfig(n_cores=3, n_banks=2),
    MachineConfig(n_cores=17, xlen=32, n_banks=4, arena_depth=8192),
    MachineConfig(n_cores=64, xlen=64, arena_depth=32768),
]
PROPERTY = settings(derandomize=True, deadline=None, max_examples=150)


def bits(width):
    return st.integers(0, (1 << width) - 1)


def message(draw):
    """What a record says of a message: vector, destination, mode, logical, level, trigger, shorthand."""
    return [draw(bits(width)) for width in (8, 32, 3, 1, 1, 1, 2)]


@st.composite
def records(draw, config):
    """(what encode has to give as the source index, a record), of any source."""
    clock = draw(bits(40))
    core = draw(st.integers(0, config.n_cores - 1))
    word = bits(config.xlen)
    kind = draw(st.sampled_from([CoreRecord, ApicRecord, MessageRecord, CommitRecord]))
    n = config.n_cores
    if kind is CoreRecord:
        return core, CoreRecord(
            clock, core, draw(st.sampled_from(Event)), draw(bits(config.pc_bits)), draw(word), draw(word),
            draw(st.sampled_from([None, *MemoryOp])), draw(word), draw(word), draw(st.booleans()))
    if kind is ApicRecord:
        return n + core, ApicRecord(clock, core, draw(st.sampled_from(ApicEvent)), *message(draw))
    if kind is MessageRecord:
        source = draw(st.integers(0, n - 1))
        target = draw(st.sampled_from([None, core]))
        return 2 * n + (source if target is None else core), MessageRecord(clock, source, target, *message(draw))
    bank = draw(st.integers(0, config.n_banks - 1))
    return 3 * n + bank, CommitRecord(
        clock, bank, draw(st.sampled_from(MemoryOp)), core, draw(bits(config.address_bits)), draw(word), draw(word))


@PROPERTY
@given(st.data())
def test_encode_and_decode(data):
    """A record is the same after both, and stands at the source that the order of the digest gives it."""
    config = data.draw(st.sampled_from(CONFIGS))
    sources = Sources(config)
    expected, record = data.draw(records(config))
    index, raw = sources.encode(record)
    assert index == expected
    assert raw & 1, "valid"
    assert raw < 1 << sources.layouts[sources.kinds[index]].size
    assert sources.decode(record.clock, index, raw) == record
    assert type(sources.decode(record.clock, index, raw)) is type(record)


def test_layout():
    """Where each field is, for one config, by hand: other programs read the raw records too."""
    sources = Sources(MachineConfig(n_cores=2, xlen=16, arena_depth=512, microcode_depth=512, n_banks=2))
    assert sources.kinds == ["core"] * 2 + ["apic"] * 2 + ["message"] * 2 + ["bank"] * 2
    assert sources.numbers == [0, 1] * 4
    assert len(sources) == 8
    core = CoreRecord(9, 1, Event.QUEUE, 0x123, 0x4567, 0x89AB, MemoryOp.SWAP, 0xCDEF, 0x1357, True)
    assert sources.encode(core) == (1, 1 | 12 << 1 | 1 << 8 | 0x123 << 9 | 0x4567 << 18 | 0x89AB << 34 | 1 << 50 | 2 << 51
                                    | 0xCDEF << 54 | 0x1357 << 70)
    apic = ApicRecord(9, 0, ApicEvent.EOI, 0xFB, 0x21)
    assert sources.encode(apic) == (2, 1 | 2 << 1 | 0xFB << 4 | 0x21 << 20)
    sent = ApicRecord(9, 1, ApicEvent.SEND, 0xFB, 0x12345678, mode=5, logical=1, level=0, trigger=1, shorthand=2)
    assert sources.encode(sent) == (3, 1 | 0xFB << 4 | 5 << 12 | 1 << 15 | 0 << 16 | 1 << 17 | 2 << 18 | 0x12345678 << 20)
    delivered = MessageRecord(9, 0, 1, 0xFB, 0x21, 5)
    assert sources.encode(delivered) == (5, 1 | 1 << 1 | 0 << 2 | 0xFB << 3 | 5 << 11 | 0x21 << 19)
    lost = MessageRecord(9, 1, None, 0xFB, 0x21)
    assert sources.encode(lost) == (5, 1 | 0 << 1 | 1 << 2 | 0xFB << 3 | 0x21 << 19)
    commit = CommitRecord(9, 1, MemoryOp.OR, 1, 0x1A5, 0x4567, 0x89AB)
    assert sources.encode(commit) == (7, 1 | 6 << 1 | 1 << 4 | 0x1A5 << 5 | 0x4567 << 14 | 0x89AB << 30)


@pytest.mark.parametrize("record, field", [
    (CommitRecord(0, 0, MemoryOp.READ, 0, 64, 0, 0), "address"),
    (CoreRecord(0, 0, Event.NONE, 0, 0x10000, 0, None, 0, 0), "a"),
])
def test_what_does_not_fit_is_not_encoded(record, field):
    with pytest.raises(AssertionError, match=f"^{field} = 0x[0-9a-f]* does not fit its field"):
        Sources(CONFIGS[0]).encode(record)


# --- the digest -------------------------------------------------------------------------------------------------------


def remainder(words):
    """The MISR of some words, as a long division: it holds the sum of the words times x**(how many follow), modulo x**32 and the
    rest of CRC-32's polynomial."""
    value = 0
    for position, word in enumerate(reversed(words)):
        value ^= word << position
    for bit in range(value.bit_length() - 1, 31, -1):
        if value >> bit & 1:
            value ^= 0x104C11DB7 << bit - 32
    return value


def digest(sources, run):
    """The digest of (clock, index, raw), from what each source said in all."""
    said = [[] for _ in range(len(sources))]
    for clock, index, raw in run:
        width = sources.layouts[sources.kinds[index]].size
        said[index] += [clock & 0xFFFFFFFF, *(raw >> shift & 0xFFFFFFFF for shift in range(0, width, 32))]
    return remainder([remainder(words) for words in said])


@PROPERTY
@given(st.data())
def test_digest(data):
    config = data.draw(st.sampled_from(CONFIGS))
    sources = Sources(config)
    run = [(record.clock, *sources.encode(record)) for _, record in data.draw(st.lists(records(config), max_size=12))]
    result = Digest(sources)
    for item in run:
        result.add(*item)
    assert result.value() == digest(sources, run)


def test_digest_tells_runs_apart():
    """By clock, source, order and contents; a run of nothing is 0."""
    sources = Sources(CONFIGS[1])
    assert Digest(sources).value() == 0
    runs = [
        [(5, 0, 0x11)], [(6, 0, 0x11)], [(5, 1, 0x11)], [(5, 0, 0x13)], [(5, 0, 0x11), (6, 0, 0x13)], [(5, 0, 0x13), (6, 0, 0x11)],
        [(5, 0, 0x11), (6, 1, 0x13)], [(5, 0, 1 << 70 | 0x11)],
    ]
    values = set()
    for run in runs:
        result = Digest(sources)
        for item in run:
            result.add(*item)
        values.add(result.value())
    assert len(values) == len(runs)


@pytest.mark.slow
def test_digest_does_not_depend_on_the_hash_seed():
    program = ("from sim.engines.compiled.translation import Translations; Translations.kept = False;"
               "from sim.runs.prepare import prepare; from sim.runs.run import run; result = run(prepare('single', cores=2));"
               "print(result.ending.value, hex(result.digest), result.clocks)")
    said = {subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, check=True,
                           capture_output=True, text=True).stdout for seed in ("0", "1")}
    assert len(said) == 1
    assert said.pop().startswith("quiet 0x")
