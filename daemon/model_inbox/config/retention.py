"""The `retention:` section of config.yaml as values: who is kept, by which rules, within which limits.

Owns the pydantic models of the section, the calendar durations it is written in, and every check that can be
made before a single model is looked at. A mistake is raised as a plain ValueError, so that pydantic collects
all of them with their place; config.py turns those into problems. Never looks at a model, at the clock or at
the disk, but for the time zone database, which `zone_named` asks whether a zone exists. What the rules mean
is in retention.py, which applies them.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Annotated, Final, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from ..base.shapes import title_of
from ..base.units import parse_size
from ..problems import quoted

__all__ = [
    "BUCKETS",
    "Best",
    "Breaker",
    "Bucket",
    "Duration",
    "Keep",
    "Policy",
    "RetentionSection",
    "Window",
    "zone_named",
]

BUCKETS: Final = ("hourly", "daily", "weekly", "monthly", "yearly")
BEGINNING: Final = datetime.min.replace(tzinfo=UTC)


# -- durations ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Duration:
    """A stretch of calendar time: `1y2m3d3h`. `m` is a month here, and a day is a day of the calendar.

    Years, months, weeks and days move the date in a time zone and leave the time of day alone; hours are
    hours on a stop-watch. There are no minutes: a retention rule has no use for them, and `30m` would be read
    wrongly by half of its readers.
    """

    years: int = 0
    months: int = 0
    weeks: int = 0
    days: int = 0
    hours: int = 0

    @classmethod
    def parse(cls, text: object) -> Self:
        """Return the duration that `text` writes, in any order of its units, each at most once.

        Raises ValueError for anything else. Numbers have at most nine digits.
        """
        if isinstance(text, cls):
            return text
        numbers: dict[str, int] = {}
        if isinstance(text, str) and _DURATION.fullmatch(text):
            for number, unit in _DURATION_PART.findall(text):
                if unit in numbers:
                    raise ValueError(f"{quoted(text)} names the unit {unit} twice; add the numbers up")
                numbers[unit] = int(number)
            return cls(*(numbers.get(unit, 0) for unit in "ymwdh"))
        raise ValueError(
            f"{quoted(text)} is no duration; write whole numbers of years, months, weeks, days and hours, "
            "such as 30d, 36h or 1y6m (m is a month here)"
        )

    def before(self, when: datetime, zone: tzinfo) -> datetime:
        """Return the instant that lies this duration before the aware `when`, in UTC.

        In `zone`, years and months are taken off first, and a day that the month does not have becomes its
        last (31 March less `1m` is 28 or 29 February), then weeks and days; the time of day stays. Where the
        clocks were changed at that very time of day, the earlier of the two readings counts, which keeps
        more. Hours are taken off last. What would lie before the year 1 is the beginning of the year 1.
        """
        try:
            if self.years or self.months or self.weeks or self.days:
                wall = when.astimezone(zone).replace(tzinfo=None, fold=0)
                wall = _months_before(wall, 12 * self.years + self.months)
                wall -= timedelta(weeks=self.weeks, days=self.days)
                when = min(wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
            return when.astimezone(UTC) - timedelta(hours=self.hours)
        except (OverflowError, ValueError):
            return BEGINNING

    @property
    def seconds(self) -> int:
        """The length in seconds. Raises ValueError if there are years or months, which have no one length."""
        if self.years or self.months:
            raise ValueError(f"{self} has no fixed length in seconds")
        return ((self.weeks * 7 + self.days) * 24 + self.hours) * 3600

    def __bool__(self) -> bool:
        return bool(self.years or self.months or self.weeks or self.days or self.hours)

    def __str__(self) -> str:
        numbers = zip((self.years, self.months, self.weeks, self.days, self.hours), "ymwdh", strict=True)
        return "".join(f"{number}{unit}" for number, unit in numbers if number) or "0d"


_DURATION: Final = re.compile(r"(?:[0-9]{1,9}[ymwdh])+")
_DURATION_PART: Final = re.compile(r"([0-9]+)([ymwdh])")
_DURATION_SCHEMA: Final = {
    "type": "string",
    "pattern": r"^([0-9]{1,9}[ymwdh])+$",
    "examples": ["30d", "1y6m"],
}


def _months_before(wall: datetime, months: int) -> datetime:
    year, month = divmod(wall.year * 12 + wall.month - 1 - months, 12)
    if year < 1:
        raise OverflowError("before the year 1")
    return wall.replace(year=year, month=month + 1, day=min(wall.day, calendar.monthrange(year, month + 1)[1]))


def _fixed_length(value: object) -> Duration:
    duration = Duration.parse(value)
    if duration.years or duration.months:
        raise ValueError(
            f"{quoted(value)} has years or months (m is a month in this section), which have no one length; "
            "write hours, days or weeks, such as 1h or 7d"
        )
    return duration


def zone_named(name: str) -> tzinfo:
    """Return the time zone of that name, such as `Europe/Berlin`. `UTC` needs no time zone database.

    Raises ValueError when this machine knows no such zone.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; not a name at all; a folder of the database
        raise ValueError(
            f"there is no time zone {quoted(name)} here; take UTC or a name such as Europe/Berlin "
            "(names come from the system's tzdata package, old ones such as US/Eastern from tzdata-legacy)"
        ) from None


# -- scalars ------------------------------------------------------------------------------------------------


def _count(value: object) -> int:
    number = value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value):
        number = int(value)
    if not isinstance(number, int) or isinstance(number, bool):
        raise ValueError(f"{quoted(value)} is no count; write a whole number, or -1 for all")
    if number < -1:
        raise ValueError(f"the count {number} is below -1; write 0 for none, -1 for all, or how many to keep")
    return number


def _bucket(value: object) -> int | Window:
    if isinstance(value, Window):
        return value
    if isinstance(value, Mapping):
        return Window.model_validate(value)
    try:
        return _count(value)
    except ValueError as error:
        raise ValueError(f"{error}; or {{within: 30d}} for one each as far back as that") from None


def _at_least_zero(value: object) -> object:
    if isinstance(value, bool) or (isinstance(value, int) and value < 0):
        raise ValueError(f"{quoted(value)} is no number of models; write 0 or more")
    return value


def _fraction(value: object) -> object:
    if isinstance(value, bool) or (isinstance(value, int | float) and not 0 <= value <= 1):
        raise ValueError(f"{quoted(value)} is no fraction; write a number from 0 to 1, such as 0.5")
    return value


def _size(value: object) -> int:
    try:
        return parse_size(value)  # type: ignore[arg-type]  # it refuses what is neither text nor a number
    except ValueError as error:
        raise ValueError(f"{quoted(value)}: {error}") from None


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{quoted(value)} is no text; put it in quotes if it is meant as text")
    return value


Count = Annotated[int, PlainValidator(_count), WithJsonSchema({"type": "integer", "minimum": -1})]
ModelCount = Annotated[
    int, BeforeValidator(_at_least_zero), Field(ge=0), WithJsonSchema({"type": "integer", "minimum": 0})
]
Fraction = Annotated[
    float,
    BeforeValidator(_fraction),
    Field(ge=0, le=1, allow_inf_nan=False),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1}),
]
Text = Annotated[str, BeforeValidator(_text)]
Size = Annotated[int, PlainValidator(_size), WithJsonSchema({"type": ["integer", "string"], "examples": ["20GiB"]})]
CalendarDuration = Annotated[
    Duration,
    PlainValidator(Duration.parse),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(_DURATION_SCHEMA),
]
FixedDuration = Annotated[
    Duration,
    PlainValidator(_fixed_length),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^([0-9]{1,9}[wdh])+$", "examples": ["7d", "1h"]}),
]


# -- the section --------------------------------------------------------------------------------------------


def title_of_section(section: type) -> str:
    """Return the title of a section in the schema: its class without the word Section."""
    return section.__name__.removesuffix("Section")


def title_of_setting(name: str, _: object) -> str:
    """Return the title of a setting in the schema."""
    return title_of(name)


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        model_title_generator=title_of_section,
        field_title_generator=title_of_setting,
    )


class Window(_Section):
    """One model for each bucket, as far back as `within` from the newest model of the group."""

    within: CalendarDuration

    def __str__(self) -> str:
        return f"within {self.within}"


Bucket = Annotated[
    int | Window,
    PlainValidator(_bucket),
    PlainSerializer(lambda value: value.model_dump(mode="json") if isinstance(value, Window) else value),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": -1},
                {
                    "type": "object",
                    "properties": {
                        "within": {
                            "title": "Within",
                            "description": "One each, as far back as this from the newest model of the group.",
                            **_DURATION_SCHEMA,
                        }
                    },
                    "required": ["within"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


class Best(_Section):
    """The `n` best models by the number at the dotted path `metric` in their validation_metrics."""

    metric: Text = Field(description="The dotted path of the number in validation_metrics, like 1d.rmse.")
    order: Literal["max", "min"] = Field(description="Whether the greatest or the smallest number is the best.")
    n: Count = Field(1, description="How many models to keep; -1 is all that have the number.")

    @field_validator("metric")
    @classmethod
    def _can_be_a_path(cls, path: str) -> str:
        for name in path.split("."):
            if not name or name != name.strip() or not name.isprintable():
                raise ValueError(
                    f"{quoted(path)} cannot be a path in validation_metrics; write names joined by single "
                    "dots, such as 1d.directional_accuracy"
                )
        return path


class Keep(_Section):
    """The rules that keep a model. One is enough: they are a union. -1 is all, 0 is no such rule."""

    last: Count = Field(0, description="Keep that many of the newest models.")
    within: CalendarDuration | None = Field(
        None, description="Keep all models that are no older than this, counted back from the newest of the group."
    )
    hourly: Bucket = Field(0, description="Keep the newest model of each of that many hours that have one.")
    daily: Bucket = Field(0, description="Keep the newest model of each of that many days that have one.")
    weekly: Bucket = Field(0, description="Keep the newest model of each of that many weeks that have one.")
    monthly: Bucket = Field(0, description="Keep the newest model of each of that many months that have one.")
    yearly: Bucket = Field(0, description="Keep the newest model of each of that many years that have one.")
    best: Best | None = Field(None, description="Keep the best models by a metric.")
    tags: tuple[tuple[Text, ...], ...] = Field(
        (),
        description="Keep models with these tags: a list of alternatives, each a list of tags to be there together.",
    )

    @field_validator("tags", mode="before")
    @classmethod
    def _lists_of_lists(cls, value: object) -> object:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{quoted(value)} is no list of lists; write such as [[production], [audit]]")
        for group in value:
            if not isinstance(group, list | tuple):
                raise ValueError(
                    f"{quoted(group)} stands alone; each alternative is a list: [[production], [audit]] for "
                    "one or the other, [[production, audit]] for both"
                )
            if not group:
                raise ValueError("an empty list names no tag; leave it out or name one")
        return value

    @field_validator("tags")
    @classmethod
    def _tags_have_names(cls, value: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
        for tag in (tag for group in value for tag in group):
            if tag.startswith("="):
                raise ValueError(f"{quoted(tag)} has no name before its =; write name or name=value")
        return value

    @model_validator(mode="after")
    def _has_a_rule(self) -> Self:
        if not self.rules():
            raise ValueError(
                "no rule is set, or all are zero, so everything would go; set at least one of last, within, "
                "hourly, daily, weekly, monthly, yearly, best and tags, or remove the policy to keep all"
            )
        return self

    def rules(self) -> tuple[str, ...]:
        """Return the names of the rules that are set to something, in the order in which they are applied."""
        names = ["last"] if self.last else []
        names += ["within"] if self.within else []
        for name in BUCKETS:
            bucket: int | Window = getattr(self, name)
            if bucket.within if isinstance(bucket, Window) else bucket:
                names.append(name)
        names += ["best"] if self.best is not None and self.best.n else []
        return (*names, *(["tags"] if self.tags else []))


class Policy(_Section):
    """What is kept of each group that `match` describes. A key that it does not name matches anything."""

    match: dict[str, Text] = Field(
        {}, description="Which groups this policy rules: values or patterns of the fields in group_by."
    )
    keep: Keep = Field(description="The rules that keep a model of these groups.")
    min_keep: ModelCount = Field(1, description="How many of the newest models of a group stay whatever the rules say.")
    budget: Size | None = Field(
        None, description="The most bytes that the models of one group may take together; null is no limit."
    )


class Breaker(_Section):
    """How much one run may retire; a plan that wants more retires nothing."""

    max_deletes: ModelCount = Field(50, description="How many models one run may retire at most.")
    max_fraction: Fraction = Field(0.5, description="Which part of all models one run may retire at most, from 0 to 1.")


class RetentionSection(_Section):
    """All that stands under `retention:`. The first policy whose `match` fits a group rules it."""

    mode: Literal["off", "dry-run", "enforce"] = Field(
        "off", description="off: nothing; dry-run: only the plan is logged; enforce: models are retired."
    )
    timezone: Text = Field("UTC", description="The time zone in which hours, days, weeks, months and years begin.")
    group_by: tuple[Literal["currency_pair", "model_type", "version"], ...] = Field(
        ("currency_pair", "model_type"), description="The fields whose values make a group: models are kept by group."
    )
    trash_grace: FixedDuration = Field(Duration(days=7), description="How long a retired model stays in the trash.")
    breaker: Breaker = Field(Breaker(), description="How much one run may retire; a plan that wants more does nothing.")
    interval: FixedDuration = Field(
        Duration(hours=1), description="How often the rules are applied, besides after each registration."
    )
    policies: tuple[Policy, ...] = Field(
        (),
        description="What is kept; the first policy that matches a group rules it, and a group without one is kept.",
    )

    @field_validator("mode", mode="before")
    @classmethod
    def _yaml_reads_off_as_false(cls, value: object) -> object:
        # YAML 1.1 reads a bare `off` as the boolean false; who writes it means the word.
        return "off" if value is False else value

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        zone_named(value)
        return value

    @field_validator("group_by")
    @classmethod
    def _each_key_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError(f"{', '.join(value)} names a field twice; name each once")
        return value

    @field_validator("interval")
    @classmethod
    def _some_time_passes(cls, value: Duration) -> Duration:
        if not value:
            raise ValueError("an interval of no time would never rest; write such as 1h")
        return value

    @model_validator(mode="after")
    def _match_names_group_keys(self) -> Self:
        unknown: list[InitErrorDetails] = []
        for number, policy in enumerate(self.policies):
            for key in policy.match:
                if key not in self.group_by:
                    complaint = (
                        f"{quoted(key)} is not in group_by, so nothing is grouped by it; "
                        f"match may name {', '.join(self.group_by) or 'nothing, as group_by is empty'}"
                    )
                    # the text is given as a value: pydantic would take braces in it for places to fill
                    error = PydanticCustomError("value_error", "Value error, {error}", {"error": complaint})
                    place = ("policies", number, "match", key)
                    unknown.append(InitErrorDetails(type=error, loc=place, input=policy.match[key]))
        if unknown:  # pydantic merges these into its own list, so each keeps its place
            raise ValidationError.from_exception_data("RetentionSection", unknown)
        return self

    @property
    def zone(self) -> tzinfo:
        """The time zone in which days, weeks, months and years begin."""
        return zone_named(self.timezone)
