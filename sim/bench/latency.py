"""How a call's latency grows: with the number of its targets and of its callers, and on which machine.

At each point of a sweep a machine runs one scenario. The callers are the cores with the lowest numbers; each makes the same number
of calls, with the routine that takes a mask of targets, and waits. All callers call the same targets, the cores with the highest
numbers; a core does not call itself. A caller waits a few clocks, drawn from the seed, between its calls. Every run is judged.
Latencies are in clocks of the machine, so they do not depend on where they are measured.
"""

from dataclasses import asdict, dataclass
from itertools import product
from statistics import mean, median
from time import monotonic

from sim.calls import Stage
from sim.engines.spec import EngineSpec
from sim.errors import InputError
from sim.latency import latency_stack
from sim.runs.prepare import ENDLESS, prepare
from sim.runs.run import run
from sim.runs.settings import memory_assignment
from sim.scenarios.text import scenario_text
from sim.texts import count

__all__ = ["Point", "bench_latency", "points_of"]

#: Clocks between the calls of a caller, and how many different lengths.
_DELAY, _DELAYS = "0..100", 4


@dataclass(frozen=True)
class Point:
    """Where to measure a latency. memory : name of the memory model; None: the machine's.  settings : (name, value) of each
    ``--sweep``."""

    protocol: str
    memory: str | None
    settings: tuple[tuple[str, str], ...]
    cores: int
    callers: int
    targets: int

    def scenario(self, calls):
        """The text of the scenario in which each caller makes this many calls."""
        repeats = [calls // _DELAYS + (number < calls % _DELAYS) for number in range(min(calls, _DELAYS))]
        return scenario_text({
            "title": f"{count(self.callers, 'caller')}, {count(self.targets, 'target')}", "cores": self.cores,
            "program": [{"cores": [caller], "commands": [
                {"call": "many", "mask": self._targets(caller), "func": "nop", "wait": True, "delay": _DELAY, "repeat": repeat}
                for repeat in repeats]} for caller in range(self.callers)],
        })

    def _targets(self, caller):
        others = [core for core in range(self.cores) if core != caller]
        return others[len(others) - self.targets:]


def _powers(most):
    """1, 2, 4, ... and ``most``."""
    return sorted({most, *(1 << bit for bit in range(most.bit_length()))} - {0})


def points_of(*, protocols, memories, settings, cores, callers=None, targets=None):
    """All Points of a sweep that have enough cores; those of one machine are adjacent.

    settings : name -> values.  callers, targets : numbers; None: the powers of 2 and the maximum.
    Raises InputError if there is none.
    """
    chosen = [tuple(zip(settings, values, strict=True)) for values in product(*settings.values())]
    points = [Point(protocol, memory, setting, n_cores, n_callers, n_targets)
              for n_cores, setting, memory, protocol in product(cores, chosen, memories, protocols)
              for n_callers, n_targets in product(callers or _powers(n_cores), targets or _powers(n_cores - 1))
              if n_callers <= n_cores and n_targets < n_cores]
    if not points:
        raise InputError("there is nothing to measure: a call needs one core more than it has targets, and each caller is a core")
    return points


def bench_latency(points, *, calls, seed=0, assignments=(), engine=None, progress=lambda what: None, tell=lambda line: None,
                  done=lambda row: None):
    """Measure at each Point. Returns the rows.

    calls : of each caller.  seed : of the clocks between them.  assignments : ``--set`` for all points.  engine : of ENGINES.
    progress, tell : called with what is in progress, and with remarks about the engine.  done : called with each row at once.

    Raises InputError before anything runs.
    """
    ready = []
    for number, point in enumerate(points):
        progress(f"reading point {number + 1} of {len(points)}")
        ready.append(_prepared(point, calls, seed, assignments))
    rows, machine, started = [], None, monotonic()
    for number, (point, prepared) in enumerate(zip(points, ready, strict=True)):
        left = f"; about {(monotonic() - started) / number * (len(points) - number):.0f} s to go" if number else ""
        size = (count(getattr(point, f"{noun}s"), noun) for noun in ("core", "caller", "target"))
        where = f"point {number + 1} of {len(points)}: {', '.join([point.protocol, *size])}"
        if machine is None or machine.config != prepared.run.config:
            progress(f"{where}, building the machine{left}")
            machine = EngineSpec(prepared.run.config, engine).make(tell)
        result = run(prepared, engine=machine, progress=lambda clock: progress(f"{where}, clock {clock}{left}"))  # noqa: B023
        rows.append(_row(point, calls, result))
        done(rows[-1])
    return rows


def _prepared(point, calls, seed, assignments):
    memory = () if point.memory is None else (memory_assignment(point.memory),)
    return prepare("latency.toml", text=point.scenario(calls), protocol=point.protocol, seed=seed,
                   assignments=(*assignments, *memory), sweep=[f"{name}={value}" for name, value in point.settings],
                   ).under(max_clocks=ENDLESS)


def _row(point, calls, result):
    """Plain data. stages : stage -> its clocks of the latency, on average; their sum is the mean."""
    told = [call.to_json() for call in result.calls]
    stacks = [stack for stack in map(latency_stack, told) if stack is not None]
    latencies = [sum(stack.values()) for stack in stacks]
    stages = [stage.text for stage in Stage if any(stage.text in stack for stack in stacks)]
    return {
        **asdict(point), "protocol": result.prepared.image.path.stem, "memory": result.prepared.settings.memory,
        "settings": dict(point.settings), "calls": len(latencies),
        "least": min(latencies, default=None), "median": _rounded(median, latencies), "mean": _rounded(mean, latencies),
        "most": max(latencies, default=None),
        "stages": {stage: _rounded(mean, [stack.get(stage, 0) for stack in stacks]) for stage in stages},
        "clocks": result.clocks, "violations": sorted({item.oracle for item in result.violations}),
        "ok": result.ok and len(latencies) == calls * point.callers,
    }


def _rounded(average, numbers):
    return round(average(numbers), 2) if numbers else None
