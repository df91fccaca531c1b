"""What other retention rules would have done in the past, and would do today, for the page.

Owns the values and the chart: two lines of bytes over time, and a mark for each model that would have been missed.
Pure. Never simulates.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ..retention.differences import Difference, PlanDifferences
from ..retention.simulation import SimulatedRetirement, Simulation
from .charts import BytesChart, Chart, Regret, Series, bytes_chart

__all__ = ["Trial", "trial_of"]

SHOWN_MAX = 40


@dataclass(frozen=True, slots=True)
class Trial:
    """What the rules of the file `name` would have done since `begin`, and would do differently today.

    Of the models that they would have retired, `retired` is how many, and `missed` those that were wanted later; of
    `only_retired` and `only_kept` the first are here, and the numbers beside them say how many there are.
    """

    name: str
    begin: datetime
    end: datetime
    history_begins: datetime | None
    chart: Chart
    retired: int
    retired_bytes: int
    size_now: int
    real_size_now: int
    missed: tuple[SimulatedRetirement, ...]
    missed_total: int
    only_retired: tuple[Difference, ...]
    only_retired_total: int
    only_kept: tuple[Difference, ...]
    only_kept_total: int
    stopped: int


def trial_of(name: str, simulated: Simulation, today: PlanDifferences) -> Trial:
    """Return the trial of the rules in the file `name`, from what a simulation and two plans of today say."""
    missed = simulated.regretted
    chart = bytes_chart(
        BytesChart(
            key="trial",
            title=f"Size of the registry as it was, and with the rules of {name}",
            series=(Series("as it was", simulated.real_bytes), Series(name, simulated.bytes)),
            regrets=[Regret(one.at, one.model_id, one.regret or "") for one in missed],
            rows_max=SHOWN_MAX,
        )
    )
    return Trial(
        name=name,
        begin=simulated.begin,
        end=simulated.end,
        history_begins=simulated.history_begins,
        chart=chart,
        retired=len(simulated.models_retired),
        retired_bytes=sum(one.bytes for one in simulated.models_retired),
        size_now=simulated.bytes[-1][1] if simulated.bytes else 0,
        real_size_now=simulated.real_bytes[-1][1] if simulated.real_bytes else 0,
        missed=missed[:SHOWN_MAX],
        missed_total=len(missed),
        only_retired=today.retired[:SHOWN_MAX],
        only_retired_total=len(today.retired),
        only_kept=today.kept[:SHOWN_MAX],
        only_kept_total=len(today.kept),
        stopped=len(simulated.breakers),
    )
