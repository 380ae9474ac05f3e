"""scftorture and ipibench: what is drawn, what is checked, and that the checks can fail."""

import json
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from sim.errors import InputError
from sim.knockout.knockout import holding
from sim.microcode.protocols import shipped_protocols
from sim.runs.prepare import prepare
from sim.runs.run import run
from sim.workloads.ipibench import MODES
from sim.workloads.scftorture import OPERATIONS, Torture, summary
from tests.sim.runs import engine_for, run_text

#: One machine for all.
ASSIGNMENTS = ("memory_model=2", "x2apic=1", "store_buffer_depth=8", "arena_depth=2048")
ERRORS = {"n_errs": 0, "n_mb_in_errs": 0, "n_mb_out_errs": 0}


def tortured(folder, protocol="v4", *, plan=None, without=(), assignments=ASSIGNMENTS, **options):
    """The summary of a run."""
    torture = Torture(**{"cores": 4, "seed": 1, "calls": 10, **options})
    prepared = torture.prepare(folder / "torture.toml", protocol=protocol, assignments=assignments, without=without)
    prepared = prepared.under(max_clocks=200_000, **({} if plan is None else {"plan": plan}))
    return summary(torture, run(prepared, engine=engine_for(prepared.run.config)))


# --- what is drawn ----------------------------------------------------------------------------------------------------


def drawn(folder, **options):
    path = folder / "torture.toml"
    Torture(**{"cores": 4, "seed": 1, **options}).prepare(path)
    return tomllib.loads(path.read_text())


def test_the_same_seed_is_the_same_scenario(tmp_path):
    assert drawn(tmp_path, calls=4) == drawn(tmp_path, calls=4) != drawn(tmp_path, calls=4, seed=2)


def test_operations_come_by_their_weights(tmp_path):
    """With the kernel's weights, 3/4 of them or more are for one core; with others, only what has one."""
    programs = drawn(tmp_path, calls=100)["program"]
    assert [program["cores"] for program in programs] == [[0], [1], [2], [3]]
    calls = Counter(command["call"] for program in programs for command in program["commands"])
    single = calls["scf_single"] + calls["scf_rpc"] + calls["scf_resched"]
    assert calls.total() == 400 and calls["scf_many"] > 0 < calls["scf_all"] and abs(single / 400 - 32 / 38) < 0.08
    assert Torture(cores=64, seed=0).weight == {name: 128 if name in ("resched", "single", "rpc", "single_wait") else
                                                2 if "many" in name else 1 for name in OPERATIONS}
    only = drawn(tmp_path, calls=5, weights=dict.fromkeys(OPERATIONS, 0) | {"many_wait": 1}, long=1)
    command = {"call": "scf_many", "func": "scf_many_long", "mask": "all", "wait": True}
    assert all(found in (command, {**command, "delay": 256}) for program in only["program"] for found in program["commands"])


def test_hold_off_stutter_and_cores_that_come_and_go(tmp_path):
    hotplug, *others = drawn(tmp_path, calls=8, holdoff=700, stutter=512, onoff=1000)["program"]
    assert [command["call"] for command in hotplug["commands"]] == ["cpu_down", "cpu_up"] * 2
    assert [command["at"] for command in hotplug["commands"]] == [1700, 2700, 3700, 4700]
    for program in others:
        assert [command["call"] for command in program["commands"][::2]] == ["scf_stutter"] * 8
        assert [command.get("at") for command in program["commands"]] == [700] + [None] * 15


# --- what is checked --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", shipped_protocols())
def test_it_runs_on_every_generation(protocol, tmp_path):
    found = tortured(tmp_path, protocol, assignments=ASSIGNMENTS[1:])
    assert (found["verdict"], found["errors"], found["ending"]) == ("SUCCESS", ERRORS, "quiet")
    assert found["ok"] or protocol == "v2.6.27-rc1" and found["violations"] == ["O7"]
    assert sum(operation["calls"] for operation in found["operations"].values()) > 20


@pytest.mark.parametrize("protocol", ["v4", "v6"])
def test_cores_come_and_go(protocol, tmp_path):
    found = tortured(tmp_path, protocol, cores=3, stutter=512, onoff=1500, assignments=("x2apic=1",))
    assert (found["verdict"], found["errors"], found["ending"]) == ("SUCCESS", ERRORS, "quiet")
    assert set(found["violations"]) <= {"v4": {"O1", "O12"}, "v6": set()}[protocol]
    assert found["clocks"] > 4 * 1500


def test_without_a_barrier_a_caller_does_not_see_what_the_handler_stored(tmp_path):
    """PSO: csd_complete() is visible before `out`, which is what its barrier is for. With it, the same schedule is clean."""
    found = tortured(tmp_path, plan=holding(4), without=["csd_complete_wmb"])
    assert found["errors"]["n_mb_out_errs"] and found["verdict"] == "FAILURE" and "WARN" in found["violations"]
    assert tortured(tmp_path, plan=holding(4))["errors"] == ERRORS


@pytest.mark.parametrize("command, warning", [
    ('call = "single", target = 1, func = "scf_one"', "scf_in"),                    # nobody sets `in`
    ('call = "scf_many", mask = [0, 1], func = "scf_one"', "scf_cpu"),              # core 1 is not target 0
    ('call = "scf_single", target = 1, func = "nop", wait = true', "scf_out"),      # nobody sets `out`
])
def test_each_check_can_fail(command, warning):
    ran = run_text(f'cores = 2\n[defines]\nSCFTORTURE = 1\n[calls]\nscf_single = "single"\nscf_many = "many"\n'
                   f'[machine]\nmicrocode_depth = 2048\n[[program]]\ncores = [0]\ncommands = [{{ {command} }}]')
    assert [item.sentence.split(": ")[1] for item in ran.result.violations if item.oracle == "WARN"] == [warning]


# --- the commands -----------------------------------------------------------------------------------------------------


def test_the_command_leaves_a_scenario_that_others_take(crosscall):
    code, out, err = crosscall("scftorture", "--cores", 2, "--calls", 6, "--protocol", "v6", "--seed", 7, "--json")
    found = json.loads(out)
    assert (code, err, found["seed"], found["verdict"], found["ok"]) == (0, "", 7, "SUCCESS", True)
    code, out, _ = crosscall("run", "waves/scftorture.toml", "--protocol", "v6", "--no-vcd", "--json")
    assert (code, json.loads(out)["clocks"]) == (0, found["clocks"])
    code, out, _ = crosscall("scftorture", "--cores", 2, "--calls", 2, "--protocol", "v6")
    assert code == 0 and "\nEND: SUCCESS\n" in out and ", seed " in out.splitlines()[0]


def test_what_an_operation_costs(crosscall):
    """More than nothing, and more for more cores; with a lock that all targets take, for most."""
    code, out, err = crosscall("ipibench", "--cores", "2,4", "--iterations", 3, "--json")
    rows = {(row["cores"], row["mode"]): row for row in json.loads(out)}
    assert (code, err) == (0, "") and list(rows) == [(cores, mode) for cores in (2, 4) for mode in MODES]
    assert all(row["iterations"] == 3 and row["least"] <= row["total"] <= row["most"] for row in rows.values())
    for cores in (2, 4):
        totals = [rows[cores, mode]["total"] for mode in ("dry-run", "self", "normal")]
        assert totals == sorted(set(totals)) and rows[cores, "dry-run"]["delivered"] is None
    assert rows[4, "broadcast"]["total"] > rows[2, "broadcast"]["total"]
    assert rows[4, "broadcast-lock"]["total"] > rows[4, "broadcast"]["total"]
    code, out, _ = crosscall("ipibench", "--cores", "2", "--iterations", 2, "--mode", "self", "--protocol", "v6",
                             "--protocol", "v4")
    assert code == 0 and [line.split()[:3] for line in out.splitlines()[1:]] == [["v6", "2", "self"], ["v4", "2", "self"]]


@pytest.mark.parametrize("arguments, refusal", [
    (("scftorture", "--stutter", 1000), "--stutter 1000: must be a power of two up to 32768, or 0"),
    (("scftorture", "--weight", "rcp=1"), '--weight rcp: there is no such thing, did you mean "rpc"?'),
    (("scftorture", "--weight", "rpc=x"), "--weight rpc=x: must be written as rpc=NUMBER"),
    (("scftorture", "--calls", 10**9), "--calls 1000000000: no arena has room for as many on each of 4 cores"),
    (("scftorture", "--onoff", 100, "--cores", 1), "--onoff: needs two cores"),
    (("scftorture", "--protocol", "v5"), 'there is no protocol "v5"'),
    (("scftorture", "--without", "mb", "--cores", 2), "no barrier or lock named mb"),
    (("ipibench", "--cores", "1"), "--cores 1: a call needs two"),
    (("ipibench", "--mode", "normale"), '--mode normale: there is no such thing, did you mean "normal"?'),
])
def test_refused(arguments, refusal, crosscall):
    code, out, err = crosscall(*arguments)
    assert (code, out) == (2, "") and refusal in err and not Path("waves").exists()


def test_nothing_to_do_is_refused():
    with pytest.raises(InputError, match="nothing has a weight"):
        Torture(cores=2, seed=0, weights=dict.fromkeys(OPERATIONS, 0))


# --- many cores -------------------------------------------------------------------------------------------------------


def test_every_generation_has_room_for_32_cores():
    """Two have a csd for each pair of cores. With 64 cores no arena is large enough for that."""
    for protocol in ("v3.10", "v6"):
        prepared = prepare("storm", protocol=protocol, cores=32)
        assert max(prepared.contents.arena) < prepared.run.config.arena_depth == 16384
    with pytest.raises(InputError, match=r"but the machine has 32768 \(and none has as many: use fewer cores or commands\)"):
        prepare("storm", protocol="v6", cores=64)


def test_more_cores_have_more_time():
    limits = [prepare("all-call-all", cores=cores).run.max_clocks for cores in (4, 8, 12, 16, 32)]
    assert limits == [100_000, 100_000, 225_000, 400_000, 1_600_000]


@pytest.mark.slow
@pytest.mark.parametrize("cores", [16, 32])
@pytest.mark.parametrize("protocol", ["v4", "v6"])
def test_all_calls_of_all_end(cores, protocol):
    prepared = prepare("all-call-all", protocol=protocol, cores=cores)
    result = run(prepared, engine=engine_for(prepared.run.config))
    assert (result.ending.value, {item.oracle for item in result.violations} <= {"O12"}) == ("quiet", True)


@pytest.mark.slow
@pytest.mark.parametrize("cores", [2, 8, 16, 32])
def test_many_cores(cores, tmp_path):
    found = tortured(tmp_path, "v6", cores=cores, calls=6, assignments=())
    assert (found["verdict"], found["violations"], found["ending"]) == ("SUCCESS", [], "quiet")
