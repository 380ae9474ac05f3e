"""Many files at once: which are meant, what a machine must hold, and a run that is interrupted goes on."""

import json
import os
import signal
import subprocess

import pytest

from rtl.config import MachineConfig, Straps
from sim.engines.compiled import CompiledEngine
from sim.engines.engine import Contents, Job
from sim.errors import InputError
from sim.litmus.collection import Notebook, entries
from sim.litmus.command import SHIPPED
from sim.litmus.models import Model, explore
from sim.litmus.parser import parse
from sim.litmus.translate import translate

from .runs import COMMAND


def rows(count, left="MOV [x],$1", right="MOV EAX,[x]"):
    return parse("X86 long\n{ x=0; }\n P0 | P1 ;\n" + f" {left} | {right} ;\n" * count + "exists (x=1)\n", "long.litmus")


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """a.litmus, more/a.litmus, and indices."""
    (tmp_path / "more").mkdir()
    for name in ("a", "more/a"):
        (tmp_path / f"{name}.litmus").write_text((SHIPPED / "SB.litmus").read_text())
    (tmp_path / "@all").write_text("# a comment\na.litmus # one\n\nmore/@all\n")
    (tmp_path / "more" / "@all").write_text("a.litmus\nnone.litmus\n")
    return tmp_path


def test_an_index_names_files_and_indices(folder):
    found = entries([folder / "@all"])
    assert [entry.path for entry in found] == [folder / "a.litmus", folder / "more" / "a.litmus", folder / "more" / "none.litmus"]
    assert [entry.error and str(entry.error) for entry in found] == [
        None, None, f"{folder}/more/@all:2:1: there is no file none.litmus\n    none.litmus\n    ^"]
    assert len({entry.stem for entry in found}) == 3        # two files of one name have waves of their own
    assert [entry.path for entry in entries([folder])] == [folder / "a.litmus", folder / "more" / "a.litmus"]


def test_an_index_that_names_itself_is_refused(folder):
    (folder / "more" / "@all").write_text("../@all\n")
    with pytest.raises(InputError, match="this index names itself"):
        entries([folder / "@all"])


def test_the_end_counts_the_reasons(crosscall, folder):
    (folder / "b.litmus").write_text("PPC b\n{}\n P0 ;\n")
    (folder / "c.litmus").write_text("PPC c\n{}\n P0 ;\n")
    (folder / "d.litmus").write_text("X86 d\n{}\n P0 ;\n FOO ;\n")
    code, out, _ = crosscall("litmus", folder, "--runs", 2)
    assert code == 2
    assert out.splitlines()[-2:] == ["       2 refused: PPC is another architecture", "       1 refused: unknown instruction FOO"]
    report = json.loads(crosscall("litmus", folder, "--runs", 2, "--json")[1])
    assert report["reasons"] == {"PPC is another architecture": 2, "unknown instruction FOO": 1} and len(report["tests"]) == 2


# --- an interrupted run -----------------------------------------------------------------------------------------------


def test_a_notebook_forgets_a_file_that_has_changed(tmp_path):
    test = tmp_path / "a.litmus"
    test.write_text("one")
    book = Notebook(tmp_path / "book", {"runs": 3})
    book.add(test, [{"verdict": "ok"}])
    book.write()
    again = Notebook(tmp_path / "book", {"runs": 3})
    again.read()
    assert again.results(test) == [{"verdict": "ok"}]
    test.write_text("two")
    assert again.results(test) is None
    with pytest.raises(InputError, match="the interrupted run had runs 3, not 4"):
        Notebook(tmp_path / "book", {"runs": 4}).read()


@pytest.mark.parametrize("text", [
    "", "{", "[]", '{"format": "crosscall litmus notebook", "version": 1, "settings": {}, "done": {"a": 1}}',
])
def test_a_notebook_that_is_none_is_refused(crosscall, tmp_path, text):
    (tmp_path / "waves").mkdir()
    (tmp_path / "waves" / "litmus.notebook").write_text(text)
    code, out, err = crosscall("litmus", "--resume")
    assert (code, out) == (2, "") and err.startswith("crosscall: waves/litmus.notebook: ")


def test_resume_without_a_notebook_is_refused(crosscall):
    assert crosscall("litmus", "--resume") == (
        2, "", "crosscall: waves/litmus.notebook: there is no notebook of an interrupted run\n")


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_interrupted_run_goes_on(tmp_path, processes):
    folder = tmp_path / "tests"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number:02}.litmus").write_text((SHIPPED / "SB.litmus").read_text())
    command = [*COMMAND, "litmus", str(folder), "--runs", "40", "--processes", str(processes),
               "--out", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        for _ in range(8):
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "files are done, as" in err
    noted = json.loads((tmp_path / "out" / "litmus.notebook").read_text())["done"]
    assert 0 < len(noted) < 30
    done = subprocess.run([*command, "--resume", "--json"], capture_output=True, text=True, check=True, timeout=120)
    tests = json.loads(done.stdout)["tests"]
    assert [test["name"] for test in tests] == [f"{number:02}" for number in range(30)]
    assert all(tests[int(os.path.basename(name)[:2])] == noted[name]["results"][0] for name in noted)
    assert not (tmp_path / "out" / "litmus.notebook").exists()


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)], ids=["some", "all"])
def test_results_do_not_depend_on_who_works_them_out(crosscall, every):
    tests = sorted(SHIPPED.glob("*.litmus"))[::every]
    reports = [crosscall("litmus", *tests, "--runs", 3, "--json", "--processes", count)[1] for count in (1, 3)]
    assert reports[0] == reports[1] != ""


# --- what a machine holds ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [20, 110, 150, 200])
def test_the_machine_is_sized_by_the_test(count):
    program = translate(rows(count))
    assert len(program.image.words) <= program.config.microcode_depth and program.config.microcode_depth >= 2 * count


def test_many_locations_fit():
    test = parse(f"X86 wide\n{{ {'; '.join(f'x{number}={number}' for number in range(600))}; }}\n P0 ;\n MOV EAX,[x599] ;\n"
                 "exists (0:EAX=599)", "wide.litmus")
    assert translate(test).config.arena_depth == 1024


def test_what_no_machine_holds_is_refused_by_name():
    with pytest.raises(InputError, match=r"long.litmus: no machine is large enough: the test needs \d+ words of microcode, "
                                         ".* and microcode_depth must be a power of two"):
        translate(rows(3000))


def test_a_long_test_is_not_accused(crosscall, tmp_path):
    (tmp_path / "long.litmus").write_text("X86 long\n{ x=0; }\n P0 | P1 ;\n" + " MOV [x],$1 | MOV EAX,[x] ;\n" * 150
                                          + "exists (x=1)\n")
    code, out, _ = crosscall("litmus", "long.litmus", "--runs", 6)
    assert code == 0 and "did not end" not in out


def test_too_many_states_are_said(crosscall, tmp_path, monkeypatch):
    monkeypatch.setattr("sim.litmus.models._MAX_WORK", 100)
    (tmp_path / "IRIW.litmus").write_text((SHIPPED / "IRIW.litmus").read_text())
    code, out, _ = crosscall("litmus", "IRIW.litmus", "--runs", 4)
    lines = out.splitlines()
    assert code == 0 and lines[0].split()[:2] == ["IRIW", "unknown"]
    assert lines[1] == "  too many states to try all orders: judged only by what was seen"
    item, = json.loads(crosscall("litmus", "IRIW.litmus", "--runs", 4, "--json")[1])["tests"]
    assert (item["enumerated"], item["expected"]) == (False, None)


@pytest.mark.parametrize("work", [50_000, pytest.param(None, marks=pytest.mark.slow)])
def test_a_loop_that_counts_for_ever_is_bounded(work, monkeypatch):
    if work is not None:
        monkeypatch.setattr("sim.litmus.models._MAX_WORK", work)
    test = parse("X86 loop\n{ x=0; }\n P0 | P1 ;\n a: INC [x] | b: INC [x] ;\n JMP a | JMP b ;\nexists (x=1)", "loop.litmus")
    assert explore(test, Model.TSO) is None


def test_what_never_ends_is_refused_and_no_machine_accused(crosscall, tmp_path):
    (tmp_path / "ever.litmus").write_text("X86 ever\n{ x=0; }\n P0 | P1 ;\n a: JMP a | MOV [x],$1 ;\nexists (x=1)\n")
    code, _, err = crosscall("litmus", "ever.litmus", "--runs", 2)
    assert (code, err) == (2, "crosscall: ever.litmus: no run of this test ends: some thread runs forever, whatever the order\n")


@pytest.mark.parametrize("contents", [
    Contents([0] * 65, {}), Contents([0], {64: 1}), Contents([0], {-1: 1}),
])
def test_nothing_is_written_behind_a_memory(contents):
    engine = CompiledEngine(MachineConfig(n_cores=1, microcode_depth=64, arena_depth=64, stack_depth=16))
    with pytest.raises(ValueError, match="memory 0 has fewer words than|there is no word"):
        engine.run(Job(contents, Straps(), max_clocks=10))
