"""The house itself: who may import whom, what modules say they offer, and that what the README says can be typed."""

import ast
import importlib
import pkgutil
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import typer.main

import crosscall
import rtl
import sim
from sim.cli import app
from sim.texts import count

ROOT = Path(__file__).parent.parent
PACKAGES = (crosscall, rtl, sim)
MODULES = sorted(module.name for package in PACKAGES for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def tracked_files():
    """What is in the repository; without git, what lies about outside of hidden folders."""
    try:
        names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
        return [ROOT / name for name in names if (ROOT / name).is_file()]
    except (OSError, subprocess.CalledProcessError):
        files = (path for folder in ("crosscall", "rtl", "sim", "tests", "docs") for path in (ROOT / folder).rglob("*"))
        return [path for path in files if path.is_file() and "__pycache__" not in path.parts]


@pytest.mark.parametrize("name", MODULES)
def test_modules_import_and_offer_what_they_say(name):
    module = importlib.import_module(name)
    if Path(module.__file__).name == "__init__.py" and not hasattr(module, "__all__"):
        return
    assert hasattr(module, "__all__"), "a module says what it offers"
    assert len(set(module.__all__)) == len(module.__all__)
    for item in module.__all__:
        assert hasattr(module, item), f"__all__ names {item}"


@pytest.mark.parametrize("path", sorted((ROOT / "rtl").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_hardware_knows_nothing_of_simulation(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [item.name for item in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        else:
            continue
        assert not [name for name in names if name.split(".")[0] in ("sim", "tests")]


def test_who_changes_the_hardware_says_so():
    """With ``change_hardware``: else other tests would be given the machine that was changed."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")]
    assert not [text for text in texts if re.search(r"(?<!change_hardware)\(\s*[\"']rtl\.\w", text)]
    assert any("change_hardware(\"rtl." in text for text in texts)


def private_parts(path):
    """What a file imports of Amaranth that has no public name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [item.name for item in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{item.name}" for item in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "amaranth" and "._" in name)


def numbers_before_plurals(tree, plurals):
    """The texts in which one of these words follows a number that may be 1; constants and numbers with commas are not."""
    for node in ast.walk(tree):
        for number, text in pairwise(node.values) if isinstance(node, ast.JoinedStr) else ():
            if (isinstance(number, ast.FormattedValue) and number.format_spec is None and isinstance(text, ast.Constant)
                    and any(name.id != name.id.upper() for name in ast.walk(number) if isinstance(name, ast.Name))
                    and re.match(rf" ({'|'.join(plurals)})(?! itself|[\w/])", text.value)):
                yield f"line {node.lineno}: {ast.unparse(number)}{text.value}"


def test_one_is_singular():
    """Each word that is counted somewhere is counted by ``sim.texts.count`` everywhere."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for folder in ("sim", "crosscall")
             for path in sorted((ROOT / folder).rglob("*.py"))}
    nouns = {ast.literal_eval(node.args[1]) for tree in trees.values() for node in ast.walk(tree)
             if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "count" and node.args[1:]
             and isinstance(node.args[1], ast.Constant)}
    assert {"core", "clock", "call", "run"} <= nouns
    plurals = [count(2, noun).partition(" ")[2] for noun in sorted(nouns)]
    assert not {path.name: found for path, tree in trees.items() if (found := list(numbers_before_plurals(tree, plurals)))}
    page = (ROOT / "sim/report/page.js").read_text(encoding="utf-8")
    assert not re.findall(rf"}} (?:{'|'.join(plurals)})(?![\w/])", page)
    assert (count(1, "entry"), count(2, "entry"), count(0, "core")) == ("1 entry", "2 entries", "no cores")


def test_what_amaranth_keeps_private_has_one_door():
    files = [path for package in PACKAGES for path in Path(package.__path__[0]).rglob("*.py")]
    assert [path.name for path in files if list(private_parts(path))] == ["netlist.py"]


def commands():
    """(document, words) of every crosscall command line in the documents, in code blocks and in backticks."""
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        blocks = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        lines = [line for block in blocks for line in block.splitlines()]
        lines += re.findall(r"`(crosscall [^`]*)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
        for line in lines:
            line = line.removeprefix("$ ")
            if line.startswith("crosscall "):
                yield pytest.param(line.split("#")[0].split()[1:], id=f"{path.name}: {line.split('#')[0].strip()}")


@pytest.mark.parametrize("words", list(commands()))
def test_documented_commands_exist(words):
    command, rest = typer.main.get_command(app), words
    while hasattr(command, "commands") and rest and not rest[0].startswith("--"):
        name, *rest = rest
        assert name in command.commands
        command = command.commands[name]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word.split("=")[0] for word in rest if word.startswith("--")} <= options


def test_documented_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {name for path in DOCUMENTS for name in re.findall(r"\bmake ([a-z-]+)\b(?=`| +#)", path.read_text(encoding="utf-8"))}
    assert named
    assert named <= targets


@pytest.mark.parametrize("file", [".ci/run", ".pre-commit-config.yaml"])
def test_what_runs_by_itself_exists(file):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    run = re.findall(r"^(?:make| +entry: make) ([a-z-]+)$", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    assert run and set(run) <= set(targets)


def test_every_slice_is_a_test_that_exists():
    """Its case exists, too, or `make slices` refuses it."""
    for slice_ in (ROOT / "tests" / "slices.txt").read_text(encoding="utf-8").split("\n")[:-1]:
        file, _, name = slice_.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / file).read_text(encoding="utf-8") if name else (ROOT / file).is_file()


def places(path):
    """Where in a document a link may lead: its headings, as they are written behind ``#``."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


@pytest.mark.parametrize("path", [*DOCUMENTS, ROOT / "waves" / "README.md"], ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(path):
    for target, place in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", path.read_text(encoding="utf-8")):
        file = path.parent / target if target else path
        assert file.exists(), f"{path.name} links to {target}"
        assert not place or place in places(file), f"{path.name} links to {target}#{place}"


def test_every_page_is_in_the_table_of_contents():
    index = ROOT / "docs" / "index.md"
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```", index.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    named = {name for tree in trees for name in tree.splitlines() if name and not name.startswith(":")}
    assert {path.stem for path in index.parent.glob("*.md")} - {"index"} == {name for name in named if "/" not in name}


def test_no_path_of_somebodys_machine():
    pattern = re.compile(r"(?<![\w.])/(work|root|home|Users|tmp)/\w")
    for path in tracked_files():
        found = pattern.search(path.read_text(encoding="utf-8", errors="ignore"))
        assert found is None, f"{path.relative_to(ROOT)} contains {found[0]}..."
