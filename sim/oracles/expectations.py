"""What a scenario expects of its results, data and messages."""

from ..calls import Stage
from ..engines.engine import Ending
from .oracle import Oracle

__all__ = ["Expectations"]


class Expectations(Oracle):
    """The ``results``, ``data`` and ``messages`` of a scenario's ``[expect]``. Data and messages are judged when everything has
    come to rest.

    Parameters
    ----------
    scenario : the Scenario, or None: then there is nothing to judge.
    """

    name = "EXPECT"
    title = "results, data and messages are as the scenario says"

    def __init__(self, config, places, *, scenario=None):
        super().__init__(config, places)
        self._scenario = scenario

    def finish(self, outcome, tracker):
        if self._scenario is None:
            return
        clock, scenario = outcome.clocks, self._scenario
        calls = {call.id: call for call in tracker.calls}
        for name, wanted in scenario.results.items():
            self.exercised += 1
            call = calls.get(name)
            if call is None or not call.returned:
                what = "was never made" if call is None else "has not returned"
                self.found(clock, f"call {name} should return {wanted}, but {what}")
            elif call.result != wanted:
                self.found(call.at(Stage.RETURN), f"{call} returned {call.result}, but should return {wanted}", calls=[call])
        if outcome.ending is not Ending.QUIET:
            if scenario.data or scenario.messages:
                self.lacks.append("a run that comes to rest")
            return
        for name, wanted in scenario.data.items():
            self.exercised += 1
            there = outcome.arena[self.places.image.address_of(name)]
            if there != wanted:
                self.found(clock, f"at the end {name} is {there:#x}, but should be {wanted:#x}")
        counts = tracker.messages.to_json()
        for name, wanted in scenario.messages.items():
            self.exercised += 1
            if counts[name] != wanted:
                self.found(clock, f"messages: {counts[name]} {name}, but there should be {wanted}")
