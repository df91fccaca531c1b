"""What each thing in the inbox waits for: every rule of arrival, without a disk and without a clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_inbox.base.leases import Lease
from model_inbox.inbox.drop import Drop, Kind, Sighting, pair
from model_inbox.inbox.readiness import Held, Limits, Look, Refuse, Rejection, Take, Wait, judge, judge_stray
from model_inbox.model.file_names import is_ignored, scaler_stem, stem_of
from model_inbox.model.sidecar import Sidecar, parse_sidecar
from model_inbox.problems import Problem
from support.sightings import only_drop, parsed, seen
from support.world import sidecar

NOW = datetime(2026, 11, 24, tzinfo=UTC)
LIMITS = Limits(settle_seconds=2.0, incomplete_timeout=900.0, orphan_timeout=86_400.0, max_artifact_size=1000)
FREE, OPEN, UNKNOWN = (
    Look(Lease.FREE, complete=True),
    Look(Lease.OPEN, complete=False),
    Look(Lease.UNKNOWN, complete=True),
)


@dataclass
class Told:
    """Facts as a test tells them: how long each name has rested, how old it is, what looking at it shows."""

    quiet: float = 0.0
    age: float = 0.0
    seen: Mapping[str, Look] = field(default_factory=dict)
    hold: Held | None = None
    each_age: Mapping[str, float] = field(default_factory=dict)

    def unchanged_seconds(self, name: str) -> float:
        return self.quiet

    def age_seconds(self, name: str) -> float:
        return self.each_age.get(name, self.age)

    def looks(self, names: Sequence[str]) -> Mapping[str, Look]:
        return {name: self.seen.get(name, FREE) for name in names}

    def rejection_of(self, stray: Sighting) -> Rejection | None:
        return None

    def held(self, drop: Drop) -> Held | None:
        return self.hold


def codes(decision: Wait | Refuse) -> list[str]:
    return [problem.code for problem in decision.problems]


# --- names ---------------------------------------------------------------------------------------------------------

IGNORED = [
    *(".m.pkl.X3fg8a", ".~tmp~", ".in.m.pkl", ".nfs000001", "sedAbC123", "m.pkl.filepart", "m.pkl.part"),
    *("m.pkl.partial", "m.pkl.crdownload", "m.pkl.tmp", ".m.pkl.swp", "m.pkl~", "receipts", "rejected", "x\n.tmp"),
    *(".processing", "m.TMP", "m.pkl.swx"),
]
JUDGED = ["m.pkl", "m.yaml", "m", "-rf", "sedan12345", "sedan.yaml", "m.part.yaml", "m\n.yaml", "temp", "m.tmp.pkl"]


@pytest.mark.parametrize("name", IGNORED)
def test_temporary_names_and_our_own_are_ignored(name: str) -> None:
    """What rsync, lftp, sed, WinSCP, browsers and editors write under is never judged."""
    assert is_ignored(name)


@pytest.mark.parametrize("name", JUDGED)
def test_other_names_are_judged(name: str) -> None:
    """A name that only resembles a temporary one is a producer's."""
    assert not is_ignored(name)


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a.pkl", "a"), ("a.yaml", "a"), ("a.joblib", "a"), ("a.pickle", "a"), ("a.pth", "a"), ("a.txt", "a.txt")],
)
def test_stems(name: str, stem: str) -> None:
    """The suffix of a sidecar or a pickle is no part of the stem; any other is."""
    assert stem_of(name) == stem


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a_scaler.pkl", "a"), ("a_scaler.joblib", "a"), ("a.pkl", None), ("a_scaler.yaml", None), ("_scaler.pkl", "")],
)
def test_the_stem_that_a_scaler_is_named_for(name: str, stem: str | None) -> None:
    """`<stem>_scaler` with the suffix of a pickle."""
    assert scaler_stem(name) == stem


# --- pairing -------------------------------------------------------------------------------------------------------


def test_a_drop_is_the_sidecar_and_what_it_names() -> None:
    """Model by the stem, a scaler that is there; what nobody names is a stray."""
    sightings = {n: seen(n) for n in ("m.yaml", "m.pkl", "m_scaler.pkl", "other.pkl")}
    drops, strays = pair(sightings, {"m.yaml": parsed("m")})
    assert dict(drops[0].files) == {"model": "m.pkl", "scaler": "m_scaler.pkl"}
    assert [s.name for s in strays] == ["other.pkl"]


@pytest.mark.parametrize(
    ("fields", "there", "scaler"),
    [
        ({}, ["m_scaler.pkl"], "m_scaler.pkl"),
        ({}, [], None),
        ({"scaler_file": None}, ["m_scaler.pkl"], None),
        ({"scaler_file": "s.pkl"}, [], "s.pkl"),
        ({"model_file": "m.joblib"}, ["m_scaler.joblib"], "m_scaler.joblib"),
        ({"model_file": "m.joblib"}, ["m_scaler.pkl"], "m_scaler.pkl"),
        ({"model_file": "m.joblib"}, ["m_scaler.joblib", "m_scaler.pkl"], "m_scaler.pkl"),
        ({"model_file": "m.pickle"}, ["m_scaler.joblib"], "m_scaler.joblib"),
        ({"model_file": "m.joblib.GZ"}, ["m_scaler.sav", "m_scaler.joblib.gz"], "m_scaler.joblib.gz"),
        ({}, ["M_SCALER.PKL"], None),
        ({}, ["m_SCALER.PKL"], "m_SCALER.PKL"),
        ({"model_file": "n.pt"}, ["m_scaler.pt"], "m_scaler.pt"),
        ({"model_file": "n.pt"}, ["n_scaler.pt"], None),
        ({}, ["m_scaler.joblib"], "m_scaler.joblib"),
    ],
)
def test_which_scaler_belongs_to_a_drop(fields: dict[str, object], there: list[str], scaler: str | None) -> None:
    """What the sidecar names; if it says nothing, `<stem>_scaler` with .pkl, as the model's, or the only one."""
    model = str(fields.get("model_file", "m.pkl"))
    drop = only_drop([seen(n) for n in ("m.yaml", model, *there)], parsed("m", **fields))
    assert drop.files.get("scaler") == scaler


def test_a_scaler_of_another_user_or_of_another_sidecar_is_not_taken_by_its_name() -> None:
    """Only the owner's own file, and only if no other sidecar of that owner names it."""
    theirs = only_drop([seen("m.yaml"), seen("m.pkl"), seen("m_scaler.pkl", owner=2)], parsed("m"))
    assert dict(theirs.files) == {"model": "m.pkl"}
    sightings = {n: seen(n) for n in ("m.yaml", "m.pkl", "m_scaler.pkl", "n.yaml")}
    drops, strays = pair(sightings, {"m.yaml": parsed("m"), "n.yaml": parsed("n", model_file="m_scaler.pkl")})
    assert [dict(drop.files) for drop in drops] == [{"model": "m.pkl"}, {"model": "m_scaler.pkl"}]
    assert strays == []


def test_what_another_users_sidecar_names_changes_nothing() -> None:
    """Mallory's sidecar names alice's files: hers are still hers alone, and go along when her drop is refused."""
    sightings = {n: seen(n) for n in ("m.yaml", "m.pkl")} | {"evil.yaml": seen("evil.yaml", owner=2)}
    drops, _ = pair(sightings, {"m.yaml": parsed("m"), "evil.yaml": parsed("evil", model_file="m.pkl")})
    assert (list(drops[0].refused_together), drops[0].shared) == (["m.yaml", "m.pkl"], frozenset())
    assert list(drops[1].refused_together) == ["evil.yaml"]


def test_a_refused_sidecar_takes_along_only_what_is_its_alone() -> None:
    """A file that two sidecars name, a folder, another user's file stay; its own go with it."""
    sightings = {n: seen(n) for n in ("a.yaml", "b.yaml", "shared.pkl", "a_scaler.pkl")}
    both = {"a.yaml": parsed("a", model_file="shared.pkl"), "b.yaml": parsed("b", model_file="shared.pkl")}
    drops, _ = pair(sightings, both)
    assert [list(drop.refused_together) for drop in drops] == [["a.yaml", "a_scaler.pkl"], ["b.yaml"]]
    folder = only_drop([seen("m.yaml"), seen("m.pkl", kind="folder")], parsed("m"))
    assert list(folder.refused_together) == ["m.yaml"]


def test_an_unreadable_sidecar_is_taken_to_mean_the_files_of_its_stem() -> None:
    """So that they are no strays while it cannot be read."""
    drops, strays = pair({n: seen(n) for n in ("m.yaml", "m.pkl")}, {"m.yaml": Problem("drop.unreadable", "x", "y")})
    assert dict(drops[0].files) == {"model": "m.pkl"}
    assert strays == []


# --- whole ---------------------------------------------------------------------------------------------------------

WHOLE = [seen("m.yaml"), seen("m.pkl")]
D = "0" * 64


@pytest.mark.parametrize(
    ("seal", "fields", "look", "quiet", "expected"),
    [
        ("...", {}, FREE, 0, Take("lease")),
        ("...", {"sha256": {"model": D}}, FREE, 0, Take("digest")),
        ("", {"sha256": {"model": D}}, FREE, 0, Take("digest")),
        ("", {}, FREE, 0, "drop.settling"),
        ("", {}, FREE, 1.9, "drop.settling"),
        ("", {}, FREE, 2, Take("quiet")),
        ("...", {}, UNKNOWN, 0, "drop.settling"),
        ("...", {}, UNKNOWN, 2, Take("quiet")),
        ("...", {"sha256": {"model": D}}, UNKNOWN, 2, Take("digest")),
        ("...", {}, OPEN, 0, "artifact.open_for_writing"),
        ("...", {}, OPEN, 899, "artifact.open_for_writing"),
        ("", {"sha256": {"model": D}}, OPEN, 899, "artifact.open_for_writing"),
        ("...", {}, Look(Lease.FREE, complete=False), 0, "artifact.truncated"),
    ],
)
def test_when_a_drop_is_whole(
    seal: str, fields: dict[str, object], look: Look, quiet: float, expected: Take | str
) -> None:
    """Sealed and free by the kernel's word: at once. Else quiet for the settle time, and never while it is open."""
    drop = only_drop(WHOLE, parsed("m", seal, **fields))
    decision = judge(drop, Told(quiet=quiet, age=quiet, seen={"m.pkl": look, "m.yaml": look}), LIMITS)
    if isinstance(expected, Take):
        assert decision == expected
    else:
        assert isinstance(decision, Wait)
        assert codes(decision)[0] == expected


def test_how_long_a_drop_settles() -> None:
    """The rest of the settle time, to the moment."""
    decision = judge(only_drop(WHOLE, parsed("m", "")), Told(quiet=0.5), LIMITS)
    assert isinstance(decision, Wait)
    assert decision.until == 1.5


def test_one_file_whose_lease_is_unknown_makes_all_wait() -> None:
    """Sealed, the model free, the scaler another file system's: the quiet rule decides."""
    drop = only_drop([*WHOLE, seen("m_scaler.pkl")], parsed("m"))
    assert codes(judge(drop, Told(seen={"m_scaler.pkl": UNKNOWN}), LIMITS)) == ["drop.settling"]


# --- not complete --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sightings", "text", "code"),
    [
        ([seen("m.yaml")], parsed("m"), "artifact.missing"),
        (WHOLE, parsed("m", scaler_file="s.pkl"), "artifact.missing"),
        (WHOLE, parsed("m", "", leave_out=["horizons"]), "sidecar.missing_field"),
        (WHOLE, parse_sidecar(b"", stem="m", now=NOW), "sidecar.empty"),
        (WHOLE, parse_sidecar(b'model_type: "light', stem="m", now=NOW), "sidecar.not_yaml"),
    ],
)
def test_what_may_still_be_on_its_way_waits_and_is_refused_after_its_time(
    sightings: list[Sighting], text: Sidecar, code: str
) -> None:
    """Waits to the moment of its time-out after the last change, saying what is missing; then it is rejected."""
    drop = only_drop(sightings, text)
    waiting = judge(drop, Told(quiet=899, age=899), LIMITS)
    assert isinstance(waiting, Wait)
    assert (waiting.until, waiting.stale) == (1, False)
    refused = judge(drop, Told(quiet=900, age=900), LIMITS)
    assert isinstance(refused, Refuse)
    assert code in codes(waiting)
    assert codes(refused) == [*codes(waiting), "drop.incomplete_timeout"]


def test_the_time_out_counts_from_the_last_change_of_any_of_its_files() -> None:
    """An old sidecar with a model that still grows is no old drop."""
    drop = only_drop([seen("m.yaml"), seen("m.pkl")], parsed("m", scaler_file="s.pkl"))
    decision = judge(drop, Told(each_age={"m.yaml": 5000.0, "m.pkl": 10.0}), LIMITS)
    assert isinstance(decision, Wait)
    assert decision.until == 890


@pytest.mark.parametrize("look", [OPEN, Look(Lease.UNKNOWN, complete=False, problem=Problem("x", "y"))])
def test_what_a_person_has_to_end_is_never_refused(look: Look) -> None:
    """A file that is open for writing or cannot be read stays where it is, however old, and is said to be stale."""
    decision = judge(only_drop(WHOLE, parsed("m")), Told(quiet=9e9, age=9e9, seen={"m.pkl": look}), LIMITS)
    assert isinstance(decision, Wait)
    assert (decision.until, decision.stale) == (None, True)


def test_an_unreadable_sidecar_waits_for_ever() -> None:
    """Permissions are no fault of the drop: it stays, with the chmod that helps."""
    drop = only_drop(WHOLE, Problem("drop.unreadable", "no", "chmod g+r"))
    decision = judge(drop, Told(age=9e9, quiet=9e9), LIMITS)
    assert isinstance(decision, Wait)
    assert decision.stale


# --- refused -------------------------------------------------------------------------------------------------------


def test_a_settled_sidecar_with_a_fault_that_nothing_can_mend_is_refused_at_once() -> None:
    """An unknown key is no matter of waiting; unsealed it settles first, for it may be being edited."""
    wrong = parsed("m", model_typ="x")
    assert codes(judge(only_drop(WHOLE, wrong), Told(), LIMITS)) == ["sidecar.unknown_key"]
    unsealed = only_drop(WHOLE, parsed("m", "", model_typ="x"))
    assert codes(judge(unsealed, Told(quiet=1), LIMITS)) == ["drop.settling"]
    assert isinstance(judge(unsealed, Told(quiet=2), LIMITS), Refuse)


@pytest.mark.parametrize(
    ("other", "code"),
    [
        (seen("m.pkl", owner=2), "sidecar.not_owner"),
        (seen("m.pkl", kind="symlink"), "artifact.not_regular"),
        (seen("m.pkl", kind="other"), "artifact.not_regular"),
        (seen("m.pkl", kind="folder"), "artifact.not_regular"),
        (seen("m.pkl", size=1001), "artifact.too_large"),
    ],
)
def test_files_that_cannot_be_a_drops(other: Sighting, code: str) -> None:
    """Not the owner's, no regular file, too large: refused without being opened."""

    class Untouched(Told):
        def looks(self, names: Sequence[str]) -> Mapping[str, Look]:
            assert names == ["m.yaml"]
            return super().looks(names)

    decision = judge(only_drop([seen("m.yaml"), other], parsed("m")), Untouched(), LIMITS)
    assert isinstance(decision, Refuse)
    assert codes(decision) == [code]


def test_the_largest_size_is_allowed() -> None:
    """The limit itself is no excess."""
    assert judge(only_drop([seen("m.yaml"), seen("m.pkl", size=1000)], parsed("m")), Told(), LIMITS) == Take("lease")


@pytest.mark.parametrize("kind", ["symlink", "other"])
def test_a_sidecar_that_is_no_file_is_refused_unread(kind: Kind) -> None:
    """Nothing is read through a link or from a FIFO."""
    drop = only_drop([seen("m.yaml", kind=kind), seen("m.pkl")], parse_sidecar(b"", stem="m", now=NOW))
    assert codes(judge(drop, Told(), LIMITS)) == ["drop.sidecar_not_regular"]


@pytest.mark.parametrize("stem", ["a b", "-rf", "..x", "x" * 129, "a_scaler", "é", "\udcff", "a\nb", "a'b"])
def test_a_stem_that_cannot_be_an_id_is_refused_when_it_has_settled(stem: str) -> None:
    """Each with a message that shows the name escaped, on one line."""
    name = f"{stem}.yaml"
    drop = only_drop([seen(name)], parse_sidecar(sidecar(), stem=stem, now=NOW), name)
    assert codes(judge(drop, Told(quiet=1), LIMITS)) == ["drop.settling"]
    decision = judge(drop, Told(quiet=2), LIMITS)
    assert isinstance(decision, Refuse)
    assert codes(decision) == ["drop.invalid_name"]
    assert str(decision.problems[0]).isprintable()


# --- held, strays --------------------------------------------------------------------------------------------------


def test_a_drop_that_is_held_is_not_taken() -> None:
    """For the seconds that were given; or, with its bytes known to be wrong, until they change or its time is over."""
    problem = Problem("artifact.digest_mismatch", "x", "y")
    drop = only_drop(WHOLE, parsed("m"))
    assert judge(drop, Told(hold=Held((problem,), 3.0)), LIMITS) == Wait((problem,), 3.0)
    assert judge(drop, Told(hold=Held((problem,), None), age=100), LIMITS) == Wait((problem,), 800)
    late = judge(drop, Told(hold=Held((problem,), None), age=900, quiet=900), LIMITS)
    assert isinstance(late, Refuse)
    assert codes(late) == ["artifact.digest_mismatch", "drop.incomplete_timeout"]


def test_strays_wait_their_time_and_are_refused() -> None:
    """A pickle without a sidecar: after `orphan_timeout`, not before, and not while it is being written."""
    stray = seen("m.pkl")
    waiting = judge_stray(stray, {"m.pkl"}, Told(age=86_399), LIMITS)
    assert isinstance(waiting, Wait)
    assert waiting.until == 1
    assert isinstance(judge_stray(stray, {"m.pkl"}, Told(age=86_400), LIMITS), Refuse)
    still = judge_stray(stray, {"m.pkl"}, Told(age=86_400, seen={"m.pkl": OPEN}), LIMITS)
    assert isinstance(still, Wait)
    assert still.stale


def test_a_stray_of_whom_we_cannot_read_a_sidecar_waits_for_that() -> None:
    """The sidecar may name it. Files of others wait no longer for that."""
    unread = {1: Problem("drop.unreadable", "no", "chmod g+r")}
    waiting = judge_stray(seen("w.pkl", owner=1), {"w.pkl"}, Told(age=86_400), LIMITS, unread)
    assert waiting == Wait(waiting.problems, None, stale=True)
    assert codes(waiting) == ["drop.no_sidecar", "drop.unreadable"]
    assert isinstance(judge_stray(seen("w.pkl", owner=2), {"w.pkl"}, Told(age=86_400), LIMITS, unread), Refuse)


def test_folders_stay_for_ever() -> None:
    """Nothing is moved that may hold somebody's work."""
    decision = judge_stray(seen("m", kind="folder"), {"m"}, Told(age=9e9), LIMITS)
    assert decision == Wait(decision.problems, None, stale=True)
    assert codes(decision) == ["drop.folder"]


@pytest.mark.parametrize(
    ("name", "names", "part"),
    [
        ("m.pkl", {"m.pkl", "m.yml"}, "m.yml"),
        ("m.pkl", {"m.pkl"}, "'m.yaml'"),
        ("m_scaler.pkl", {"m_scaler.pkl"}, "'m.yaml' with its model"),
        ("_scaler.pkl", {"_scaler.pkl"}, "'_scaler.yaml'"),
    ],
)
def test_the_hint_for_a_stray_names_the_likely_slip(name: str, names: set[str], part: str) -> None:
    """A sidecar that has another model, a model alone, a scaler alone: said as such."""
    assert part in judge_stray(seen(name), names, Told(), LIMITS).problems[0].hint


# --- any order -----------------------------------------------------------------------------------------------------


@dataclass
class Folder:
    """An inbox in memory: files come one by one, time passes, what is complete goes."""

    texts: Mapping[str, Sidecar]
    there: dict[str, float] = field(default_factory=dict)
    now: float = 0.0
    taken: dict[str, frozenset[str]] = field(default_factory=dict)

    def unchanged_seconds(self, name: str) -> float:
        return self.now - self.there[name]

    age_seconds = unchanged_seconds

    def looks(self, names: Sequence[str]) -> Mapping[str, Look]:
        return dict.fromkeys(names, FREE)

    def rejection_of(self, stray: Sighting) -> Rejection | None:
        return None

    def held(self, drop: Drop) -> Held | None:
        return None

    def look_round(self) -> None:
        sightings = {name: seen(name) for name in self.there}
        drops, _ = pair(sightings, {name: self.texts[name] for name in self.there if name in self.texts})
        for drop in drops:
            decision = judge(drop, self, LIMITS)
            assert not isinstance(decision, Refuse), decision
            if isinstance(decision, Take):
                assert drop.stem not in self.taken
                self.taken[drop.stem] = frozenset(drop.present)
                for name in drop.present:
                    del self.there[name]


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[dict[str, Sidecar], dict[str, frozenset[str]], list[tuple[str, float]]]:
    """Some drops and an order in which their files come, with pauses; which files each drop must have in the end.

    A producer that seals a sidecar without naming the scaler sends the scaler before the drop is complete; an unsealed
    drop may get it within the settle time.
    """
    texts, expected, lines = {}, {}, []
    for number in range(draw(st.integers(1, 4))):
        stem = f"m{number}"
        suffix = draw(st.sampled_from([".pkl", ".joblib", ".pt"]))
        sealed, declared, scaled = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
        fields: dict[str, object] = {} if suffix == ".pkl" else {"model_file": stem + suffix}
        scaler = f"{stem}_scaler{draw(st.sampled_from(['.pkl', suffix]))}"
        if declared:
            fields["scaler_file"] = scaler if scaled else None
        texts[f"{stem}.yaml"] = parsed(stem, "..." if sealed else "", **fields)
        files = [stem + suffix, f"{stem}.yaml", *([scaler] if scaled else [])]
        expected[stem] = frozenset(files)
        order = draw(st.permutations(files))
        if scaled and sealed and not declared and order[-1] == scaler:
            order = [scaler, *order[:-1]]
        lines.append(order)
    names: list[tuple[str, float]] = []
    while any(lines):
        line = draw(st.sampled_from([line for line in lines if line]))
        names.append((line.pop(0), draw(st.sampled_from([0.0, 0.01, 0.15]))))
    return texts, expected, names


@given(arrivals())
def test_any_order_of_arrival_ends_in_the_same_drops(
    case: tuple[dict[str, Sidecar], dict[str, frozenset[str]], list[tuple[str, float]]],
) -> None:
    """Whatever comes first, and however the files of several drops mix, each drop is taken once, with all its files."""
    texts, expected, names = case
    folder = Folder(texts)
    for name, pause in names:
        folder.there[name] = folder.now
        folder.look_round()
        folder.now += pause
    folder.now += LIMITS.settle_seconds + 0.5
    folder.look_round()
    assert folder.taken == expected
    assert folder.there == {}
