"""The command: help, exit codes, the shape of its JSON, and what it says about bad input."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rtl.config import MachineConfig
from sim.cli import MOST_CORES, app
from sim.errors import MissingToolError
from sim.scenarios.reader import shipped_scenarios

COMMANDS = ("run", "litmus", "hunt", "replay", "list", "asm", "report", "view", "bench", "export", "doctor")


# --- help -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_help(crosscall, command):
    code, out, err = crosscall(command, "--help")
    assert (code, err) == (0, "")
    assert "Usage:" in out
    assert all(len(line) <= 80 for line in out.splitlines())
    assert out.splitlines()[-1].startswith(f"  Example: crosscall {command}")


@pytest.mark.parametrize("words, completion", [
    ("crosscall mus", "museum"), ("crosscall run --mem", "--memory"), ("crosscall run early", "early-return"),
    ("crosscall hunt demo --protocol v2.6.3", "v2.6.30 v2.6.32 v2.6.39"), ("crosscall museum live-mask-", "live-mask-leak"),
    ("crosscall report waves/de", ""),
])
def test_a_shell_completes_commands_options_and_names(words, completion):
    """As the script of ``--install-completion`` asks for it."""
    environment = {"_CROSSCALL_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    command = [sys.executable, "-c", "import sys; from sim.cli import main; sys.argv[0] = 'crosscall'; main()"]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, completion.split(), "")


def test_help_names_all_commands_and_is_quick():
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-X", "importtime", "-m", "sim", "--help"],
                          capture_output=True, text=True, check=True)
    assert time.monotonic() - started < 5
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", done.stdout, re.MULTILINE)
    assert "amaranth" not in done.stderr
    assert "..." not in done.stdout.partition("Commands:")[2]


def test_version(crosscall, monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.2.3")
    assert crosscall("--version") == (0, "crosscall 1.2.3\n", "")


# --- list, asm ------------------------------------------------------------------------------------------------------


def test_list(crosscall):
    code, out, _ = crosscall("list")
    assert code == 0
    for name in (*shipped_scenarios(), "v4", "tiny", "default", "wide", "fabric_latency"):
        assert re.search(rf"^  {name} ", out, re.MULTILINE), name


def test_list_json(crosscall):
    code, out, err = crosscall("list", "--json")
    assert (code, err) == (0, "")
    what = json.loads(out)
    assert [item["name"] for item in what["scenarios"]] == shipped_scenarios()
    assert {item["name"]: item["expected"] for item in what["scenarios"]}["early-return"] == ["O1"]
    assert "v4" in [item["name"] for item in what["protocols"]]
    assert what["presets"]["wide"]["n_cores"] == 32


def test_asm(crosscall):
    code, out, err = crosscall("asm", "v4")
    assert (code, err) == (0, "")
    assert "smp_call_function_many" in out


def test_asm_json(crosscall):
    code, out, err = crosscall("asm", "v4", "--cores", 20, "--json")
    assert (code, err) == (0, "")
    image = json.loads(out)
    assert (image["n_cores"], image["xlen"]) == (20, 32)
    assert "smp_call_function_many" in image["symbols"]
    assert "cmd_single" in image["entries"]


@pytest.mark.parametrize("words, kind, name", [
    (["list"], dict, "one JSON object"), (["list", "boards"], list, "one list of rows"),
    (["ipibench", "--cores", "2", "--mode", "dry-run", "--iterations", "1"], list, "one list of rows"),
])
def test_help_says_what_json_is(crosscall, words, kind, name):
    code, out, _ = crosscall(*words, "--json")
    assert code == 0 and type(json.loads(out)) is kind
    assert f"{name}, " in " ".join(crosscall(words[0], "--help")[1].split())


# --- run ------------------------------------------------------------------------------------------------------------


def test_run_prints_a_report(crosscall, tmp_path):
    code, out, err = crosscall("run", "single")
    assert (code, err) == (0, "")
    assert out.startswith("single: ")
    assert "clean: all " in out
    assert re.search(r"^holds +O1 \(\d+\), ", out, re.MULTILINE)
    assert sorted(path.name for path in (tmp_path / "waves").iterdir()) == [
        "single.events.jsonl", "single.filters", "single.gtkw", "single.sucl", "single.vcd"]


def test_run_without_a_barrier(crosscall):
    code, out, err = crosscall("run", "single", "--no-vcd", "--without", "csd_unlock_wmb", "--without", "handler_mb")
    assert (code, err) == (0, "")
    assert "\nprotocol v4 without csd_unlock_wmb, handler_mb, 2 cores, memory sc, seed 0: " in out
    code, out, err = crosscall("run", "single", "--no-vcd", "--without", "csd_unlock_wbm")
    assert (code, out) == (2, "")
    assert 'v4.uasm: the protocol has no barrier or lock named csd_unlock_wbm, did you mean "csd_unlock_wmb"? (it has: ' in err


def test_run_json(crosscall, tmp_path):
    code, out, err = crosscall("run", "single", "--json", "--no-vcd", "--out", "here", "--seed", 5)
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert result["scenario"] == "single"
    assert (result["protocol"], result["without"]) == ("v4", [])
    assert result["seed"] == 5
    assert result["config"]["n_cores"] == 2
    assert result["straps"]["fabric_latency"] == 8
    assert result["clocks"] > 0
    assert re.fullmatch("0x[0-9a-f]{8}", result["digest"])
    assert (result["ending"], result["ok"], result["as_expected"], result["expected"]) == ("quiet", True, True, [])
    assert result["violations"] == []
    for call in result["calls"]:
        assert {"id", "kind", "caller", "targets", "wait", "stages", "per_target", "latency"} <= call.keys()
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["single.events.jsonl"]
    assert result["files"] == {"events": "here/single.events.jsonl"}


def test_violation_is_exit_1_even_if_expected(crosscall):
    code, out, err = crosscall("run", "early-return", "--no-vcd")
    assert (code, err) == (1, "")
    assert "violated: O1, as expected" in out
    code, out, _ = crosscall("run", "early-return", "--no-vcd", "--json")
    assert code == 1
    result = json.loads(out)
    assert (result["ok"], result["as_expected"]) == (False, True)
    assert {item["oracle"] for item in result["violations"]} == {"O1"}


def test_run_that_is_cut_short_is_not_clean(crosscall):
    code, out, _ = crosscall("run", "single", "--no-vcd", "--max-clocks", 50)
    assert code == 1
    assert "not finished; the run was cut off after 50 clocks (--max-clocks); the scenario expected a clean run" in out


def test_a_barrier_that_does_nothing_is_said(crosscall):
    left_out = ("--without", "csd_unlock_wmb", "--without", "handler_mb")
    for memory, said in (("sc", {"csd_unlock_wmb": "pso", "handler_mb": "tso"}),
                         ("tso", {"csd_unlock_wmb": "pso"}), ("pso", {})):
        _, out, err = crosscall("run", "single", "--no-vcd", "--memory", memory, *left_out)
        found = re.findall(r"^(\w+) is a barrier, which does nothing under (\w+): try --memory (\w+)$", out, re.MULTILINE)
        assert err == "" and found == [(name, memory, model) for name, model in said.items()]


def test_doctor(crosscall, monkeypatch):
    code, out, err = crosscall("doctor")
    assert (code, err) == (0, "")
    assert re.search(r"^Python +ok +3\.", out, re.MULTILINE)
    parts = {part["name"]: part for part in json.loads(crosscall("doctor", "--json")[1])["parts"]}
    assert list(parts) == ["Python", "C compiler", "vectors", "engines", "cache", "Verilator", "Yosys", "viewer"]
    assert all(part["ok"] == (part["fix"] is None) for part in parts.values() if part["name"] not in ("Python", "engines"))
    monkeypatch.setenv("CC", "/nope")
    monkeypatch.setattr("shutil.which", lambda name: None)
    code, out, err = crosscall("doctor")
    assert (code, err) == (0, "")
    assert re.search(r"^engines +ok +pysim; pysim is slow: install a C compiler$", out, re.MULTILINE)
    assert re.search(r"^C compiler missing  CC=/nope: there is no such command.*\n +pip install ziglang$", out, re.MULTILINE)
    assert re.search(r"^viewer +missing .*\n +apt-get install gtkwave$", out, re.MULTILINE)


def test_settings_reach_the_machine(crosscall):
    code, out, _ = crosscall("run", "single", "--no-vcd", "--json", "--set", "fabric_latency=0x20", "--set", "arena_depth=4096",
                             "--cores", 3)
    assert code == 0
    result = json.loads(out)
    assert result["straps"]["fabric_latency"] == 32
    assert (result["config"]["arena_depth"], result["config"]["n_cores"]) == (4096, 3)


def test_observing_changes_no_clock(crosscall):
    runs = [json.loads(crosscall("run", "single", "--json", *options)[1]) for options in ((), ("--no-vcd",), ())]
    assert len({(result["digest"], result["clocks"]) for result in runs}) == 1


# --- report, view ---------------------------------------------------------------------------------------------------


def test_report_of_a_vcd_is_the_report_of_the_run(crosscall):
    _, out, _ = crosscall("run", "many", "--json")
    code, again, err = crosscall("report", "waves/many.vcd", "--json")
    assert (code, err) == (0, "")
    assert json.loads(again)["calls"] == json.loads(out)["calls"]
    code, out, _ = crosscall("report", "waves/many.vcd")
    assert code == 0
    assert "who -> whom" in out and out.endswith("\nno violation in the waves\n")


def test_report_of_a_vcd_tells_what_was_violated(crosscall):
    _, out, _ = crosscall("run", "early-return", "--json")
    told, = json.loads(out)["violations"]
    code, out, err = crosscall("report", "waves/early-return.vcd")
    assert (code, err) == (0, "")
    assert out.endswith(f"\nviolated: O1\n  clock {told['clock']}: O1: {told['sentence']}\n")
    assert "0.0 ! " in out, "its call is marked"
    again, = json.loads(crosscall("report", "waves/early-return.vcd", "--json")[1])["violations"]
    assert (again["clock"], again["sentence"], again["calls"]) == (told["clock"], told["sentence"], told["calls"])
    assert len(set(again["cores"])) == len(again["cores"]), "each is named once"


def test_report_of_a_window_knows_how_the_run_ended_only_if_it_did(crosscall, tmp_path):
    """What has not returned by the end of the window may return later; by the end of the run it never did."""
    _, out, _ = crosscall("run", "many", "--json")
    whole, first = json.loads(out), json.loads(out)["calls"][0]
    later = "crosscall: the waves end at clock {}, and the run does not: what happens later is not known\n"
    returned = first["stages"]["return"]
    for end, ending, cell, said in ((returned, None, "not yet", later.format(returned)),
                                    (whole["clocks"], "quiet", str(first["latency"]), "")):
        crosscall("run", "many", "--window", f":{end}")
        code, out, err = crosscall("report", "waves/many.vcd", "--html")
        assert (code, err) == (0, "crosscall: the page is waves/many.html\n" + said)
        assert re.search(rf"^{re.escape(first['id'])} .* {cell}$", out, re.MULTILINE)
        page = (tmp_path / "waves" / "many.html").read_text(encoding="utf-8")
        assert (f"clocks 0 to {end} of a run; what happens later is not known" in page) == (ending is None)
        told = json.loads(crosscall("report", "waves/many.vcd", "--json")[1])
        assert (told["ending"], told["window"]) == (ending, [0, end])
    crosscall("run", "many", "--max-clocks", returned)
    assert json.loads(crosscall("report", "waves/many.vcd", "--json")[1])["ending"] == "limit"
    assert " cut off\n" in crosscall("report", "waves/many.vcd")[1]
    crosscall("run", "single", "--fault", "drop:0:0")
    assert " never\n" in crosscall("report", "waves/single.vcd")[1]


def test_report_of_a_window_knows_who_was_online(crosscall, tmp_path):
    _, out, _ = crosscall("run", "early-return", "--window", "300:900", "--json")
    whole = json.loads(out)["calls"][0]
    code, again, err = crosscall("report", "waves/early-return.vcd", "--json", "--html")
    said = ("crosscall: the waves begin at clock 300: calls that began before are not known\n"
            "crosscall: the waves end at clock 900, and the run does not: what happens later is not known\n")
    assert (code, err) == (0, "crosscall: the page is waves/early-return.html\n" + said)
    again = json.loads(again)
    assert again["window"] == [300, 900]
    [call] = again["calls"]
    # Core 1 ends the function after the window.
    assert call["targets"] == whole["targets"] == [1, 2] and whole["per_target"]["1"]["exit"] > 900
    assert call["per_target"]["2"] == whole["per_target"]["2"]
    page = (tmp_path / "waves" / "early-return.html").read_text(encoding="utf-8")
    assert "clocks 300 to 900 of a run; calls that began before are not known" in page
    assert crosscall("report", "waves/early-return.vcd")[2] == said


def test_view_starts_gtkwave(crosscall, tmp_path, monkeypatch):
    (tmp_path / "waves").mkdir()
    (tmp_path / "waves" / "demo.gtkw").touch()
    started = []
    monkeypatch.setattr("shutil.which", lambda name: f"bin/{name}")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("subprocess.run", lambda command, check: started.append(command) or subprocess.CompletedProcess(command, 0))
    assert crosscall("view", "demo") == (0, "", "")
    assert started == [["bin/gtkwave", "waves/demo.gtkw"]]


def test_view_without_gtkwave(crosscall, tmp_path, monkeypatch):
    (tmp_path / "x.gtkw").touch()
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert crosscall("view", "x.gtkw") == (3, "", (
        "crosscall: GTKWave is not installed. Debian and Ubuntu: apt-get install gtkwave; others: "
        "https://gtkwave.github.io/gtkwave/. Then: gtkwave x.gtkw\n"))


def test_view_without_display(crosscall, tmp_path, monkeypatch):
    (tmp_path / "x.gtkw").touch()
    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert crosscall("view", "x.gtkw") == (3, "", (
        "crosscall: there is no display to open GTKWave on. On a machine that has one: gtkwave x.gtkw\n"))


# --- refusals -------------------------------------------------------------------------------------------------------

PROGRAM = '[[program]]\ncores = [0]\ncommands = [{ call = "all" }]\n'

BAD_RUNS = [
    (["demmo"], None, (
        'there is no scenario "demmo", did you mean "demo"? '
        f"(shipped: {', '.join(shipped_scenarios())}; your own: a path that ends in .toml)")),
    (["y.toml"], None, "y.toml: there is no such file"),
    (["x.toml"], "title = 1", "x.toml:1:1: title must be a string, not 1\n    title = 1\n    ^"),
    (["x.toml"], "[expect]\nviolations = ['O99']\n" + PROGRAM, None),
    (["x.toml"], "[machine]\nxlen = 17\n" + PROGRAM,
     "x.toml:2:1: machine.xlen is refused: xlen must be 16, 32 or 64, not 17\n    xlen = 17\n    ^"),
    (["x.toml"], "[straps]\nfabric_latency = 256\n" + PROGRAM,
     ("x.toml:2:1: straps.fabric_latency is refused: fabric_latency must be from 0 to 255, not 256\n    fabric_latency = 256\n"
      "    ^")),
    (["x.toml"], PROGRAM.replace("all", "al"), None),
    (["demo", "--protocol", "v5"], None,
     ('there is no protocol "v5" (shipped: mailbox, v2.6.27-rc1, v2.6.29, v2.6.30, v2.6.32, v2.6.39, v3.10, v4, v6; '
      'your own: a path that ends in .uasm)')),
    (["demo", "--protocol", "mine.uasm"], None, "mine.uasm: there is no such file"),
    (["demo", "--preset", "wild"], None, 'there is no preset "wild", did you mean "wide"? (there are: tiny, default, wide)'),
    (["demo", "--set", "fabric"], None, "--set fabric: must be written as NAME=value"),
    (["demo", "--set", "fabric=ring"], None, "--set fabric=ring: fabric must be one of crossbar, not 'ring'"),
    (["x.toml"], "[machine]\nfabric = 'ring'\n" + PROGRAM,
     "x.toml:2:1: machine.fabric is refused: fabric must be one of crossbar, not 'ring'\n    fabric = 'ring'\n    ^"),
    (["demo", "--set", "fabric_latency=long"], None, "--set fabric_latency=long: the value must be a whole number, not 'long'"),
    (["demo", "--set", "fabric_latency=999"], None, "--set fabric_latency=999: fabric_latency must be from 0 to 255, not 999"),
    (["demo", "--set", "arena_depth=100"], None,
     "--set arena_depth=100: arena_depth must be a power of two from 64 to 32768, not 100"),
    (["demo", "--set", "latency=9"], None, (
        "--set latency=9: there is no such setting, did you mean \"arena_latency\"? (there are: xlen, microcode_depth, "
        "stack_depth, arena_depth, store_buffer_depth, n_banks, n_vectors, fabric, pso, x2apic_mode, task_priority, "
        "error_status, register_reads, delay_bits, memory_model, x2apic, fabric_latency, arena_latency, interrupt_entry, "
        "interrupt_return, define.NAME)")),
    (["demo", "--set", "pso=2"], None, "--set pso=2: pso must be 0 or 1, not 2"),
    (["demo", "--set", "pso=0", "--memory", "pso"], None,
     "--set memory_model=2: memory_model=2 needs pso=1, but this machine has pso=0"),
    (["demo", "--set", "x2apic_mode=0", "--set", "x2apic=1"], None,
     "--set x2apic=1: x2apic=1 needs x2apic_mode=1, but this machine has x2apic_mode=0"),
    (["demo", "--set", "delay_bits=3"], None,
     "--set delay_bits=3: interrupt_entry=8 needs delay_bits=4, but this machine has delay_bits=3"),
    (["demo", "--set", "n_cores=9"], None, "--set n_cores=9: the number of cores is set with --cores"),
    (["demo", "--cores", "20", "--set", "xlen=16"], None,
     "--set xlen=16: n_cores must be at most xlen, because a cpumask is one word: 20 cores do not fit 16 bits"),
    (["early-return", "--cores", "2"], None, None),
    (["demo", "--set", "arena_depth=64"], None, None),
]


@pytest.mark.parametrize("arguments, scenario, message", BAD_RUNS)
def test_bad_input_is_one_message_and_exit_2(crosscall, tmp_path, arguments, scenario, message):
    if scenario is not None:
        (tmp_path / "x.toml").write_text(scenario)
    before = sorted(tmp_path.iterdir())
    code, out, err = crosscall("run", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("crosscall: ") and "Traceback" not in err
    if message is not None:
        assert err == f"crosscall: {message}\n"
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("arguments, message", [
    (["run", "--cores", "0"], "invalid value for '--cores': "),
    (["run", "--cores", "65"], "invalid value for '--cores': "),
    (["run", "--cores", "four"], "invalid value for '--cores': "),
    (["run", "--max-clocks", "0"], "invalid value for '--max-clocks': "),
    (["run", "--seed", "-1"], "invalid value for '--seed': "),
    (["run", "--wat"], "no such option: --wat"),
    (["--wat"], "no such option: --wat"),
    (["jump"], "no such command 'jump'"),
    (["asm"], "missing argument 'FILE.uasm|NAME'"),
    (["report"], "missing argument 'FILE.vcd'"),
])
def test_usage_errors_are_one_line_and_exit_2(crosscall, arguments, message):
    code, out, err = crosscall(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"crosscall: {message}")


def test_without_arguments_it_says_how(crosscall):
    code, out, err = crosscall()
    assert (code, out) == (2, "")
    assert err.startswith("Usage: ") and "  hunt " in err


@pytest.mark.parametrize("arguments", [
    ["list"], ["list", "--json"], ["asm", "v4"], ["run", "--help"], ["run", "single", "--no-vcd"],
])
def test_a_reader_that_goes_away_is_no_error(tmp_path, arguments):
    """As `crosscall list | head -1`, but for sure before the first line is written."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", "from sim.cli import main; main()", *arguments], cwd=tmp_path, stdout=writer,
                          stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.getcwd()})
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("arguments, message", [
    (["asm", "mine.uasm"], "mine.uasm: there is no such file"),
    (["asm", "folder.uasm"], "folder.uasm: cannot be read: Is a directory"),
    (["asm", "empty.uasm"], "empty.uasm: there is no word of microcode in it"),
    (["run", "demo", "--protocol", "folder.uasm"], "folder.uasm: cannot be read: Is a directory"),
    (["run", "demo", "--memory", "tso", "--set", "memory_model=0"],
     "--set memory_model=0: --memory tso sets it, too: give only one of them"),
    (["run", "demo", "--no-vcd", "--window", "0:10"],
     "--window chooses the clocks in the waves, and --no-vcd writes none: give only one of them"),
    (["bench", "speed", "--engines", ""], 'there is no engine "" (there are: pysim, compiled, lanes, verilator)'),
    (["view", "folder.vcd"], "folder.vcd: is a folder"),
    (["asm", "v4", "--define", "X"], "--define X: must be written as NAME=value"),
    (["view", "x.vcd"], "x.vcd: there is no such file"),
    (["view", "demo"], "waves/demo.gtkw: there is no such file; `crosscall run demo` writes the waves of a scenario"),
])
def test_bad_input_of_other_commands(crosscall, tmp_path, arguments, message):
    for name in ("folder.uasm", "folder.vcd"):
        (tmp_path / name).mkdir()
    (tmp_path / "empty.uasm").touch()
    before = sorted(tmp_path.iterdir())
    assert crosscall(*arguments) == (2, "", f"crosscall: {message}\n")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("content", [None, "", "$enddefinitions $end\n", "not a vcd"])
def test_report_of_what_is_no_vcd_of_ours(crosscall, tmp_path, content):
    if content is not None:
        (tmp_path / "x.vcd").write_text(content)
    code, out, err = crosscall("report", "x.vcd")
    assert (code, out) == (2, "")
    assert err.startswith("crosscall: x.vcd")


class FailingEngine:
    """An engine that raises instead of running."""

    def __init__(self, error):
        self._error = error

    def __call__(self, tell):
        return self

    def run(self, *_, **__):
        raise self._error


def test_what_is_written_stays_when_a_run_is_interrupted(crosscall, tmp_path, monkeypatch):
    def written():
        return {path: path.read_bytes() for path in (tmp_path / "waves").rglob("*") if path.is_file()}

    crosscall("run", "single")
    before = written()
    monkeypatch.setattr("sim.engines.spec.EngineSpec.make", FailingEngine(KeyboardInterrupt()))
    assert crosscall("run", "single", "--seed", 1) == (130, "", "crosscall: interrupted\n")
    assert written() == before


def test_a_defect_is_no_finding(crosscall, monkeypatch):
    monkeypatch.setattr("sim.engines.spec.EngineSpec.make", FailingEngine(KeyError("nobody has thought of this")))
    code, out, err = crosscall("run", "single")
    assert (code, out, err.count("\n")) == (70, "", 1)
    found = re.fullmatch(r"crosscall: this is a defect of crosscall, and says nothing about the machine: KeyError; "
                         r"please report it with the file (\S+), which has the traceback\n", err)
    text = Path(found[1]).read_text()
    assert "Traceback" in text and "nobody has thought of this" in text and "in run" in text


def test_a_defect_where_nothing_can_be_written_is_still_told(crosscall, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sim.engines.spec.EngineSpec.make", FailingEngine(KeyError("nobody has thought of this")))
    monkeypatch.setattr("tempfile.NamedTemporaryFile", full)
    result = CliRunner().invoke(app, ["run", "single"])
    assert result.exit_code == 70 and "Traceback" in result.stderr


def test_trouble_with_the_system_is_no_defect(crosscall, monkeypatch):
    monkeypatch.setattr("sim.engines.spec.EngineSpec.make", FailingEngine(OSError(24, "Too many open files", "/proc/cpuinfo")))
    assert crosscall("run", "single") == (3, "", "crosscall: /proc/cpuinfo: Too many open files\n")


def test_what_is_missing_is_exit_3(crosscall, monkeypatch):
    monkeypatch.setattr("sim.engines.spec.EngineSpec.make", FailingEngine(MissingToolError("there is no engine here")))
    assert crosscall("run", "single") == (3, "", "crosscall: there is no engine here\n")


def test_as_many_cores_as_a_machine_has():
    assert MOST_CORES == MachineConfig.MAX_CORES


@pytest.mark.parametrize("command", ["hunt single", "litmus", "mutate --protocol v4"])
def test_too_many_processes_are_refused(crosscall, command):
    """Before a single one is started."""
    code, out, err = crosscall(*command.split(), "--processes", 3000)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("crosscall: invalid value for '--processes': ") and "128" in err
