"""The scenario reader: what it reads, and every refusal with its whole sentence."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from rtl.config import MachineConfig
from sim.errors import InputError
from sim.microcode.image import Field, Image, ObjectType, StoredObject
from sim.scenarios.contents import contents
from sim.scenarios.reader import find_scenario, read_scenario, shipped_scenarios

FIELDS = ("routine", "func", "target", "mask", "wait", "at", "delay", "repeat", "nested", "frozen", "data")


def image(n_cores=4, xlen=16, fields=FIELDS):
    """A protocol with nothing in it but what scenarios need."""
    word = ObjectType("word", 1, (Field("", 0),))
    objects = [StoredObject("boot_online", "boot_online", word, 16),
               StoredObject("allocation_failures", "allocation_failures", word, 17)]
    for core in range(n_cores):
        objects.append(StoredObject(f"program[{core}]", "program", word, 32 + 4 * core, cpu=core))
        objects.append(StoredObject(f"work_clocks[{core}]", "work_clocks", word, 33 + 4 * core, cpu=core))
    names = ["cmd_single", "cmd_many", "cmd_all", "cmd_cpu_up", "func_nop", "func_work", "func_nested"]
    symbols = {name: 100 + index for index, name in enumerate(names)}
    return Image(
        path=Path("small.uasm"), title="small", n_cores=n_cores, xlen=xlen, words=(0,) * 128, symbols=symbols,
        entries=frozenset(symbols), arena={16: 0, 20: 7}, objects=tuple(objects), constants={},
        structs={"command": ObjectType("command", len(fields), tuple(Field(name, i) for i, name in enumerate(fields)))},
        warnings={}, roles={}, names={}, lines={}, percpu_base=32, percpu_shift=2, heap=64)


@pytest.fixture
def scenario_file(tmp_path, monkeypatch):
    """Writes a scenario file under a relative path, so that whole messages can be compared."""
    monkeypatch.chdir(tmp_path)

    def write(text):
        Path("x.toml").write_text(text, encoding="utf-8")
        return Path("x.toml")

    return write


def program(command, cores="[0]"):
    return f"[[program]]\ncores = {cores}\ncommands = [\n    {{ {command} }},\n]\n"


NOTHING = program('call = "nothing"')


# --- what is read ---------------------------------------------------------------------------------------------------


def test_every_choice_is_made(scenario_file):
    path = scenario_file("""
title = "a title"
cores = 3
[machine]
arena_depth = 2048
[straps]
fabric_latency = 9
[defines]
KNOB = 1
[expect]
violations = ["O12", "O1"]
[boot]
online = [0, 2]
allocations_fail = [1, 3]
[functions]
work = [20, 10]
[[program]]
cores = [1]
commands = [
    { call = "single", target = 2, func = "work", wait = true, at = 500, delay = 10, repeat = 3 },
    { call = "many", mask = "others" },
]
[[program]]
cores = "others"
commands = [{ call = "many", mask = [0, 2], func = "nested", nested = "next" }, { call = "csd", target = "self" }]
""")
    scenario = read_scenario(path, seed=0)
    assert (scenario.name, scenario.title, scenario.protocol, scenario.n_cores) == ("x", "a title", "v4", 3)
    assert scenario.machine == {"arena_depth": 2048}
    assert scenario.straps == {"fabric_latency": 9}
    assert scenario.defines == {"KNOB": 1}
    assert scenario.expected == ("O1", "O12")
    assert scenario.online == 0b101
    assert scenario.allocation_failures == 1 << 15 | 1 << 13
    assert scenario.work == (20, 10, 20)
    first, second = scenario.programs[1]
    assert (first.call, first.target, first.func, first.wait) == ("single", 2, "work", True)
    assert (first.at, first.delay, first.repeat) == (500, 10, 3)
    assert (second.mask, second.func, second.wait, second.at, second.delay, second.repeat) == (0b101, "nop", False, 0, 0, 1)
    assert [command.call for command in scenario.programs[0]] == ["many", "csd"]
    assert [commands[0].mask for commands in scenario.programs] == [0b101, 0, 0b101]
    assert [scenario.programs[core][0].nested for core in (0, 2)] == [1, 0]
    assert [scenario.programs[core][1].target for core in (0, 2)] == [0, 2]


def test_chance_hangs_on_the_seed_alone(scenario_file):
    path = scenario_file('[functions]\nwork = "10..50"\n' + program('call = "all", delay = "0..1000"', '"all"'))
    once, again, other = (read_scenario(path, cores=8, seed=seed) for seed in (1, 1, 2))
    assert once == again
    assert once != other
    assert all(10 <= work <= 50 for work in once.work)
    assert len({commands[0].delay for commands in once.programs}) > 1


def test_the_protocol_of_a_scenario_is_found_beside_it(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text('protocol = "mine.uasm"\n' + NOTHING)
    assert read_scenario(path, seed=0).protocol == str(tmp_path / "mine.uasm")


def test_absent_target_is_for_linux_to_refuse(scenario_file):
    scenario = read_scenario(scenario_file(program('call = "single", target = 99')), seed=0)
    assert scenario.programs[0][0].target == 99


@pytest.mark.parametrize("name", shipped_scenarios())
@pytest.mark.parametrize("cores", [None, 4, 5, 8, 33])
def test_shipped_scenarios_fit_machines_from_4_cores_up(name, cores):
    try:
        scenario = read_scenario(find_scenario(name), cores=cores, seed=0)
    except InputError as error:
        assert name in ("busy-target", "offline-mask", "rendezvous-many", "starved") and cores == 4
        assert "needs at least 5 cores" in str(error)
        return
    assert scenario.title != name
    assert any(scenario.programs)


# --- contents -------------------------------------------------------------------------------------------------------


def test_mask_may_be_a_struct_and_the_protocol_may_have_fields_of_its_own(scenario_file):
    small = image(fields=("own", *FIELDS[:3], "mask.bits", *FIELDS[4:], "csd.flags"))
    loaded = contents(read_scenario(scenario_file(program('call = "many", mask = [1, 2]')), seed=0), small, MachineConfig())
    first = loaded.arena[small.address_of("program[0]")]
    assert loaded.arena[first + 4] == 0b110
    assert first not in loaded.arena
    assert loaded.arena[small.address_of("program[1]")] == first + 2 * (len(FIELDS) + 2)


def test_commands_stand_on_the_heap(scenario_file):
    path = scenario_file("[functions]\nwork = [5, 6]\n[boot]\nonline = [0, 1]\nallocations_fail = [2]\n"
                         + program('call = "single", target = 1, func = "work", wait = true, at = 3, delay = 4, repeat = 2')
                         + program('call = "all"', "[2]"))
    small = image()
    loaded = contents(read_scenario(path, seed=0), small, MachineConfig())
    assert loaded.microcode == small.words
    at = small.address_of
    assert [loaded.arena[at(f"work_clocks[{core}]")] for core in range(4)] == [5, 6, 5, 6]
    assert loaded.arena[at("boot_online")] == 0b11
    assert loaded.arena[at("allocation_failures")] == 1 << 14
    assert loaded.arena[20] == 7
    # Core after core, each list ended by a block of zeros.
    size = len(FIELDS)
    first = small.heap
    assert [loaded.arena[at(f"program[{core}]")] for core in range(4)] == [first + blocks * size for blocks in (0, 2, 3, 5)]
    assert not any(loaded.arena.get(first + size + offset) for offset in range(2 * size))
    block = [loaded.arena[first + offset] for offset in range(size)]
    assert block == [small.symbols["cmd_single"], small.symbols["func_work"], 1, 0, 1, 3, 4, 2, 0, 0, 0]
    assert loaded.arena[first + 3 * size] == small.symbols["cmd_all"]


# --- refusals -------------------------------------------------------------------------------------------------------

REFUSALS = [
    # The file
    ("a = ", "x.toml:1:5: is not TOML: Invalid value\n    a = \n        ^"),
    ("[[program", 'x.toml:1:10: is not TOML: Expected \']]\' at the end of an array declaration\n    [[program\n             ^'),
    ("a = 1\na = 2", "x.toml:2:6: is not TOML: Cannot overwrite a value\n    a = 2\n         ^"),
    ("", "x.toml:1: there is no [[program]], so no core has anything to do\n    "),
    # Keys and types
    ("titel = 'x'\n" + NOTHING,
     ('x.toml:1:1: titel is not known here, did you mean "title"? (known: title, protocol, cores, min_cores, machine, straps, '
     "defines, expect, limits, boot, functions, calls, program)\n    titel = 'x'\n    ^")),
    ("title = 3\n" + NOTHING, "x.toml:1:1: title must be a string, not 3\n    title = 3\n    ^"),
    ("title = ' '\n" + NOTHING, "x.toml:1:1: title must be one line of text\n    title = ' '\n    ^"),
    ("boot = 3\n" + NOTHING, "x.toml:1:1: boot must be a table, not 3\n    boot = 3\n    ^"),
    ("program = [3]", "x.toml:1:1: program must be a list of tables, but [0] is 3\n    program = [3]\n    ^"),
    ("cores = true\n" + NOTHING, "x.toml:1:1: cores must be a whole number, not True\n    cores = true\n    ^"),
    ("cores = 0\n" + NOTHING, "x.toml:1:1: cores must be at least 1, not 0\n    cores = 0\n    ^"),
    ("cores = 65\n" + NOTHING, "x.toml:1:1: cores must be at most 64, not 65\n    cores = 65\n    ^"),
    ("min_cores = 5\n" + NOTHING,
     "x.toml:1:1: min_cores says that the scenario needs at least 5 cores, not 4\n    min_cores = 5\n    ^"),
    ("[machine]\nn_cores = 3\n" + NOTHING,
     "x.toml:2:1: machine.n_cores is written as cores, at the top of the file\n    n_cores = 3\n    ^"),
    ("[machine]\nbanks = 2\n" + NOTHING,
     ('x.toml:2:1: machine.banks is not known here, did you mean "n_banks"? (known: xlen, microcode_depth, stack_depth, '
      "arena_depth, store_buffer_depth, n_banks, n_vectors, fabric, pso, x2apic_mode, task_priority, error_status, "
      "register_reads, delay_bits)\n"
      "    banks = 2\n    ^")),
    ("[straps]\nfabric_latencies = 3\n" + NOTHING,
     ('x.toml:2:1: straps.fabric_latencies is not known here, did you mean "fabric_latency"? (known: memory_model, x2apic, '
     "fabric_latency, arena_latency, interrupt_entry, interrupt_return)\n    fabric_latencies = 3\n    ^")),
    ("[defines]\nKNOB = 'on'\n" + NOTHING, "x.toml:2:1: defines.KNOB must be a whole number, not 'on'\n    KNOB = 'on'\n    ^"),
    ("[expect]\nviolations = [1]\n" + NOTHING,
     "x.toml:2:1: expect.violations must be a list of oracles such as \"O1\", not 1\n    violations = [1]\n    ^"),
    ('title = "\\u001b[31m"\n' + NOTHING, 'x.toml:1:1: title must be one line of text\n    title = "\\u001b[31m"\n    ^'),
    ("[defines]\nKNOB = 0x1" + "0" * 16 + "\n" + NOTHING,
     "x.toml:2:1: defines.KNOB is too large: a number has at most 64 bits\n    KNOB = 0x10000000000000000\n    ^"),
    # Boot and functions
    ("[boot]\nonline = [1]\n" + NOTHING,
     "x.toml:2:1: boot.online must contain core 0, which boots the machine\n    online = [1]\n    ^"),
    ("[boot]\nonline = [0, 4]\n" + NOTHING,
     "x.toml:2:1: boot.online names core 4, but the machine has cores 0 to 3\n    online = [0, 4]\n    ^"),
    ("[boot]\nallocations_fail = [0]\n" + NOTHING,
     ("x.toml:2:1: boot.allocations_fail counts allocations from 1 to 16, so it cannot contain 0\n"
      "    allocations_fail = [0]\n    ^")),
    ("[functions]\nwork = -1\n" + NOTHING, "x.toml:2:1: functions.work must be at least 0, not -1\n    work = -1\n    ^"),
    ("[functions]\nwork = []\n" + NOTHING, "x.toml:2:1: functions.work must not be empty\n    work = []\n    ^"),
    ("[functions]\nwork = 'much'\n" + NOTHING,
     "x.toml:2:1: functions.work must be a whole number or a range such as \"10..50\", not 'much'\n    work = 'much'\n    ^"),
    ("[functions]\nwork = '9..1'\n" + NOTHING,
     "x.toml:2:1: functions.work \"9..1\" is in the wrong order: write the smaller number first\n    work = '9..1'\n    ^"),
    # Programs
    ("[[program]]\ncores = [0]\n", "x.toml:1:3: program[0] has no commands\n    [[program]]\n      ^"),
    ("[[program]]\ncores = [0]\ncommands = []\n", "x.toml:1:3: program[0] has no commands\n    [[program]]\n      ^"),
    ("[[program]]\ncommands = [{ call = 'nothing' }]\n",
     'x.toml:1:3: program[0] does not say which cores it is for: cores = [0], "all" or "others"\n    [[program]]\n      ^'),
    (NOTHING.replace("[0]", "0"),
     'x.toml:2:1: program[0].cores must be a list of cores, "all" or "others", not 0\n    cores = 0\n    ^'),
    (NOTHING.replace("[0]", "[0, 0]"), "x.toml:2:1: program[0].cores names core 0 twice\n    cores = [0, 0]\n    ^"),
    (NOTHING.replace("[0]", "[9]"),
     "x.toml:2:1: program[0].cores names core 9, but the machine has cores 0 to 3\n    cores = [9]\n    ^"),
    (NOTHING.replace("[0]", "[]"), "x.toml:2:1: program[0].cores names no core\n    cores = []\n    ^"),
    (NOTHING + NOTHING, "x.toml:7:1: program[1].cores gives core 0 a second program\n    cores = [0]\n    ^"),
    (2 * NOTHING.replace("[0]", '"others"'),
     'x.toml:7:1: program[1].cores is "others" in a second program\n    cores = "others"\n    ^'),
]

#: (command, its refusal without the place of the line)
COMMANDS = [
    ('cal = "all"', 1, ('program[0].commands[0].cal is not known here, did you mean "call"? (known: call, func, target, mask, '
                       "wait, at, delay, repeat, nested, frozen)")),
    ("wait = true", None, "program[0].commands[0] has no call"),
    ('call = "single"', None, 'program[0].commands[0] is a "single" call and needs a target'),
    ('call = "many"', None, 'program[0].commands[0] is a "many" call and needs a mask'),
    ('call = "many", mask = [1, 7]', 16, "program[0].commands[0].mask names core 7, but the machine has cores 0 to 3"),
    ('call = "many", mask = [1, 1]', 16, "program[0].commands[0].mask names core 1 twice"),
    ('call = "many", mask = [-1]', 16, "program[0].commands[0].mask names core -1, but the machine has cores 0 to 3"),
    ('call = "many", mask = ["1"]', 16, "program[0].commands[0].mask must name cores by number, not '1'"),
    ('call = "many", mask = 7', 16, 'program[0].commands[0].mask must be a list of cores, "all" or "others", not 7'),
    ('call = "csd", target = 99', 15, "program[0].commands[0].target names core 99, but the machine has cores 0 to 3"),
    ('call = "single", target = -1', 18, "program[0].commands[0].target names core -1, but the machine has cores 0 to 3"),
    ('call = "single", target = "all"', 18,
     'program[0].commands[0].target must be a core number, "self" or "next", not \'all\''),
    ('call = "all", wait = 1', 15, "program[0].commands[0].wait must be true or false, not 1"),
    ('call = "all", repeat = 0', 15, "program[0].commands[0].repeat must be at least 1, not 0"),
    ('call = "all", delay = 1.5', 15,
     'program[0].commands[0].delay must be a whole number or a range such as "10..50", not 1.5'),
    ('call = "all", at = true', 15, 'program[0].commands[0].at must be a whole number or a range such as "10..50", not True'),
    ('call = "all", func = "nested"', None,
     'program[0].commands[0] has func "nested" and needs nested, the core that is called from it'),
]

#: The same for what only the protocol can tell.
WITH_IMAGE = [
    ('call = "singel"', 1, ('program[0].commands[0].call names the call "singel", which the protocol small.uasm does not have, '
                           'did you mean "single"? (it has: all, cpu_up, many, single)')),
    ('call = "all", func = "x"', 15, ('program[0].commands[0].func names the func "x", which the protocol small.uasm does not '
                                     "have (it has: nested, nop, work)")),
    ('call = "all", at = "1..65536"', 15,
     "program[0].commands[0].at is too large: 65536 does not fit the 16 bits of a word (a wider machine: --set xlen=32)"),
]


def at_command(command, column, message):
    """The whole message about the command on line 4."""
    line = f"    {{ {command} }},"
    if column is None:
        return f"x.toml:4: {message}\n    {line}"
    return f"x.toml:4:{column + 6}: {message}\n    {line}\n    {' ' * (column + 5)}^"


@pytest.mark.parametrize("text, message", REFUSALS)
def test_refusals(scenario_file, text, message):
    with pytest.raises(InputError) as refused:
        read_scenario(scenario_file(text), seed=0)
    assert str(refused.value) == message


@pytest.mark.parametrize("command, column, message", COMMANDS)
def test_refusals_of_commands(scenario_file, command, column, message):
    with pytest.raises(InputError) as refused:
        read_scenario(scenario_file(program(command)), seed=0)
    assert str(refused.value) == at_command(command, column, message)


@pytest.mark.parametrize("command, column, message", WITH_IMAGE)
def test_refusals_against_the_protocol(scenario_file, command, column, message):
    scenario = read_scenario(scenario_file(program(command)), seed=0)
    with pytest.raises(InputError) as refused:
        contents(scenario, image(), MachineConfig())
    assert str(refused.value) == at_command(command, column, message)


def _remarks(scenario_file, text, **options):
    return [str(remark).split("\n")[0] for remark in read_scenario(scenario_file(text), seed=0, **options).remarks]


@pytest.mark.parametrize("command, message", [
    ('call = "all", mask = [1]', '4:21: program[0].commands[0].mask is ignored by "all"'),
    ('call = "many", mask = [1], target = 1', '4:34: program[0].commands[0].target is ignored by "many"'),
    ('call = "hold_call_lock", wait = true', '4:32: program[0].commands[0].wait is ignored by "hold_call_lock"'),
    ('call = "nothing", func = "work"', '4:25: program[0].commands[0].func is ignored by "nothing"'),
    ('call = "cpu_up", target = 1, wait = true', '4:36: program[0].commands[0].wait is ignored by "cpu_up"'),
    ('call = "all", frozen = true', '4:21: program[0].commands[0].frozen is ignored by "all"'),
    ('call = "all", func = "work", nested = 1', '4:36: program[0].commands[0].nested is ignored by func "work"'),
    ('call = "all", func = "nested", nested = 1', None),
    ('call = "all", func = "mine", nested = 1', None),
    ('call = "mine", func = "mine", nested = 1, mask = [1], target = 1, wait = true, frozen = true', None),
])
def test_what_a_call_does_not_look_at_is_remarked_once(scenario_file, command, message):
    assert _remarks(scenario_file, program(command, '"all"')) == ([] if message is None else [f"x.toml:{message}"])


def test_remarks_on_cores(scenario_file):
    four = program('call = "all"')
    assert _remarks(scenario_file, "[functions]\nwork = [1, 2, 3, 4]\n" + four, cores=2) == []
    assert _remarks(scenario_file, "[functions]\nwork = [1, 2, 3, 4, 5]\n" + four) == [
        "x.toml:2:1: functions.work has 5 entries, more than there are cores"]
    offline = "[boot]\nonline = [0, 1]\n" + four + program('call = "all"', "[2]")
    assert _remarks(scenario_file, offline) == ["x.toml:9:1: program[1].cores has a program for core 2, which never comes online"]
    for brings in ('call = "cpu_up", target = 2', 'call = "mine"'):
        assert _remarks(scenario_file, offline + program(brings, "[1]")) == []
    assert _remarks(scenario_file, "[boot]\nonline = [0, 1]\n" + program('call = "all"', '"all"')) == []


@pytest.mark.parametrize("name", shipped_scenarios())
def test_shipped_scenarios_mean_all_that_they_say(name):
    assert read_scenario(find_scenario(name), seed=0).remarks == ()


def test_commands_that_no_core_has_are_checked_too(scenario_file):
    rest = program('call = "singel", target = 0', '"others"')
    scenario = read_scenario(scenario_file(program('call = "all"', "[0, 1]") + rest), cores=2, seed=0)
    with pytest.raises(InputError, match='x.toml:9:7: program.1..commands.0..call names the call "singel"'):
        contents(scenario, image(n_cores=2), MachineConfig(n_cores=2))
    with pytest.raises(InputError, match="x.toml:9: program.1..commands.0. is a .single. call and needs a target"):
        read_scenario(scenario_file(program('call = "all"', "[0, 1]") + program('call = "single"', '"others"')), cores=2, seed=0)


@pytest.mark.parametrize("text, place", [
    ("a = " + "[" * 3000 + "]" * 3000, "1:3004: is nested too deeply"),
    ("a = 1\nb = " + "{a=" * 3000 + "1" + "}" * 3000, "2:9002: is nested too deeply"),
    ("cores = " + "9" * 5000, "1:9: a number has at most 64 bits"),
    ("\ncores = 0x" + "f" * 5000, "2:1: cores is too large: a number has at most 64 bits"),
    ("cores = 1e400", "1:1: cores must be a whole number, not inf"),
    ('[functions]\nwork = "1..' + "9" * 5000 + '"', "2:1: functions.work is too large: 1"),
    ("title" + ".a" * 3000 + " = 1", "1: title must be a string, not "),
    ("title = '" + "x" * 5000 + "\\n'", None),
])
def test_hostile_toml(scenario_file, text, place):
    path = scenario_file(text + "\n" + NOTHING)
    if place is None:
        assert len(read_scenario(path, seed=0).title) > 5000
        return
    with pytest.raises(InputError) as refused:
        scenario = read_scenario(path, seed=0)
        contents(scenario, image(), MachineConfig())
    message = str(refused.value)
    assert max(map(len, message.splitlines())) < 300
    assert message.startswith(f"x.toml:{place}")


def test_a_long_file_is_refused_soon(scenario_file):
    commands = "".join(f'    {{ call = "all", at = {number} }},\n' for number in range(3000))
    path = scenario_file(f"[[program]]\ncores = [0]\ncommands = [\n{commands}    {{ call = 3 }},\n]\n")
    started = time.monotonic()
    with pytest.raises(InputError, match=r"x.toml:3004:7: program.0..commands.3000..call must be a string, not 3"):
        read_scenario(path, seed=0)
    assert time.monotonic() - started < 20


def test_several_commands_in_one_line_are_told_apart_by_the_key(scenario_file):
    path = scenario_file("[[program]]\ncores = [0]\ncommands = [{ call = 'all', at = 1 }, { call = 'all', at = 'x' }]\n")
    with pytest.raises(InputError) as refused:
        read_scenario(path, seed=0)
    assert str(refused.value).startswith("x.toml:3: program[0].commands[1].at must be a whole number")


def test_missing_files(scenario_file):
    with pytest.raises(InputError) as refused:
        read_scenario("y.toml", seed=0)
    assert str(refused.value) == "y.toml: there is no such file"
    with pytest.raises(InputError) as refused:
        read_scenario(".", seed=0)
    assert str(refused.value) == ".: cannot be read: Is a directory"
    scenario_file("").write_bytes(b"\xff")
    with pytest.raises(InputError) as refused:
        read_scenario("x.toml", seed=0)
    assert str(refused.value) == "x.toml:1:1: cannot be read: it is not UTF-8 text"


def test_unknown_name():
    with pytest.raises(InputError) as refused:
        find_scenario("demmo")
    assert str(refused.value) == ('there is no scenario "demmo", did you mean "demo"? '
                                  f"(shipped: {', '.join(shipped_scenarios())}; your own: a path that ends in .toml)")


def test_what_does_not_fit_is_refused(scenario_file):
    scenario = read_scenario(scenario_file(program('call = "all"')), seed=0)
    with pytest.raises(InputError) as refused:
        contents(scenario, image(), MachineConfig(arena_depth=64))
    assert str(refused.value) == ("x.toml: the scenario and its protocol need 119 words of arena, but the machine has 64 "
                                  "(--set arena_depth=128)")
    with pytest.raises(InputError) as refused:
        contents(scenario, image(), MachineConfig(microcode_depth=64))
    assert str(refused.value) == ("small.uasm: the protocol has 128 microwords, but the machine stores 64 "
                                  "(--set microcode_depth=128)")


def test_protocols_that_scenarios_cannot_use(scenario_file):
    scenario = read_scenario(scenario_file(program('call = "all"')), seed=0)

    def refusal(protocol):
        with pytest.raises(InputError) as refused:
            contents(scenario, protocol, MachineConfig())
        return str(refused.value)

    needed = ", ".join(FIELDS)
    assert refusal(replace(image(), structs={})) == (
        "small.uasm: the protocol does not declare struct command, which the cores' programs consist of")
    assert refusal(image(fields=FIELDS[1:])) == (
        f"small.uasm: struct command of the protocol has no field routine (needed: {needed})")
    assert refusal(replace(image(), objects=())) == (
        "small.uasm: the protocol does not declare program[0], which scenarios need")
