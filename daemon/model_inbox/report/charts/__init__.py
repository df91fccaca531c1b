"""Charts as SVG: frozen values in, a picture and the rows of its table out.

Owns what the charts show and where. Never reads a registry, a disk or a clock, and needs no script: the page's style
sheet (`charts.css` among the templates) has the colours, by classes. Everything that producers wrote is escaped.

Public names: those of `__all__`; one chart is made by one function from one value.
"""

from .chart import Chart, ColumnHead, Table
from .metric import GateLine, GateStep, How, MetricChart, Point, Sign, Tenure, metric_chart
from .thinning import kept

__all__ = [
    "Chart",
    "ColumnHead",
    "GateLine",
    "GateStep",
    "How",
    "MetricChart",
    "Point",
    "Sign",
    "Table",
    "Tenure",
    "kept",
    "metric_chart",
]
