"""Readers against texts that somebody has damaged: whatever comes, it is read, or refused with a place, and soon."""

import json
import random
import resource
import signal
import zlib
from functools import cache
from pathlib import Path

import pytest

from rtl.config import MachineConfig
from sim.engines.spec import EngineSpec
from sim.errors import InputError
from sim.hunt.hunt import Hunt
from sim.microcode.assembler import assemble
from sim.microcode.listing import listing
from sim.microcode.protocols import find_protocol
from sim.report.table import print_calls, report_console
from sim.report.vcd import report_of_vcd
from sim.runs.prepare import load, prepare, window_of
from sim.runs.run import run
from sim.runs.schedule import read_run
from sim.scenarios.reader import find_scenario, shipped_scenarios

from .mutations import HOSTILE, mutated

SEED = 5001
#: Mutations of each format: in the quick tests, and in the slow ones.
QUICK, SLOW = 200, 20_000
#: No text takes longer, in seconds of processor time, nor all of them more memory, in octets.
LONGEST, MOST = 20, 1 << 30


class TooLong(BaseException):
    """Nobody takes it for one of the readers' own."""


def _ring(*_):
    raise TooLong


def _fuzz(count, name, read, make):
    """``read`` what ``make`` makes, so many times."""
    before = signal.signal(signal.SIGPROF, _ring)
    try:
        for number in range(count):
            chance = random.Random(f"{SEED} {name} {number}")
            what = make(chance)
            signal.setitimer(signal.ITIMER_PROF, LONGEST)
            try:
                read(what)
            except InputError as error:
                assert str(error) and (error.file is None or error.file.suffix), f"{SEED} {name} {number}"
                assert all(len(line) < 2000 for line in str(error).splitlines()), f"{SEED} {name} {number}"
            except BaseException as error:
                error.add_note(f"mutation: seed {SEED}, {name}, number {number}")
                raise
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
    finally:
        signal.signal(signal.SIGPROF, before)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < MOST


@pytest.fixture(params=[pytest.param(QUICK, id="quick"), pytest.param(SLOW, id="slow", marks=pytest.mark.slow)])
def count(request):
    print(f"seed {SEED}, {request.param} mutations")
    return request.param


def _placed(error, path):
    """What is refused of a file says where."""
    assert error.file is not None and (error.line is not None or "there is no such file" in error.message), str(error)


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def assembled_once(monkeypatch):
    """The protocol is the same again and again."""
    once = cache(lambda path, n_cores, xlen, defines, text: assemble(path, n_cores=n_cores, xlen=xlen, defines=dict(defines),
                                                                     text=text))
    monkeypatch.setattr("sim.runs.prepare.assemble", lambda path, *, n_cores, xlen, defines, text=None: once(
        path, n_cores, xlen, (*defines.items(),), text))


def test_scenarios(tmp_path, count, assembled_once):
    texts = [find_scenario(name).read_bytes() for name in shipped_scenarios()]
    path = tmp_path / "x.toml"

    def read(content):
        path.write_bytes(content)
        try:
            prepare(path)
        except InputError as error:
            # That it does not fit its machine is no line's fault.
            assert error.file is None or error.line is not None or error.file.suffix == ".uasm" or "words of arena" in str(error), (
                str(error))
            raise

    _fuzz(count, "toml", read, lambda chance: mutated(chance.choice(texts), chance, texts))


def _sources():
    return [path.read_bytes() for path in sorted(find_protocol("v4").parent.glob("*.uasm"))]


def test_protocols(tmp_path, count):
    texts = [find_protocol(name).read_bytes() for name in ("v4", "mailbox")]
    path = tmp_path / "x.uasm"

    def read(content):
        path.write_bytes(content)
        try:
            listing(assemble(path, n_cores=4, xlen=16))
        except InputError as error:
            assert error.line is not None, str(error)
            raise

    _fuzz(count, "uasm", read, lambda chance: mutated(chance.choice(texts), chance, _sources()))


@cache
def _engine():
    """One machine for all protocols."""
    return EngineSpec(MachineConfig(n_cores=3)).make()


def test_protocols_that_are_run(tmp_path, count):
    """What assembles is a protocol, and whatever it does is a verdict."""
    text = find_protocol("v4").read_bytes()
    path = tmp_path / "x.uasm"

    def read(content):
        path.write_bytes(content)
        prepared = prepare("early-return", protocol=str(path), assignments=("arena_depth=1024",))
        if prepared.settings.config == _engine().config:
            run(prepared.under(max_clocks=1500), engine=_engine()).to_json()

    def make(chance):
        content = text
        for _ in range(chance.randint(1, 3)):
            lines = content.split(b"\n")
            one, two = (chance.randrange(60, len(lines)) for _ in range(2))
            if chance.random() < 0.5:
                del lines[one]
            else:
                lines[one], lines[two] = lines[two], lines[one]
            content = b"\n".join(lines)
        return content

    _fuzz(count // 3, "run", read, make)


@pytest.fixture(scope="module")
def vcd(tmp_path_factory):
    """A call, and not the boot before it: there is more in a mutation of what is short."""
    folder = tmp_path_factory.mktemp("waves")
    prepared = prepare("single").under(max_clocks=620, window=range(300, 620))
    run(prepared, engine=EngineSpec(prepared.run.config).make(), out=folder)
    return (folder / "single.vcd").read_bytes()


def _report(path):
    def read(content):
        path.write_bytes(content)
        try:
            report, _ = report_of_vcd(path)
            with open("/dev/null", "w") as file:
                print_calls(report["calls"], report_console(file), ending=report["ending"])
            json.dumps(report)
        except InputError as error:
            assert error.line is not None or "contradict" in error.message, str(error)
            raise

    return read


def test_waves(tmp_path, count, vcd):
    _fuzz(count, "vcd", _report(tmp_path / "x.vcd"), lambda chance: mutated(vcd, chance))


def test_waves_that_are_signed_again(tmp_path, count, vcd):
    def make(chance):
        # The header, or what follows it.
        middle = vcd.index(b"$enddefinitions")
        head, tail = vcd[:middle], vcd[middle:vcd.rindex(b"$comment crosscall end")]
        head, tail = (mutated(head, chance), tail) if chance.random() < 0.6 else (head, mutated(tail, chance))
        body = head + tail
        return body + b"$comment crosscall end %08x $end\n" % zlib.crc32(body)

    _fuzz(count, "signed", _report(tmp_path / "x.vcd"), make)


@pytest.fixture(scope="module")
def hunted(tmp_path_factory):
    """A notebook and a schedule."""
    folder = tmp_path_factory.mktemp("hunt")
    Hunt(prepare("early-return"), out=folder, processes=1).run(runs=1)
    return (folder / "early-return.hunt.sqlite").read_bytes(), (folder / "early-return.early_return.schedule").read_bytes()


def test_schedules(tmp_path, count, hunted, assembled_once):
    path = tmp_path / "x.schedule"

    def read(content):
        path.write_bytes(content)
        load(read_run(path), file=path)

    _fuzz(count, "schedule", read, lambda chance: mutated(hunted[1], chance))


def test_notebooks(tmp_path, count, hunted):
    hunt = Hunt(prepare("early-return"), out=tmp_path, processes=1)

    def read(content):
        hunt.notebook.write_bytes(content)
        hunt._store.read()

    _fuzz(count, "notebook", read, lambda chance: mutated(hunted[0], chance))


# --- the command line -----------------------------------------------------------------------------------------------


def _argument(chance, seeds):
    return mutated(chance.choice(seeds), chance, [*seeds, *HOSTILE]).decode("utf-8", "surrogateescape").replace("\0", "")


def test_settings(count, assembled_once):
    seeds = [b"fabric_latency=40", b"xlen=32", b"arena_depth=2048", b"define.CONFIG_HOTPLUG_CPU=1", b"memory_model=2", b"n_banks=4",
             b"microcode_depth=256", b"x2apic=1", b"define.X=0x10"]

    def read(text):
        prepare("single", assignments=(text,))

    _fuzz(count, "--set", read, lambda chance: _argument(chance, seeds))


def test_windows(count):
    def read(text):
        window = window_of(text)
        assert window is None or window

    _fuzz(count, "--window", read, lambda chance: _argument(chance, [b"100:2000", b":50", b"7:", b"auto"]))


@pytest.mark.parametrize("command, option, seeds", [
    ("run", "--seed", [b"7"]), ("run", "--cores", [b"4"]), ("run", "--max-clocks", [b"100"]), ("run", "--preset", [b"tiny"]),
    ("run", "--without", [b"handler_mb"]), ("run", "--protocol", [b"v4", b"x.uasm"]), ("run", "--memory", [b"tso"]),
    ("hunt", "--seconds", [b"0.1"]), ("hunt", "--processes", [b"1000"]), ("asm", "--define", [b"X=1"]),
    ("bench", "--engines", [b"pysim,lanes"]), ("export", "--verilog", [b"tiles"]),
])
def test_options(crosscall, monkeypatch, assembled_once, command, option, seeds):
    """They are refused by what reads them, or reach the work, which is not done here."""
    def work(*_, **__):
        raise InputError("reached")

    for name in ("sim.engines.spec.EngineSpec.make", "sim.hunt.hunt.Hunt.run", "sim.bench.speed.bench_speed", "sim.export.export"):
        monkeypatch.setattr(name, work)
    argument = {"run": ["single"], "hunt": ["single"], "asm": ["v4"], "bench": ["speed"], "export": []}[command]

    def read(text):
        code, _, err = crosscall(command, *argument, f"{option}={text}")
        assert code in ((0, 2) if command == "asm" else (2, 3)), err

    _fuzz(40, option, read, lambda chance: _argument(chance, seeds))
    assert not list(Path().rglob("*.*"))
