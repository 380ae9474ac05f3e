import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from vcdvcd import VCDVCD

from rtl.events import ApicEvent, Event
from rtl.memory.port import MemoryOp
from rtl.probe import tile_probe_layout
from sim.errors import InputError
from sim.records import ApicRecord, CommitRecord, CoreRecord, MessageRecord, Sources
from sim.waves.writer import CLOCK_NS, WaveWriter

from .waves_samples import Run, config_for, make_image, write

ROOT = Path(__file__).parents[2]


def texts_at(path):
    """full name -> {time: text} of the signals that vcdvcd does not see."""
    names, values, time = {}, {}, 0
    scope = []
    for line in path.read_text().splitlines():
        word = line.split(" ")
        if word[0] == "$scope":
            scope.append(word[2])
        elif word[0] == "$upscope":
            scope.pop()
        elif word[:2] == ["$var", "string"]:
            names.setdefault(word[3], []).append(".".join((*scope, word[4])))
        elif line.startswith("#"):
            time = int(line[1:])
        elif line.startswith("s"):
            for name in names[word[1]]:
                values.setdefault(name, {})[time] = word[0][1:].replace("\\x20", " ").replace("\\\\", "\\")
    return values


def one(config, records):
    """The waves of single records, one list a clock, as vcdvcd sees them."""
    sources = Sources(config)
    target = io.BytesIO()
    writer = WaveWriter(target, config, make_image(config))
    for clock, items in enumerate(records):
        writer.on_clock(clock, sorted(sources.encode(item) for item in items), 0)
    writer.close(len(records))
    return VCDVCD(vcd_string=target.getvalue().decode())


@pytest.fixture
def run():
    return Run(config_for(3), 120)


@pytest.mark.parametrize("n_cores", [1, 2, 3, 4, 8])
def test_every_text_has_a_number(tmp_path, n_cores):
    writer = write(Run(config_for(n_cores), 40), tmp_path / "run.vcd")
    twins = {"line": "pc", "label": "pc", "routine": "pc", "source": "pc", "name": "address", "memory_name": "memory_address"}
    vcd = VCDVCD(str(tmp_path / "run.vcd"))
    for name, width in writer.signals.items():
        if width == 0:
            scope, _, last = name.rpartition(".")
            twin = twins.get(last) or last.removesuffix("->").removesuffix("_text")
            assert writer.signals[f"{scope}.{twin}"] > 0
            assert vcd[f"{scope}.{twin}"].tv, f"vcdvcd must see {scope}.{twin}"


def test_signals_are_those_of_the_file(tmp_path, run):
    writer = write(run, tmp_path / "run.vcd")
    assert sorted(VCDVCD(str(tmp_path / "run.vcd")).references_to_ids) == sorted(writer.signals)


def test_without_a_store_buffer_none_is_shown(tmp_path):
    writer = write(Run(config_for(2, store_buffer_depth=0), 40), tmp_path / "run.vcd")
    assert not [name for name in writer.signals if name.endswith("stores")]


def test_probe_is_shown_clock_by_clock(tmp_path, run):
    write(run, tmp_path / "run.vcd")
    vcd = VCDVCD(str(tmp_path / "run.vcd"))
    texts = texts_at(tmp_path / "run.vcd")
    layout = tile_probe_layout(run.config)
    label = None
    for clock, _, probe in run.clocks:
        for core in range(run.config.n_cores):
            tile = layout.from_bits(probe >> core * layout.size & (1 << layout.size) - 1)

            def shown(name, core=core, clock=clock):
                return int(vcd[name.format(core)][clock * CLOCK_NS], 2)

            assert shown("core{}.pc") == tile.core.pc
            assert shown("core{}.state") == tile.core.state.value
            assert shown("core{}.depth") == tile.core.depth
            assert [shown(f"core{{}}.r{number}") for number in range(8)] == list(tile.core.registers)
            assert shown("core{}.port.address") == tile.memory.address
            assert shown("core{}.port.stores") == tile.stores
            assert shown("apic{}.irr") == tile.irr
            assert shown("fabric.core{}.busy") == shown("apic{}.icr_busy") == tile.icr_busy
            assert shown("fabric.core{}.vector") == tile.icr.vector
        label = texts["core0.label"].get(clock * CLOCK_NS, label)
        assert label == run.image.label(int(vcd["core0.pc"][clock * CLOCK_NS], 2))


def test_equal_events_in_successive_clocks_stay_apart():
    config = config_for(2)
    event = CoreRecord(0, 1, Event.LOCK_TRY, 7, 1, 2, MemoryOp.SWAP, 16, 1)
    commit = CommitRecord(0, 0, MemoryOp.SWAP, 1, 16, 1, 1)
    message = MessageRecord(0, 0, 1, 0xFB, 1)
    vcd = one(config, [[event, commit], [event, commit, message], [message], [event]])
    assert vcd["core1.count"].tv == [(0, "1"), (10, "10"), (30, "11")]
    assert vcd["core1.memory_count"].tv == [(0, "1"), (10, "10"), (30, "11")]
    assert vcd["core1.event"].tv == [(0, f"{Event.LOCK_TRY.value:b}")]
    assert vcd["bank0.count"].tv == [(0, "1"), (10, "10")]
    assert vcd["fabric.core1.delivered"].tv == [(0, "0"), (10, "1"), (20, "10")]


def test_arena_shows_names_pointers_and_flags(tmp_path):
    """csd_data[0] is at 32, its flags at 34 (LOCK at the start), its mask pointer at 35; mask[1] is at 44."""
    config = config_for(2)
    target = tmp_path / "run.vcd"
    sources = Sources(config)

    def commit(address, old, new):
        return [sources.encode(CommitRecord(0, 0, MemoryOp.WRITE, 0, address, old, new))]

    with WaveWriter(target, config, make_image(config), arena={44: 6, 40: 32}) as writer:
        writer.on_clock(0, [], 0)
        writer.on_clock(1, commit(34, 2, 7), 0)
        writer.on_clock(2, commit(35, 0, 44), 0)
        writer.on_clock(3, commit(44, 6, 4), 0)
        writer.on_clock(4, commit(32, 0, 99), 0)
        writer.on_clock(5, commit(35, 44, 36), 0)
        writer.on_clock(6, commit(44, 4, 5), 0)
        writer.on_clock(7, commit(18, 0, 5), 0)
        writer.close(8)
    texts, vcd = texts_at(target), VCDVCD(str(target))
    assert vcd["arena.csd_data[0].flags"].tv == [(0, "10"), (10, "111")]
    assert texts["arena.csd_data[0].flags_text"] == {0: "LOCK", 10: "WAIT|LOCK|0x4"}
    assert texts["arena.csd_data[0].mask->"] == {0: "NULL", 20: "mask[1]=0x6", 30: "mask[1]=0x4", 50: "mask[0]=0x0"}
    assert texts["arena.csd_data[1].list.next->"] == {0: "csd_data[0]"}
    assert texts["arena.csd_data[0].list.next->"] == {0: "NULL", 40: "0x63"}
    assert texts["bank0.name"] == {0: "", 10: "csd_data[0].flags", 20: "csd_data[0].mask", 30: "mask[1].bits",
                                   40: "csd_data[0].list.next", 50: "csd_data[0].mask", 60: "mask[1].bits", 70: "pool[1]"}
    assert vcd["arena.\\pool[1]"].tv == [(0, "0"), (70, "101")]
    assert vcd["arena.pad.\\spare[1]"].tv == [(0, "0")]


def test_annotations_and_messages_of_a_call(tmp_path):
    config = config_for(2)
    sources = Sources(config)
    send = sources.encode(ApicRecord(0, 0, ApicEvent.SEND, 0xFB, 1))
    end = sources.encode(MessageRecord(0, 0, 1, 0xFB, 1))
    target = tmp_path / "run.vcd"
    with WaveWriter(target, config, make_image(config), stages=("none", "queue", "ipi sent")) as writer:
        writer.on_clock(0, [], 0)
        writer.annotate(1, 0, "0.0", 1)
        writer.on_clock(1, [], 0)
        writer.on_clock(2, [send], 0)
        writer.annotate(2, 0, "0.0", 2)
        writer.on_clock(5, [end], 0)
        writer.annotate(6, 0, None, 0)
        writer.annotate(7, 1, "1.0", 1)
        writer.violation(7, "one")
        writer.violation(7, "two → three")
        writer.close(9)
    texts, vcd = texts_at(target), VCDVCD(str(target))
    assert texts["core0.stage_text"] == {0: "", 10: "queue", 20: "ipi sent", 60: ""}
    assert texts["core0.call_text"] == {0: "", 10: "0.0", 60: ""}
    assert texts["fabric.core0.call_text"] == {0: "", 20: "0.0", 50: ""}
    assert vcd["core1.call"].tv == [(0, "0"), (70, "10")]
    assert texts["calls.violation_text"] == {0: "", 70: "one; two ? three"}
    assert vcd["calls.violation"].tv == [(0, "0"), (70, "10")]
    assert (writer.first_call, writer.first_violation) == ((1, 6), 7)


@pytest.mark.parametrize("start", [1, 37, 119])
def test_window_starts_with_the_state_of_its_first_clock(tmp_path, run, start):
    writer = write(run, tmp_path / "all.vcd")
    write(run, tmp_path / "window.vcd", start=start)
    whole, window = VCDVCD(str(tmp_path / "all.vcd")), VCDVCD(str(tmp_path / "window.vcd"))
    assert window.begintime == start * CLOCK_NS
    counts = ("count", "memory_count", "delivered", "vanished")     # of what is in the file
    for name, width in writer.signals.items():
        if width and name.rpartition(".")[2] not in counts:
            for clock in range(start, 120):
                time = clock * CLOCK_NS
                assert window[name][time] == whole[name][time], f"{name} at clock {clock}"
    whole, window = texts_at(tmp_path / "all.vcd"), texts_at(tmp_path / "window.vcd")
    for name, changes in whole.items():
        before = [text for time, text in changes.items() if time <= start * CLOCK_NS]
        assert window[name][start * CLOCK_NS] == before[-1], name


def test_bytes_depend_on_nothing_else(tmp_path):
    script = """
import hashlib, sys
from sim.waves.gtkw import write_gtkw
from tests.sim.waves_samples import Run, config_for, write
waves = write(Run(config_for(3), 100), sys.argv[1])
path = write_gtkw(waves)
files = [waves.path, path, *sorted(path.with_suffix(".filters").iterdir())]
print(hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest())
"""
    digests = set()
    for seed in ("0", "1", "77"):
        (tmp_path / seed).mkdir()
        done = subprocess.run([sys.executable, "-c", script, str(tmp_path / seed / "run.vcd")], cwd=ROOT, check=True, text=True,
                              capture_output=True, env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)})
        digests.add(done.stdout)
    assert len(digests) == 1


def test_file_and_stream_get_the_same_bytes(tmp_path, run):
    stream = io.BytesIO()
    write(run, stream)
    write(run, tmp_path / "run.vcd")
    assert (tmp_path / "run.vcd").read_bytes() == stream.getvalue()


@pytest.mark.parametrize("had", [None, b"what was there"])
def test_nothing_is_left_behind_or_written_over(tmp_path, run, had):
    target = tmp_path / "run.vcd"
    if had:
        target.write_bytes(had)

    def content():
        return {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    before = content()
    with pytest.raises(KeyboardInterrupt), WaveWriter(target, run.config, run.image) as writer:
        writer.on_clock(*run.clocks[0])
        raise KeyboardInterrupt
    assert content() == before
    with WaveWriter(target, run.config, run.image) as writer:
        writer.on_clock(*run.clocks[0])
    assert content() == before
    with pytest.raises(TypeError), WaveWriter(target, run.config, run.image, meta=object()):
        pass
    assert content() == before
    with pytest.raises(InputError) as refusal, WaveWriter(target, run.config, run.image, start=50) as writer:
        writer.on_clock(*run.clocks[0])
        writer.close(40)
    assert str(refusal.value) == "the waves start at clock 50, but the run ended after 40 clocks"
    assert content() == before
    write(run, target)
    assert set(content()) == {"run.vcd"}


def test_folder_that_is_not_there(tmp_path, run):
    with pytest.raises(InputError) as refusal:
        WaveWriter(tmp_path / "no" / "run.vcd", run.config, run.image)
    assert str(refusal.value) == f"{tmp_path / 'no' / 'run.vcd'}: cannot be written: No such file or directory"


def test_clocks_do_not_run_backwards(run):
    writer = WaveWriter(io.BytesIO(), run.config, run.image)
    writer.on_clock(*run.clocks[4])
    with pytest.raises(ValueError, match="clock 3 comes after clock 4"):
        writer.on_clock(*run.clocks[3])


@pytest.mark.slow
@pytest.mark.parametrize("n_cores", [4, 32])
def test_cost(n_cores, record_property, capsys):
    """Prints what a clock costs. Waves may cost a fifth of PySim's time: 40 us at 4 cores, 300 us at 32."""
    run = Run(config_for(n_cores), 1500 if n_cores > 8 else 5000)
    stream = io.BytesIO()
    begin = time.perf_counter()
    write(run, stream)
    cost = (time.perf_counter() - begin) / len(run.clocks)
    record_property("us_per_clock", cost * 1e6)
    with capsys.disabled():
        size = len(stream.getvalue()) / len(run.clocks)
        print(f"\nwaves of {n_cores} cores: {cost * 1e6:.0f} us and {size:.0f} bytes a clock, "
              f"{len(run.records) / len(run.clocks):.1f} records in it")
