"""The compiled engine in lockstep with PySim, its cache, and what is said where there is no compiler."""

import json
import multiprocessing
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from rtl.config import MachineConfig, Straps
from rtl.memory.bank import Bank
from rtl.schedule import ScheduleKind
from sim.engines.compiled import CompiledEngine
from sim.engines.compiled.toolchain import cache_folder, load
from sim.engines.compiled.translation import Translations
from sim.engines.engine import Ending, Job
from sim.errors import MissingToolError
from sim.runs.plan import Plan
from sim.runs.prepare import prepare
from sim.runs.run import _run
from sim.scenarios.reader import shipped_scenarios

from .lockstep import FORMS, Told, assert_same, engine, prepare_or_skip, told

PLANS = [
    Plan(),
    Plan(kind=ScheduleKind.RANDOM, seed=7, stall=60, hold_drain=40, hold_interrupt=30, hold_message=50),
    Plan(kind=ScheduleKind.PCT, seed=11, changes=3, horizon=10),
    Plan(kind=ScheduleKind.BOUNDED, seed=13, stall=40, hold_message=40, delay=5),
]
#: Each latency at both ends of what it can be, and in between.
STRAPS = [
    Straps(fabric_latency=0, arena_latency=0, interrupt_entry=0, interrupt_return=0),
    Straps(fabric_latency=1, arena_latency=3, interrupt_entry=8, interrupt_return=0, memory_model=1),
    Straps(fabric_latency=8, arena_latency=0, interrupt_entry=0, interrupt_return=8, memory_model=2, x2apic=1),
    Straps(fabric_latency=200, arena_latency=3, interrupt_entry=8, interrupt_return=8),
]


# --- lockstep -------------------------------------------------------------------------------------------------------


#: It uses most of what the hardware has: locks, hotplug, masks. (Sizes and schedules below use "storm".)
DIVERSE = {"hotplug"}


@pytest.mark.parametrize("scenario", [pytest.param(name, marks=() if name in DIVERSE else pytest.mark.slow)
                                      for name in shipped_scenarios()])
def test_shipped_scenarios(scenario):
    """The boot, which takes some 500 clocks and is much the same in all, and the first calls; in the slow tests below more of them,
    and at every size."""
    assert_same(scenario, max_clocks=1200)


@pytest.mark.parametrize("cores, plan", [
    pytest.param(cores, plan, marks=() if cores < 8 and plan is PLANS[cores == 2] else pytest.mark.slow,
                 id=f"{plan.kind.name}-{cores}")
    for cores in (1, 2, 3, 8) for plan in PLANS[:2]])
def test_core_counts_and_schedules(cores, plan):
    assert_same("storm", cores=cores, seed=cores, max_clocks=2400 // cores, plan=plan, record=True, patience=300)


@pytest.mark.parametrize("settings, numbers", [
    ((), range(4)), pytest.param(("n_banks=2",), (1, 2), marks=pytest.mark.slow),
    pytest.param(("n_banks=4", "n_vectors=256"), (0, 1), marks=pytest.mark.slow),
    pytest.param(("xlen=32",), (2, 3), marks=pytest.mark.slow),
    pytest.param(("xlen=64", "store_buffer_depth=0"), (1, 2), marks=pytest.mark.slow),
    pytest.param(("pso=0", "x2apic_mode=0", "task_priority=0", "error_status=0", "register_reads=0", "delay_bits=4"), (1, 2),
                 marks=pytest.mark.slow),
], ids=str)
def test_structures_and_straps(settings, numbers):
    for number in numbers:
        assert_same("storm", cores=2, seed=number, settings=settings, straps=STRAPS[number], plan=PLANS[number], max_clocks=500)


def test_vectors_of_other_widths():
    prepared = prepare("storm", cores=3)
    job = Job(prepared.contents, prepared.settings.straps, max_clocks=800, plan=PLANS[1])
    expected = told("pysim", prepared, max_clocks=800, plan=PLANS[1], probe=True)
    for lanes in (8, 16):
        sink = Told()
        outcome = CompiledEngine(prepared.settings.config, lanes=lanes).run(job, sink=sink, probe=True)
        assert (sink.clocks, outcome) == expected


def test_to_the_end():
    assert assert_same("single").ending is Ending.QUIET


@pytest.mark.parametrize("name", [*FORMS, "pysim"])
def test_a_run_that_nobody_looks_at(name):
    prepared = prepare("early-return")
    _, expected = told(name, prepared)
    outcome = engine(name, prepared.settings.config).run(
        Job(prepared.contents, prepared.settings.straps, max_clocks=100_000))
    assert outcome == expected and outcome.flags


def test_a_sink_that_stops():
    outcome = assert_same("single", until=300, plan=PLANS[1], record=True)
    assert outcome.ending is Ending.STOPPED
    assert 300 < outcome.clocks < 400


@pytest.mark.parametrize("probe", [True, range(40, 90), range(250, 10_000), range(1)], ids=str)
def test_probe(probe):
    assert_same("single", probe=probe, max_clocks=400)


def test_a_recorded_schedule_is_replayed():
    prepared = prepare("storm", cores=3)
    first, outcome = told("compiled", prepared, plan=PLANS[1], record=True, max_clocks=1500)
    for name in (*FORMS, "pysim"):
        again, other = told(name, prepared, plan=Plan(kind=ScheduleKind.REPLAY), replay=outcome.schedule, record=True,
                            max_clocks=1500)
        assert (again, other) == (first, outcome)


def test_buffers_that_fill_up(monkeypatch):
    prepared = prepare("storm", cores=2)
    whole = told("compiled", prepared, max_clocks=1000, probe=True)
    native = engine("compiled", prepared.settings.config)
    room = len(native._limbs) + sum(native._limbs)
    start = native.start

    def narrow(*arguments):
        control = start(*arguments)
        control.room, control.probe_room = room, 3 * native._probe_limbs
        return control

    monkeypatch.setattr(native, "start", narrow)
    assert told("compiled", prepared, max_clocks=1000, probe=True) == whole


@pytest.mark.slow
@pytest.mark.parametrize("cores", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("scenario", shipped_scenarios())
def test_every_shipped_scenario_at_every_size(scenario, cores):
    prepare_or_skip(scenario, cores)
    for number, straps in enumerate(STRAPS):
        assert_same(scenario, cores=cores, seed=number, straps=straps, plan=PLANS[number], max_clocks=8000, record=True)


@pytest.mark.slow
@pytest.mark.parametrize("cores", [16, 32, 64])
def test_many_cores(cores):
    assert_same("storm", cores=cores, plan=PLANS[1], record=True, max_clocks=20_000 // cores)


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window, clocks", [
    ("333:777", 900),
    *(pytest.param(*case, marks=pytest.mark.slow) for case in (("auto", 100_000), ("0:40", 100), ("700:", 900)))])
def test_waves_are_those_of_pysim_to_the_byte(crosscall, tmp_path, window, clocks):
    results = {}
    for name in ("pysim", "compiled"):
        code, out, err = crosscall("run", "single", "--engine", name, "--window", window, "--json", "--seed", 3,
                                   "--max-clocks", clocks)
        assert (code, err) == (int(clocks < 1000), "")
        results[name] = json.loads(out), (tmp_path / "waves" / "single.vcd").read_bytes()
    (reference, vcd), (result, other) = results.values()
    assert other == vcd
    assert (reference.pop("engine"), result.pop("engine")) == ("pysim", "compiled")
    assert result == reference
    assert f"#{result['window'][0] * 10}\n".encode() in vcd
    assert f"\n#{result['window'][1] * 10}\n$comment" in vcd.decode()


def test_window_of_a_long_run_is_around_the_violation(crosscall, monkeypatch):
    monkeypatch.setattr("sim.runs.run._WHOLE", 500)
    monkeypatch.setattr("sim.runs.run._BEFORE", 300)
    monkeypatch.setattr("sim.runs.run._AFTER", 100)
    code, out, _ = crosscall("run", "early-return", "--json")
    assert code == 1
    result = json.loads(out)
    clock = result["violations"][0]["clock"]
    assert result["window"] == [clock - 300, clock + 100]
    done = []
    monkeypatch.setattr("sim.runs.run._run", lambda *arguments, run=_run: done.append(1) or run(*arguments))
    code, out, _ = crosscall("run", "single", "--json", "--max-clocks", 600)
    result = json.loads(out)
    assert (code, result["window"], len(done)) == (1, [300, 600], 2)
    code, out, _ = crosscall("run", "single", "--json", "--max-clocks", 500)
    assert (json.loads(out)["window"], len(done)) == ([0, 500], 3), "one that is shown in full is done once"


@pytest.mark.parametrize("window, message", [
    ("5", "--window 5: must be written as A:B, the first clock and the one after the last, or as auto"),
    ("9:9", "--window 9:9: contains no clock"),
    ("60:50", "--window 60:50: contains no clock"),
    ("a:b", "--window a:b: must be written as A:B, the first clock and the one after the last, or as auto"),
])
def test_bad_windows(crosscall, tmp_path, window, message):
    assert crosscall("run", "single", "--window", window) == (2, "", f"crosscall: {message}\n")
    assert not list(tmp_path.iterdir())


def test_window_behind_the_end(crosscall, tmp_path):
    code, out, err = crosscall("run", "single", "--window", "90000:")
    assert (code, out) == (2, "")
    assert err.startswith("crosscall: the waves start at clock 90000, but the run ended after ")
    assert not list((tmp_path / "waves").iterdir())


def test_unknown_engine(crosscall):
    assert crosscall("run", "single", "--engine", "compield") == (
        2, "", 'crosscall: there is no engine "compield", did you mean "compiled"? (there are: pysim, compiled, verilator)\n')


@pytest.fixture
def short(tmp_path):
    """A scenario that PySim has soon run."""
    path = tmp_path / "short.toml"
    path.write_text('title = "one core"\ncores = 1\n[[program]]\ncores = [0]\n'
                    'commands = [{ call = "single", target = 0, func = "nop" }]\n')
    return path


@pytest.fixture
def no_compiler(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr("sim.engines.compiled.toolchain.shutil.which", lambda name: None)
    monkeypatch.setattr("sim.engines.compiled.toolchain.find_spec", lambda name: None)


NEEDS = ("the compiled engine needs a C compiler: `apt-get install gcc`, or `pip install ziglang`; without one, use --engine pysim")


def test_without_a_compiler_pysim_runs_and_one_line_says_so(crosscall, short, no_compiler):
    code, out, err = crosscall("run", short, "--no-vcd", "--json")
    assert (code, err) == (0, f"crosscall: running on PySim, which is slow: {NEEDS}\n")
    assert json.loads(out)["engine"] == "pysim"


def test_without_a_compiler_asked_for_it_is_exit_3(crosscall, no_compiler):
    assert crosscall("run", "single", "--engine", "compiled") == (3, "", f"crosscall: {NEEDS}\n")


def test_a_broken_compiler_is_one_line(crosscall, tmp_path, short, monkeypatch):
    compiler = tmp_path / "broken"
    compiler.write_text("#!/bin/sh\n[ $1 = --version ] && exit 0\necho; echo 'machine.c: error: no such luck'; echo more; exit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert crosscall("run", "single", "--engine", "compiled") == (
        3, "", f"crosscall: {compiler} failed with exit code 1: machine.c: error: no such luck\n")
    code, _, err = crosscall("run", short, "--no-vcd")
    assert (code, err.count("\n")) == (0, 1)


# --- the cache ------------------------------------------------------------------------------------------------------


SOURCE = "int answer(void) { return %d; }\n"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache_folder()


def _libraries(folder):
    return {path.name for path in folder.glob("*.so")}


def test_what_is_built_is_found_again_and_nothing_else(cache):
    assert load(SOURCE % 1).answer() == 1
    (library,) = cache.glob("*.so")
    stamp = library.stat().st_mtime_ns
    assert load(SOURCE % 1).build_seconds > 0
    assert library.stat().st_mtime_ns == stamp
    assert load(SOURCE % 2).answer() == 2
    assert load(SOURCE % 2, options=("-O0",)).answer() == 2
    assert len(_libraries(cache)) == 3
    assert {path.suffix for path in cache.iterdir()} == {".so", ".seconds"}


@pytest.mark.parametrize("damage", [
    lambda library, side: library.write_bytes(b""),
    lambda library, side: library.write_bytes(library.read_bytes()[:5000]),
    lambda library, side: library.write_bytes(b"\x7fELF" + bytes(9000)),
    lambda library, side: library.unlink(),
    lambda library, side: side.write_text(""),
    lambda library, side: side.write_text("soon\n"),
    lambda library, side: side.write_bytes(b"\xff" * 99),
    lambda library, side: side.unlink(),
])
def test_what_is_damaged_is_built_again(cache, damage):
    load(SOURCE % 7)
    (library,), (side,) = cache.glob("*.so"), cache.glob("*.seconds")
    before = library.read_bytes()
    # The library that is loaded here must not change under our feet.
    library.rename(cache / "loaded")
    library.write_bytes(before)
    damage(library, side)
    assert load(SOURCE % 7).answer() == 7
    assert library.read_bytes() == before and float(side.read_text().split()[0]) > 0


@pytest.fixture
def notes(monkeypatch):
    """What is told of the cache."""
    told = []
    monkeypatch.setattr("sim.engines.compiled.toolchain._tell_once", told.append)
    return told


def test_a_cache_that_cannot_be_used_is_done_without(tmp_path, monkeypatch, notes):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert load(SOURCE % 8).answer() == 8
    assert len(notes) == 1 and notes[0].startswith("the cache cannot be used, so compiled code is not kept: ")
    assert os.listdir(tmp_path) == ["file"]


def test_a_full_cache_is_done_without(cache, monkeypatch, notes):
    def replace(source, target):
        if Path(target).parent == cache:
            raise OSError(28, "No space left on device")
        Path(source).rename(target)

    monkeypatch.setattr("sim.engines.compiled.toolchain.os.replace", replace)
    assert load(SOURCE % 9).answer() == 9
    assert len(notes) == 1 and "No space left" in notes[0]
    assert list(cache.iterdir()) == []


def test_without_a_home(monkeypatch, notes):
    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("sim.engines.compiled.toolchain.Path.home", nobody)
    assert load(SOURCE % 10).answer() == 10
    assert len(notes) == 1


def test_what_a_killed_process_has_left_goes_in_the_end(cache):
    cache.mkdir()
    old, new = cache / "building-old", cache / "building-new"
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (1, 1))
    load(SOURCE % 11)
    assert not old.exists() and new.exists()


@pytest.mark.parametrize("text, message", [
    ("/nope", "CC=/nope: there is no such command; without CC, crosscall searches for a compiler"),
    ("'", "CC=': there is no such command; without CC, crosscall searches for a compiler"),
    ("true", "the compiler produced no library; is CC a C compiler?"),
])
def test_a_compiler_that_is_none(crosscall, tmp_path, short, monkeypatch, text, message):
    monkeypatch.setenv("CC", text)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert crosscall("run", short, "--no-vcd", "--engine", "compiled") == (3, "", f"crosscall: {message}\n")
    code, out, err = crosscall("run", short, "--no-vcd")
    assert (code, err) == (0, f"crosscall: running on PySim, which is slow: {message}\n")


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_a_compiler_with_options(cache, monkeypatch):
    monkeypatch.setenv("CC", "gcc -DNUMBER=12")
    assert load("int answer(void) { return NUMBER; }\n").answer() == 12


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_a_library_that_cannot_be_loaded_is_one_line(cache, monkeypatch, notes):
    monkeypatch.setenv("CC", "gcc -c")
    with pytest.raises(MissingToolError, match="^the compiled library cannot be loaded: "):
        load(SOURCE % 13)
    assert notes == []


def test_another_processor_or_compiler_is_another_library(cache, monkeypatch):
    load(SOURCE % 1)
    monkeypatch.setattr("sim.engines.compiled.toolchain.platform.machine", lambda: "another")
    load(SOURCE % 1)
    assert len(_libraries(cache)) == 2


def test_a_build_that_fails_leaves_nothing(cache):
    with pytest.raises(MissingToolError, match="failed with exit code 1: .*error"):
        load("int answer(void) { return }\n")
    assert list(cache.iterdir()) == []


def _build(barrier, results):
    barrier.wait()
    results.put(load(SOURCE % 42).answer())


def test_the_same_machine_is_the_same_text(monkeypatch):
    class Told(Exception):
        pass

    def tell(text, **options):
        raise Told(text)

    monkeypatch.setattr("sim.engines.compiled.load", tell)
    monkeypatch.setattr(Translations, "kept", False)
    texts = set()
    for _ in range(3):
        with pytest.raises(Told) as told:
            CompiledEngine(MachineConfig().with_cores(1), lanes=0)
        texts.add(str(told.value))
    assert len(texts) == 1


def test_two_processes_build_at_once(cache):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_build, args=(barrier, results)) for _ in range(2)]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == [42, 42]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert len(_libraries(cache)) == 1
    assert {path.suffix for path in cache.iterdir()} == {".so", ".seconds"}


@pytest.mark.slow
def test_an_edit_of_the_hardware_is_another_library(cache, change_hardware):
    """Stale code is never run: what differs in the text differs in the name."""
    config = replace(prepare("single").settings.config, n_cores=1)
    CompiledEngine(config)
    before = _libraries(cache)
    change_hardware("rtl.memory.bank.Bank.elaborate", _tampered(Bank.elaborate))
    CompiledEngine(config)
    assert len(_libraries(cache) - before) == 1


def _tampered(elaborate):
    def changed(self, platform):
        m = elaborate(self, platform)
        m.d.sync += self.done.eq(0)
        return m

    return changed


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_the_environment_chooses_the_compiler(cache, monkeypatch):
    monkeypatch.setenv("CC", "gcc")
    assert load(SOURCE % 5).answer() == 5
