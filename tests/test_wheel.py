"""The wheel, as somebody has it who knows nothing of the repository."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
INPUTS = ("crosscall", "rtl", "sim", "LICENSE", "README.md", "pyproject.toml", "setup.py")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Folder of an environment in which the wheel is installed. What it depends on comes from the environment of the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in INPUTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / "source" / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, folder / "source"], check=True)
    shutil.rmtree(folder / "source")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    (wheel,) = folder.glob("crosscall-*.whl")
    subprocess.run([*pip, "--python", folder / "env", "install", "--no-deps", wheel], check=True)
    # Paths alone: the lines that would import something are for the editable installation.
    (site_of(folder / "env") / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "env"


def site_of(environment):
    (site,) = environment.glob("lib/python*/site-packages")
    return site


def crosscall(environment, cwd, *words, module=False):
    """Runs the command in a folder that has nothing to do with the repository."""
    command = [environment / "bin" / "python", "-m", "crosscall"] if module else [environment / "bin" / "crosscall"]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run([*command, *words], cwd=cwd, env=variables, capture_output=True, text=True)


def script(environment, cwd, text):
    """What a Python program prints there."""
    return subprocess.run([environment / "bin" / "python", "-c", text], cwd=cwd, capture_output=True, text=True, check=True).stdout


def test_one_package_at_the_top(environment):
    site = site_of(environment)
    assert {path.name for path in site.iterdir() if path.suffix not in (".pth", ".dist-info")} == {"crosscall"}
    (info,) = site.glob("*.dist-info")
    assert (info / "top_level.txt").read_text().split() == ["crosscall"]


def test_everything_is_in_it(environment):
    inside = site_of(environment) / "crosscall"
    for part in ("rtl", "sim"):
        wanted = {path.relative_to(ROOT) for path in (ROOT / part).rglob("*") if path.is_file() and "__pycache__" not in path.parts}
        assert {path.relative_to(inside) for path in (inside / part).rglob("*")
                if path.is_file() and "__pycache__" not in path.parts} == wanted


def test_what_it_imports_is_its_own(environment, tmp_path):
    done = script(environment, tmp_path, "import crosscall, rtl, sim; print(rtl.__file__, sim.__file__)")
    assert all(Path(path).is_relative_to(environment) for path in done.split())


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_processes_know_its_parts(environment, tmp_path, method):
    """Whatever way they are started in: what is sent to them and back is of classes of ``rtl`` and ``sim``."""
    (tmp_path / "script.py").write_text(f"""
import crosscall
from multiprocessing import get_context
from sim.runs.settings import preset_config

if __name__ == "__main__":
    with get_context("{method}").Pool(1) as pool:
        print(pool.map(preset_config, ["tiny"]) == [preset_config("tiny")])
""")
    assert script(environment, tmp_path, "import runpy; runpy.run_path('script.py', run_name='__main__')") == "True\n"


@pytest.mark.parametrize("engine", ["pysim", "compiled"])
def test_run(environment, tmp_path, engine):
    done = crosscall(environment, tmp_path, "run", "single", "--json", "--engine", engine)
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert result["ok"]
    assert {path.name for path in (tmp_path / "waves").iterdir()} >= {"single.vcd", "single.gtkw", "single.events.jsonl"}


def test_the_same_digest_as_in_the_repository(environment, tmp_path):
    words = ("run", "many", "--json", "--no-vcd")
    theirs = crosscall(environment, tmp_path, *words)
    ours = subprocess.run([sys.executable, "-m", "sim", *words, "--out", tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert json.loads(theirs.stdout)["digest"] == json.loads(ours.stdout)["digest"]


def test_python_interface(environment, tmp_path):
    """Found by its name alone, and its types, too."""
    done = script(environment, tmp_path, "import crosscall; print(crosscall.run('single').ok, "
                  "crosscall.hunt('early-return', runs=64, processes=2).findings[0].flag)")
    assert done.split() == ["True", "early_return"]
    (tmp_path / "user.py").write_text("import crosscall\nreveal_type(crosscall.run().calls[0].latency)\n")
    mypy = [sys.executable, "-m", "mypy", "--python-executable", environment / "bin" / "python", "user.py"]
    typed = subprocess.run(mypy, cwd=tmp_path, capture_output=True, text=True)
    assert typed.returncode == 0 and '"int | None"' in typed.stdout, typed.stdout


def test_litmus(environment, tmp_path):
    tests = site_of(environment) / "crosscall" / "sim" / "litmus" / "tests"
    done = crosscall(environment, tmp_path, "litmus", tests / "SB.litmus", tests / "MP+ipi.litmus", "--runs", "50", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert {test["name"] for test in json.loads(done.stdout)["tests"]} == {"SB", "MP+ipi"}


def test_hunt_with_processes(environment, tmp_path):
    done = crosscall(environment, tmp_path, "hunt", "many", "--runs", "200", "--processes", "2", "--json")
    assert done.returncode == 1, done.stderr      # it finds v4's early return
    assert (tmp_path / "waves" / "many.early_return.schedule").exists()


def test_asm_and_version(environment, tmp_path):
    done = crosscall(environment, tmp_path, "asm", "v4", module=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "csd_lock" in done.stdout
    (tmp_path / "mine.uasm").write_text('.include "v4.uasm"\n')
    assert crosscall(environment, tmp_path, "asm", "mine.uasm").stdout.count("\n") == done.stdout.count("\n")
    assert crosscall(environment, tmp_path, "--version").stdout.startswith("crosscall ")
