"""The same scenario on two protocols."""

from dataclasses import dataclass
from statistics import mean

from sim.engines.spec import EngineSpec
from sim.runs.holds import read_holds, with_holds
from sim.runs.prepare import prepare
from sim.runs.run import Result, run
from sim.traffic import Traffic

__all__ = ["Comparison", "Side", "compare"]


@dataclass(frozen=True)
class Side:
    """One of the two protocols.

    result : of its run.  traffic : plain data (``sim.traffic.Traffic.to_json``).
    """

    result: Result
    traffic: dict

    @property
    def name(self):
        return self.result.prepared.image.path.name.removesuffix(".uasm")

    @property
    def calls(self):
        """id -> the call, as plain data."""
        return {call.id: call.to_json() for call in self.result.calls}

    @property
    def stages(self):
        """Stage -> how many clocks after the call it is reached, on average: for callers, and for targets."""
        clocks: dict[str, list[int]] = {}
        for call in self.result.calls:
            start = next(iter(call.stages.values()))
            for stages in (call.stages, *(visit.stages for visit in call.visits.values())):
                for stage, clock in stages.items():
                    clocks.setdefault(stage.text, []).append(clock - start)
        return {stage: round(mean(values), 1) for stage, values in clocks.items()}

    @property
    def verdicts(self):
        """Oracle -> its verdict."""
        return {item["name"]: item["verdict"] for item in self.result.oracles}

    def to_json(self):
        return {"protocol": self.name, "clocks": self.result.clocks, "ending": self.result.ending.value, "verdicts": self.verdicts,
                "facts": self.result.facts,
                "stages": self.stages, **self.traffic}


@dataclass(frozen=True)
class Comparison:
    """Two Sides."""

    left: Side
    right: Side

    @property
    def calls(self):
        """(id, the call on the left or None, on the right or None) of all calls, as plain data."""
        left, right = self.left.calls, self.right.calls
        return [(name, left.get(name), right.get(name)) for name in sorted({*left, *right}, key=_order)]

    def to_json(self):
        return {"scenario": self.left.result.prepared.scenario.name, "cores": self.left.result.prepared.run.config.n_cores,
                "left": self.left.to_json(), "right": self.right.to_json(),
                "calls": [{"id": name, "left": left, "right": right} for name, left, right in self.calls]}


def _order(name):
    caller, _, ordinal = name.partition(".")
    return int(ordinal), int(caller)


def compare(left, right, scenario, *, holds=(), engine=None, max_clocks=None, tell=lambda line: None, **options):
    """The Comparison of two protocols. options : as ``sim.runs.prepare.prepare`` takes them. Raises InputError.

    holds : on both sides, as ``sim.runs.holds.read_hold`` takes them."""
    limits = {} if max_clocks is None else {"max_clocks": max_clocks}
    both = [prepare(scenario, protocol=protocol, **options).under(**limits) for protocol in (left, right)]
    held = [read_holds(prepared, holds) for prepared in both]
    return Comparison(*(_side(prepared, here, engine, tell) for prepared, here in zip(both, held, strict=True)))


def _side(prepared, holds, engine, tell):
    prepared = with_holds(prepared, holds, lambda line: tell(f"{prepared.image.path.stem}: {line}"))
    traffic = Traffic(prepared.image)
    result = run(prepared, engine=EngineSpec(prepared.run.config, engine, prepared.room).make(tell), watch=traffic)
    return Side(result, traffic.to_json())
