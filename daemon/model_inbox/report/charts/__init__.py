"""Charts as SVG: frozen values in, a picture and the rows of its table out.

Owns what the charts show and where. Never reads a registry, a disk or a clock, and needs no script: the page's style
sheet (`charts.css` among the templates) has the colours, by classes. Everything that producers wrote is escaped.

Public names: those of `__all__`; one chart is made by one function from one value.
"""

from .amounts import BytesChart, DiskChart, Part, Regret, Series, bytes_chart, disk_chart
from .calendar import Calendar, Going, calendar_chart
from .chart import Chart, ColumnHead, Table
from .metric import GateLine, GateStep, How, MetricChart, Point, Sign, Tenure, metric_chart
from .thinning import kept

__all__ = [
    "BytesChart",
    "Calendar",
    "Chart",
    "ColumnHead",
    "DiskChart",
    "GateLine",
    "GateStep",
    "Going",
    "How",
    "MetricChart",
    "Part",
    "Point",
    "Regret",
    "Series",
    "Sign",
    "Table",
    "Tenure",
    "bytes_chart",
    "calendar_chart",
    "disk_chart",
    "kept",
    "metric_chart",
]
