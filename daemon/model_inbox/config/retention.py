"""The `retention:` section of config.yaml as values: which models to keep, by which rules, within which limits.

Owns the pydantic models of the section, its calendar durations, and every check that needs no registry entry. The
checks raise ValueError, so that pydantic collects all of them with their place; `config.problems` makes problems of
them. Never looks at a registry entry or a clock. Reads only the time zone database (`zone_named`). The package
`retention` applies the rules.
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
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from ..base.units import parse_size
from ..errors import StorageError, is_transient
from ..problems import quoted
from .sections import Section

__all__ = [
    "BUCKETS",
    "Best",
    "Breaker",
    "Bucket",
    "CalendarDuration",
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
class CalendarDuration:
    """A duration on the calendar, such as `1y2m3d3h`. `m` is a month, and a day is a calendar day.

    Years, months, weeks and days change the date in a time zone and keep the time of day. Hours are elapsed time.
    There are no minutes: retention rules do not need them, and `30m` could be mistaken for 30 minutes.
    """

    years: int = 0
    months: int = 0
    weeks: int = 0
    days: int = 0
    hours: int = 0

    @classmethod
    def parse(cls, text: object) -> Self:
        """Parse a duration. Its units may have any order; each may appear once, with a number of at most nine digits.

        Raises ValueError for anything else.
        """
        if isinstance(text, cls):
            return text
        numbers: dict[str, int] = {}
        if isinstance(text, str) and _DURATION.fullmatch(text):
            for number, unit in _DURATION_PART.findall(text):
                if unit in numbers:
                    raise ValueError(f"{quoted(text)} has the unit {unit} twice; add the numbers up")
                numbers[unit] = int(number)
            return cls(*(numbers.get(unit, 0) for unit in "ymwdh"))
        raise ValueError(
            f"{quoted(text)} is not a duration; write whole numbers of years, months, weeks, days and hours, "
            "such as 30d, 36h or 1y6m (m is a month here)"
        )

    def before(self, when: datetime, zone: tzinfo) -> datetime:
        """Return the instant that is this duration before `when` (a datetime with a zone), in UTC.

        Years and months are subtracted first, in `zone`; a day that the month does not have becomes its last day (31
        March minus `1m` is 28 or 29 February). Then weeks and days are subtracted; the time of day stays the same. If a
        change of the clocks makes that time ambiguous, the earlier instant is used, which keeps more models. Hours are
        subtracted last. A result before the year 1 becomes the start of the year 1.
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
        """The length in seconds. Raises ValueError for years or months, which have no fixed length."""
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


def _fixed_length(value: object) -> CalendarDuration:
    duration = CalendarDuration.parse(value)
    if duration.years or duration.months:
        raise ValueError(
            f"{quoted(value)} has years or months (m is a month in this section), which have no fixed length; "
            "write hours, days or weeks, such as 1h or 7d"
        )
    return duration


def zone_named(name: str) -> tzinfo:
    """Return the time zone with this name, such as `Europe/Berlin`. `UTC` needs no time zone database.

    Raises ValueError if the database has no such zone, StorageError if it cannot be read now.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        if isinstance(error, OSError) and is_transient(error):
            raise StorageError("read the time zone", name, error) from error
        # KeyError: unknown. ValueError: not a valid name. OSError: a folder of the database.
        raise ValueError(
            f"there is no time zone {quoted(name)}; use UTC or a name such as Europe/Berlin "
            "(the system's package tzdata has the names, tzdata-legacy old ones such as US/Eastern)"
        ) from None


# -- scalars ------------------------------------------------------------------------------------------------


def _count(value: object) -> int:
    number = value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value):
        number = int(value)
    if not isinstance(number, int) or isinstance(number, bool):
        raise ValueError(f"{quoted(value)} is not a count; write a whole number, or -1 for all")
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
        raise ValueError(f"{error}; or {{within: 30d}} to keep one for each period of the last 30 days") from None


def _at_least_zero(value: object) -> object:
    if isinstance(value, bool) or (isinstance(value, int) and value < 0):
        raise ValueError(f"{quoted(value)} is not a number of models; write 0 or more")
    return value


def _fraction(value: object) -> object:
    if isinstance(value, bool) or (isinstance(value, int | float) and not 0 <= value <= 1):
        raise ValueError(f"{quoted(value)} is not a fraction; write a number from 0 to 1, such as 0.5")
    return value


def _size(value: object) -> int:
    try:
        return parse_size(value)  # type: ignore[arg-type]  # it refuses what is neither text nor a number
    except ValueError as error:
        raise ValueError(f"{quoted(value)}: {error}") from None


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{quoted(value)} is not text; put it in quotes if it is meant as text")
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
AnyDuration = Annotated[
    CalendarDuration,
    PlainValidator(CalendarDuration.parse),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(_DURATION_SCHEMA),
]
FixedDuration = Annotated[
    CalendarDuration,
    PlainValidator(_fixed_length),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^([0-9]{1,9}[wdh])+$", "examples": ["7d", "1h"]}),
]


# -- the section --------------------------------------------------------------------------------------------


class Window(Section):
    """Keep one model for each bucket that is at most `within` older than the newest model of the group."""

    within: AnyDuration

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
                            "description": "Keep one each, as far back as this from the newest model of the group.",
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


class Best(Section):
    """Keep the `n` best models by the number at the dotted path `metric` in their validation_metrics."""

    metric: Text = Field(description="The dotted path of the number in validation_metrics, like 1d.rmse.")
    order: Literal["max", "min"] = Field(description="Whether the greatest or the smallest number is the best.")
    n: Count = Field(1, description="How many models to keep; -1 is all that have the number.")

    @field_validator("metric")
    @classmethod
    def _can_be_a_path(cls, path: str) -> str:
        for name in path.split("."):
            if not name or name != name.strip() or not name.isprintable():
                raise ValueError(
                    f"{quoted(path)} is not a path in validation_metrics; write names joined by single dots, such as "
                    "1d.directional_accuracy"
                )
        return path


class Holders(Section):
    """Keep the models that held an alias of their slot last, besides the one that holds it."""

    alias: Text = Field("champion", description="The alias.")
    last: Count = Field(description="How many former holders to keep; -1 is all that are known.")


class Keep(Section):
    """The rules that keep a model. A model is kept if at least one rule keeps it. -1 is all, 0 turns a rule off."""

    last: Count = Field(0, description="Keep this many of the newest models.")
    within: AnyDuration | None = Field(
        None, description="Keep all models that are at most this much older than the newest of the group."
    )
    registered_within: FixedDuration | None = Field(
        None,
        description="Keep all models that were registered at most this long before the latest registration of the "
        "group, however old their training time is.",
    )
    hourly: Bucket = Field(0, description="Keep the newest model of each hour, for this many hours that have models.")
    daily: Bucket = Field(0, description="Keep the newest model of each day, for this many days that have models.")
    weekly: Bucket = Field(0, description="Keep the newest model of each week, for this many weeks that have models.")
    monthly: Bucket = Field(
        0, description="Keep the newest model of each month, for this many months that have models."
    )
    yearly: Bucket = Field(0, description="Keep the newest model of each year, for this many years that have models.")
    best: Best | None = Field(None, description="Keep the best models by a metric.")
    holders: Holders | None = Field(
        None, description="Keep the models that held an alias before, so that a rollback finds them."
    )
    tags: tuple[tuple[Text, ...], ...] = Field(
        (),
        description="Keep models with these tags: a list of alternatives, each a list of tags that must all be set.",
    )

    @field_validator("tags", mode="before")
    @classmethod
    def _lists_of_lists(cls, value: object) -> object:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{quoted(value)} is not a list of lists; write it like [[production], [audit]]")
        for group in value:
            if not isinstance(group, list | tuple):
                raise ValueError(
                    f"{quoted(group)} is not a list; write a list for each alternative: [[production], [audit]] for "
                    "one or the other, [[production, audit]] for both"
                )
            if not group:
                raise ValueError("an empty list has no tag; remove it or add a tag")
        return value

    @field_validator("tags")
    @classmethod
    def _tags_have_names(cls, value: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
        for tag in (tag for group in value for tag in group):
            if tag.startswith("="):
                raise ValueError(f"{quoted(tag)} has no name before the =; write name or name=value")
        return value

    @model_validator(mode="after")
    def _has_a_rule(self) -> Self:
        if not self.rules():
            raise ValueError(
                "no rule is set, or all are zero, so all models would be retired; set at least one of last, within, "
                "registered_within, hourly, daily, weekly, monthly, yearly, best, holders and tags, or remove the "
                "policy to keep all"
            )
        return self

    def rules(self) -> tuple[str, ...]:
        """Return the names of the rules that are set and not zero, in the order in which they are applied."""
        names = ["last"] if self.last else []
        names += ["within"] if self.within else []
        names += ["registered_within"] if self.registered_within else []
        for name in BUCKETS:
            bucket: int | Window = getattr(self, name)
            if bucket.within if isinstance(bucket, Window) else bucket:
                names.append(name)
        names += ["best"] if self.best is not None and self.best.n else []
        names += ["holders"] if self.holders is not None and self.holders.last else []
        return (*names, *(["tags"] if self.tags else []))


class Policy(Section):
    """What to keep of each group that matches. A field of group_by that `match` leaves out may have any value."""

    match: dict[str, Text] = Field(
        {},
        description="The groups of this policy: values or patterns of the fields in group_by. "
        "That of owner is compared with the user's name and number.",
    )
    keep: Keep = Field(description="The rules that keep a model of these groups.")
    min_keep: ModelCount = Field(
        1, description="How many of the newest models of a group are kept, whatever the rules say."
    )
    budget: Size | None = Field(
        None, description="The most bytes that the models of one group may use together; null is no limit."
    )


class Breaker(Section):
    """How much of one group one run may retire. Nothing is retired from a group of which a plan would retire more."""

    max_deletes: ModelCount = Field(50, description="The most models of a group that one run may retire.")
    max_fraction: Fraction = Field(
        0.5, description="The largest part of the models of a group that one run may retire, 0 to 1."
    )


class RetentionSection(Section):
    """The settings of `retention:`. The first policy that matches a group is used for it."""

    mode: Literal["off", "dry-run", "enforce"] = Field(
        "off", description="off: nothing is done; dry-run: the plan is only logged; enforce: models are retired."
    )
    timezone: Text = Field("UTC", description="The time zone in which hours, days, weeks, months and years start.")
    group_by: tuple[Literal["currency_pair", "model_type", "variant", "version", "owner"], ...] = Field(
        ("currency_pair", "model_type", "variant"),
        description="Models with the same values in these fields are a group; the rules are applied to each group. "
        "The owner is the user who dropped the model.",
    )
    trash_grace: FixedDuration = Field(
        CalendarDuration(days=7), description="How long a retired model stays in the trash."
    )
    breaker: Breaker = Field(
        Breaker(), description="How much of one group one run may retire. From a group with more nothing is retired."
    )
    interval: FixedDuration = Field(
        CalendarDuration(hours=1), description="How often the rules are applied, besides after each registration."
    )
    policies: tuple[Policy, ...] = Field(
        (),
        description="What to keep. The first policy that matches a group is used; a group without one is kept.",
    )

    @field_validator("mode", mode="before")
    @classmethod
    def _yaml_reads_off_as_false(cls, value: object) -> object:
        # YAML 1.1 parsers read a plain `off` as the boolean false.
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
            raise ValueError(f"{', '.join(value)} has a field twice; list each once")
        return value

    @field_validator("interval")
    @classmethod
    def _some_time_passes(cls, value: CalendarDuration) -> CalendarDuration:
        if not value:
            raise ValueError("an interval must be longer than 0; write it like 1h")
        return value

    @model_validator(mode="after")
    def _match_names_group_keys(self) -> Self:
        unknown: list[InitErrorDetails] = []
        for number, policy in enumerate(self.policies):
            for key in policy.match:
                if key not in self.group_by:
                    complaint = (
                        f"{quoted(key)} is not in group_by, so no group has a value of it; "
                        f"match may have {', '.join(self.group_by) or 'no keys, as group_by is empty'}"
                    )
                    # Passed as a value, because pydantic would format braces in the text itself.
                    error = PydanticCustomError("value_error", "Value error, {error}", {"error": complaint})
                    place = ("policies", number, "match", key)
                    unknown.append(InitErrorDetails(type=error, loc=place, input=policy.match[key]))
        # pydantic merges these errors into its own list, so each keeps its place.
        if unknown:
            raise ValidationError.from_exception_data("RetentionSection", unknown)
        return self

    @property
    def zone(self) -> tzinfo:
        """The time zone in which hours, days, weeks, months and years start."""
        return zone_named(self.timezone)
