"""Litmus tests on the machine: single threads against x86's own words, and every model against its enumeration."""

import json
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sim.cli import app
from sim.engines.pysim import PySimEngine
from sim.errors import InputError, MissingToolError
from sim.litmus.command import SHIPPED
from sim.litmus.expected import Expected, read_expected
from sim.litmus.models import Model, final_states
from sim.litmus.parser import read_test
from sim.litmus.run import Result, Runner, Verdict
from sim.litmus.syntax import Mode
from sim.litmus.translate import translate
from sim.runs.schedule import read_run
from sim.waves.reader import read_records

from .litmus_samples import SINGLE, SINGLE_64, litmus_test, single, single_64


def runner(model, *, runs, seed=0, expected=None, out=None):
    return Runner(model=model, runs=runs, seed=seed, expected=expected or Expected(), out=out)


@pytest.fixture(scope="module")
def engines():
    """The machines are the same for all models."""
    return {}


def run(test, model, engines, **options):
    it = runner(model, **options)
    it.engines = engines
    return it.run(test)


# --- translation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", Model)
def test_single_threads(model, engines):
    for init, instructions, final in SINGLE:
        result, = run(single(init, instructions, *final), model, engines, runs=2)
        assert result.states == {tuple(final.values()): 2}, instructions


@pytest.mark.parametrize("model", [Model.SC, Model.TSO])
def test_single_threads_of_64_bits(model, engines):
    for init, instructions, final in SINGLE_64:
        result, = run(single_64(init, instructions, *final), model, engines, runs=2)
        assert result.states == {tuple(final.values()): 2}, instructions


def test_an_instruction_of_several_words_is_not_interrupted():
    text = translate(read_test(SHIPPED / "MP+ipi.litmus")).text
    assert "irqsave" not in text.split("P1_start")[1]
    program = translate(litmus_test("{}\n P0 | H0 ;\n ADD [x],$1 | MOV [y],$1 ;\n MOV [x],$1 | ;\n IPI P0 | ;\nexists (x=0)"))
    body = [line.split(";")[0].split() for line in program.text.split("P0_body:\n")[1].split("P0_end")[0].splitlines()]
    assert [words[0] for words in body] == ["irqsave", "ld", "add", "st", "irqrestore", "stc", "irqsave", "send", "irqrestore"]


def test_a_location_may_have_any_name(engines):
    names = ("r0", "end", "flags", "memory", "start_time", "threads", "P0", "MOV", "_x", "x.", ".x")
    test = single("", [f"MOV [{name}],${number}" for number, name in enumerate(names)], *names)
    result, = run(test, Model.TSO, engines, runs=1)
    assert result.states == {tuple(range(len(names))): 1}


def test_waves_show_the_words_of_the_test_by_their_names():
    names = {item.name for item in translate(read_test(SHIPPED / "MP+ipi.litmus")).image.objects}
    assert {"memory", "H1", "start_time[0]", "start_time[1]"} <= names


# --- schedules --------------------------------------------------------------------------------------------------------


def test_a_run_is_the_same_again(engines):
    test = read_test(SHIPPED / "SB.litmus")
    again = [run(test, Model.TSO, engines, runs=20, seed=seed)[0].states for seed in (1, 1, 2)]
    assert again[0] == again[1] != again[2]


def test_run_i_does_not_hang_on_how_many_there_are(engines):
    test = read_test(SHIPPED / "SB.litmus")
    few, more = (run(test, Model.TSO, engines, runs=runs)[0].states for runs in (10, 20))
    assert few <= more


def test_pysim_sees_what_the_compiled_engine_sees(engines):
    test = read_test(SHIPPED / "R.litmus")
    program = translate(test)
    compiled = run(test, Model.PSO, engines, runs=6)[0].states
    assert run(test, Model.PSO, {program.config: PySimEngine(program.config)}, runs=6)[0].states == compiled


# --- the shipped tests on the machine ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("model", Model)
def test_the_machine_is_what_it_says(model, engines):
    """No final state that the model does not have, and every outcome that it allows; without interrupts, every final state."""
    for path in sorted(SHIPPED.glob("*.litmus")):
        for result in run(read_test(path), model, engines, runs=40, expected=read_expected(SHIPPED / "expected.csv")):
            assert result.verdict is Verdict.OK, (result.name, result.states)
            assert result.mode or set(result.states) == result.possible, result.name


# --- the verdict ------------------------------------------------------------------------------------------------------


SB = "{}\n P0 | P1 ;\n MOV [x],$1 | MOV [y],$1 ;\n MOV EAX,[y] | MOV EAX,[x] ;\n"


@pytest.mark.parametrize("sentence, states, expected, verdict", [
    ("exists (0:EAX=0 /\\ 1:EAX=0)", [(0, 0), (0, 1)], True, Verdict.OK),
    ("exists (0:EAX=0 /\\ 1:EAX=0)", [(0, 1)], True, Verdict.NOT_OBSERVED),
    ("exists (0:EAX=0 /\\ 1:EAX=0)", [(0, 0)], False, Verdict.FORBIDDEN_SEEN),
    ("exists (0:EAX=0 /\\ 1:EAX=0)", [(0, 1)], False, Verdict.OK),
    ("~exists (0:EAX=0 /\\ 1:EAX=0)", [(0, 0)], True, Verdict.OK),
    ("~exists (0:EAX=0 /\\ 1:EAX=0)", [(0, 1)], True, Verdict.NOT_OBSERVED),
    ("forall (0:EAX=1 \\/ 1:EAX=1)", [(0, 0)], False, Verdict.FORBIDDEN_SEEN),
    ("forall (0:EAX=1 \\/ 1:EAX=1)", [(0, 1)], True, Verdict.NOT_OBSERVED),
    ("forall (0:EAX=1 \\/ 1:EAX=1)", [(0, 0), (1, 1)], True, Verdict.OK),
    ("exists (0:EAX=0 /\\ 1:EAX=0)", [(0, 7)], None, Verdict.FORBIDDEN_SEEN),
    ("exists (0:EAX=0 /\\ 1:EAX=0)", [None], True, Verdict.FORBIDDEN_SEEN),
])
def test_verdicts(sentence, states, expected, verdict):
    test = litmus_test(SB + sentence)
    result = Result(test, Model.TSO, None, len(states), Counter(states), final_states(test, Model.TSO), expected, {})
    assert result.verdict is verdict
    assert result.to_json()["verdict"] == verdict.value


@pytest.mark.parametrize("quantifier, holds, allowed", [
    ("exists", True, True), ("exists", False, False), ("~exists", True, False), ("~exists", False, True), ("forall", True, False),
    ("forall", False, True),
])
def test_what_a_verdict_of_the_sentence_says_of_the_outcome(quantifier, holds, allowed):
    assert litmus_test(f"{SB}{quantifier} (x=1)").allows(holds) is allowed


def test_a_forbidden_outcome_comes_with_the_waves_of_that_run(engines, tmp_path):
    """The machine with store buffers, held against a file that allows none."""
    expected = tmp_path / "expected.csv"
    expected.write_text("file,proposition_holds\nSB.litmus,0\n")
    test = read_test(SHIPPED / "SB.litmus")
    result, = run(test, Model.TSO, engines, runs=40, expected=read_expected(expected), out=tmp_path / "waves")
    assert result.verdict is Verdict.FORBIDDEN_SEEN
    assert result.files == {what: tmp_path / "waves" / f"SB.{suffix}" for what, suffix in (
        ("waves", "vcd"), ("view", "gtkw"), ("schedule", "schedule"))}
    recording = read_records(result.files["waves"])
    program = translate(test)
    arena = dict(recording.metadata.image.arena)
    for record in recording.records:
        if hasattr(record, "new"):
            arena[record.address] = record.new
    assert test.asked(program.final_state([arena.get(address, 0) for address in range(program.config.arena_depth)]))


@pytest.mark.parametrize("asked", ["0:EAX=0 /\\ 1:EAX=0", "0:EAX=1 /\\ 1:EAX=1"])
def test_a_forbidden_run_is_repeated_by_its_schedule(crosscall, tmp_path, asked):
    """One that was drawn, or guided: to the same waves, wherever it is taken, on any engine."""
    (tmp_path / "mine.litmus").write_text(f"X86 mine\n{SB}exists ({asked})")
    (tmp_path / "expected.csv").write_text("file,proposition_holds\nmine.litmus,0\n")
    done = crosscall("mine.litmus", "--expected", "expected.csv", "--runs", 60)
    assert done.exit_code == 1 and "  schedulewaves/mine.schedule" not in done.stdout
    assert "crosscall replay waves/mine.schedule" in done.stdout
    (tmp_path / "mine.litmus").unlink()
    recorded = read_run("waves/mine.schedule")
    for engine in ("compiled", "pysim"):
        done = CliRunner().invoke(app, ["replay", "waves/mine.schedule", "--out", engine, "--engine", engine])
        assert done.exit_code == 1, done.stderr
        assert done.stdout.splitlines()[0] == f"litmus test mine, {recorded.violation[1]} clocks: {recorded.violation[0]}"
        assert (tmp_path / engine / "mine.vcd").read_bytes() == (tmp_path / "waves/mine.vcd").read_bytes()
    text = Path("waves/mine.schedule").read_text()
    for old, new, message in ((f'"clock": {recorded.violation[1]}', '"clock": 7', "this is not the run that was recorded"),
                              ("MOV [x],$1", "MOV [x],$2", "the run cannot be repeated: microcode and arena of litmus test"),
                              ('"delays": [\n    ', '"delays": [\n    1,\n    ', "the test is for another machine")):
        assert old in text
        Path("other.schedule").write_text(text.replace(old, new, 1))
        done = CliRunner().invoke(app, ["replay", "other.schedule", "--no-vcd"])
        assert done.exit_code == 2 and message in done.stderr


def test_a_run_that_does_not_end_is_a_finding(engines, monkeypatch):
    """The model's does: it waits for what the other thread stores."""
    monkeypatch.setattr("sim.litmus.run._MAX_CLOCKS", 20)
    monkeypatch.setattr("sim.litmus.run._CLOCKS_PER_WORD", 0)
    test = litmus_test("{}\n P0 | P1 ;\n again: CMP [x],$0 | MOV [x],$1 ;\n JE again | ;\nexists (true)")
    result, = run(test, Model.SC, engines, runs=2)
    assert result.states == {None: 2} and result.verdict is Verdict.FORBIDDEN_SEEN


def test_a_single_verdict_is_about_tso(tmp_path):
    path = tmp_path / "expected.csv"
    for column in ("proposition_holds", "tso"):
        path.write_text(f"file,{column}\nMP.litmus,0\n")
        expected = read_expected(path)
        test = read_test(SHIPPED / "MP.litmus")
        assert [expected.proposition(test, model, None) for model in Model] == [None, False, None]


def test_two_verdicts_of_one_test_are_refused(tmp_path):
    path = tmp_path / "expected.csv"
    path.write_text("file,tso\nMP.litmus,0\nMP.litmus,0\n")
    read_expected(path)
    path.write_text("file,tso\nMP.litmus,0\nMP.litmus,1\n")
    with pytest.raises(InputError, match="expected.csv:3: tso is 1 here, and was the other before"):
        read_expected(path)


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def crosscall(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["litmus", *map(str, arguments)])


def test_the_command(crosscall):
    done = crosscall(SHIPPED / "MP.litmus", SHIPPED / "SB.litmus", "--memory", "sc", "--runs", 5, "--seed", 3)
    assert done.exit_code == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["MP", "forbidden", "not", "seen", "ok"]
    assert lines[-1] == "memory sc, 5 runs each, seed 3: 2 ok, 0 forbidden-seen, 0 not-observed"


def test_json(crosscall):
    done = crosscall(SHIPPED / "MP+ipi.litmus", "--runs", 5, "--json")
    report = json.loads(done.stdout)
    assert (report["memory"], report["runs"], report["seed"], report["refused"]) == ("tso", 5, 0, [])
    assert [(item["name"], item["mode"], item["expected"]) for item in report["tests"]] == [
        ("MP+ipi", "xapic", "forbidden"), ("MP+ipi", "x2apic", "allowed")]
    for item in report["tests"]:
        assert sum(state["count"] for state in item["states"]) == item["runs"] == 5
        assert item["observed"] == any(state["asked"] for state in item["states"])


@pytest.mark.slow
def test_the_engine_is_chosen(crosscall, monkeypatch):
    arguments = (SHIPPED / "MP.litmus", "--runs", 2, "--json")
    reports = [crosscall(*arguments, "--engine", engine).stdout for engine in ("pysim", "compiled")]
    assert reports[0] == reports[1] != ""

    def refuse(config, **options):
        raise MissingToolError("there is no compiler here")

    monkeypatch.setattr("sim.engines.compiled.CompiledEngine", refuse)
    done = crosscall(*arguments, SHIPPED / "IRIW.litmus")
    assert (done.exit_code, done.stderr) == (0, "crosscall: running on PySim, which is slow: there is no compiler here\n")
    done = crosscall(*arguments, "--engine", "compiled")
    assert (done.exit_code, done.stdout, done.stderr) == (3, "", "crosscall: there is no compiler here\n")
    done = crosscall("--engine", "fast")
    assert (done.exit_code, done.stderr) == (2, 'crosscall: there is no engine "fast" (there are: pysim, compiled, verilator)\n')


def test_malformed_files_do_not_stop_the_others(crosscall, tmp_path):
    (tmp_path / "a.litmus").write_text("X86 a\n{}\n P0 ;\n JUMP away ;\n")
    (tmp_path / "b.litmus").write_text((SHIPPED / "CoRR.litmus").read_text())
    done = crosscall(tmp_path, "--runs", 2)
    assert done.exit_code == 2
    assert done.stderr == (f'crosscall: {tmp_path}/a.litmus:4:2: unknown instruction JUMP, did you mean "JMP"?\n'
                            "     JUMP away ;\n     ^\n")
    assert done.stdout.splitlines()[-1].endswith("1 ok, 0 forbidden-seen, 0 not-observed, 1 refused")


def test_a_forbidden_outcome_is_exit_1(crosscall, tmp_path):
    (tmp_path / "mine.csv").write_text("file,mode,tso\nSB.litmus,,0\n")
    done = crosscall(SHIPPED / "SB.litmus", "--expected", "mine.csv", "--runs", 40)
    assert done.exit_code == 1
    assert "forbidden-seen" in done.stdout and "waves/SB.vcd" in done.stdout
    assert (tmp_path / "waves" / "SB.gtkw").is_file()
    done = CliRunner().invoke(app, ["report", "waves/SB.vcd"])
    assert (done.exit_code, done.stderr) == (2, "crosscall: waves/SB.vcd: is of a litmus test, which has no calls\n")


@pytest.mark.parametrize("arguments, message", [
    (["none.litmus"], "none.litmus: there is no such file or folder"),
    (["."], ".: there is no .litmus file in this folder"),
    (["--memory", "rmo"], "--memory rmo: must be sc, tso or pso"),
    (["--expected", "none.csv"], "none.csv: there is no such file"),
    (["--expected", "binary.csv"], "binary.csv:2:1: cannot be read: it is not UTF-8 text"),
    (["--expected", "long.csv"], "long.csv:2: is not CSV: field larger than field limit (131072)"),
    (["--expected", "columns.csv"],
     "columns.csv:1: the first line must name the column file and at least one of sc, tso, pso, proposition_holds\n    a,b"),
    (["--expected", "values.csv"], 'values.csv:2: tso is 1, 0 or empty, not "2"\n    SB.litmus,2'),
    (["--expected", "short.csv"], "short.csv:2: expected 2 values\n    SB.litmus"),
    (["--expected", "mode.csv"], 'mode.csv:2: the mode is xapic, x2apic or empty, not "pic"\n    SB.litmus,pic,1'),
])
def test_refusals(crosscall, tmp_path, arguments, message):
    for name, text in (("columns", "a,b\n"), ("values", "file,tso\nSB.litmus,2\n"), ("short", "file,tso\nSB.litmus\n"),
                       ("mode", "file,mode,tso\nSB.litmus,pic,1\n"), ("long", f"file,tso\n{'a' * 200_000},1\n")):
        (tmp_path / f"{name}.csv").write_text(text)
    (tmp_path / "binary.csv").write_bytes(b"file,tso\n\xff\0\n")
    done = crosscall(*arguments)
    assert (done.exit_code, done.stdout, done.stderr) == (2, "", f"crosscall: {message}\n")


def test_modes_are_told_apart(engines):
    results = run(read_test(SHIPPED / "MP+ipi.litmus"), Model.TSO, engines, runs=60)
    assert [(result.mode, result.observed) for result in results] == [(Mode.XAPIC, False), (Mode.X2APIC, True)]
