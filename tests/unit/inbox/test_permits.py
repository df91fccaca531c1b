"""Who may drop what, and how much: `permits` and `quota`, with real users."""

from __future__ import annotations

import errno
import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model_inbox.base.accounts import Account, Accounts
from model_inbox.config.load import parse_config
from model_inbox.config.settings import Config
from model_inbox.inbox.beside import LARGE_BYTES
from model_inbox.inbox.permits import not_permitted, quota_of
from model_inbox.registry.usage import Quota
from model_inbox.service.service import Service
from support.crash_kit import metadata
from support.waiting import wait_until
from support.world import World, must_be_root, pickled, sidecar

ALICE, BOB = 61001, 61002
ANN = Account(7, "ann", frozenset({"research", "900"}))


def config(text: str) -> Config:
    return parse_config(text.encode(), file=Path("/srv/config.yaml"))


def unasked() -> Account:
    raise AssertionError("the system was asked")


def refused(permits: str, user: Account = ANN, **fields: Any) -> str:
    """Return the hint of the refusal, "" for a drop that is covered."""
    settings = config(f"permits: [{permits}]").permits
    assert settings is not None
    problem = not_permitted(settings, user.uid, lambda: user, metadata("eur_1", currency_pair="EUR/USD", **fields))
    return problem.hint if problem is not None else ""


@pytest.mark.parametrize(
    ("permit", "covered"),
    [
        ("{users: [ann]}", True),
        ("{users: ['7']}", True),
        ("{users: ['a*']}", True),
        ("{users: [Ann]}", False),
        ("{users: [bob]}", False),
        ("{users: ['*']}", True),
        ("{groups: [research]}", True),
        ("{groups: ['900']}", True),
        ("{groups: [ann]}", False),
        ("{users: [bob], groups: ['res*']}", True),
        ("{users: [ann], match: {currency_pair: 'EUR/*'}}", True),
        ("{users: [ann], match: {currency_pair: 'EUR'}}", False),
        ("{users: [ann], match: {currency_pair: 'EUR/*', model_type: lstm}}", False),
        ("{users: [ann], match: {variant: '*'}}", True),
        ("{users: [ann], match: {variant: fast}}", False),
        ("{users: [ann], ids: 'eur_*'}", True),
        ("{users: [ann], ids: 'eur'}", False),
        ("{users: [bob]}, {users: [ann], ids: 'eur_?'}", True),
    ],
)
def test_a_permit_covers_what_it_names(permit: str, covered: bool) -> None:
    """By name, number or group, and by every pattern that it has: for the whole value, case-sensitive."""
    assert (refused(permit) == "") is covered


def test_a_refusal_says_what_the_user_may_drop() -> None:
    """The user's own permits and nobody else's."""
    permits = "{users: [ann], match: {model_type: lstm}, ids: 'eur_*'}, {groups: [research], ids: x}, {users: [bob]}"
    assert refused(permits) == (
        "This user may drop: model_type 'lstm', model_id 'eur_*'; or model_id 'x' (permits in config.yaml)"
    )
    assert refused("{users: [bob]}").startswith("This user may drop nothing")


def test_the_system_is_asked_only_where_a_number_does_not_tell() -> None:
    """A directory service that is away does not stop whom a number, or `*`, permits."""
    settings = config("permits: [{users: ['*']}]\nquota: [{users: ['7'], models_per_day: 1}]")
    assert settings.permits is not None
    assert not_permitted(settings.permits, 7, unasked, metadata("m")) is None
    assert quota_of(settings.quota, 7, unasked) == Quota("quota[0]", 1, None)


def test_the_first_quota_that_names_a_user_counts() -> None:
    """By name or number; a user that none names has no quota."""
    quota = config("quota: [{users: [ann], bytes: 1KB}, {users: ['?'], models_per_day: 5}]").quota
    assert quota_of(quota, 7, lambda: ANN) == Quota("quota[0]", None, 1000)
    assert quota_of(quota, 8, lambda: Account(8)) == Quota("quota[1]", 5, None)
    assert quota_of(quota, 88, lambda: Account(88)) is None


# --- in a service -------------------------------------------------------------------------------------------------


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., None]:
    must_be_root()
    inbox = tmp_path / "inbox"
    inbox.mkdir()

    def drop(stem: str, uid: int, **fields: Any) -> None:
        for name, data in ((f"{stem}.pkl", pickled(stem)), (f"{stem}.yaml", sidecar(**fields))):
            (inbox / name).write_bytes(data)
            os.chown(inbox / name, uid, -1)

    return drop


def problems(world: World) -> dict[str, list[str]]:
    """Return the messages of every rejected drop by its stem."""
    found = {}
    for path in (world.inbox / "rejected").glob("*/reason.json"):
        reason = json.loads(path.read_text())
        found[reason["stem"]] = [f"{problem['code']}: {problem['message']}" for problem in reason["problems"]]
    return found


def test_users_drop_what_they_are_permitted(tmp_path: Path, put: Callable[..., None]) -> None:
    """Alice by number, daemon by its real group; what no permit covers is rejected, and nothing of it is staged."""
    daemon = pwd.getpwnam("daemon")
    permits = [{"users": [str(ALICE)], "ids": "alice_*"}, {"groups": ["daemon"], "match": {"currency_pair": "USD/*"}}]
    world = World(tmp_path, {"permits": permits})
    put("alice_1", ALICE)
    put("bob_1", BOB)
    put("alice_2", BOB)
    put("mine", ALICE)
    put("d", daemon.pw_uid)
    put("e", daemon.pw_uid, currency_pair="EUR/USD")
    with world.running() as service:
        world.live_on(service, 1)
    assert sorted(world.registrations()) == ["alice_1", "d"]
    assert problems(world) == {
        "bob_1": [
            f"drop.not_permitted: uid {BOB} may not drop 'bob_1' for currency_pair 'USD/EUR', model_type 'lightgbm'"
        ],
        "alice_2": [
            f"drop.not_permitted: uid {BOB} may not drop 'alice_2' for currency_pair 'USD/EUR', model_type 'lightgbm'"
        ],
        "mine": [
            f"drop.not_permitted: uid {ALICE} may not drop 'mine' for currency_pair 'USD/EUR', model_type 'lightgbm'"
        ],
        "e": [
            f"drop.not_permitted: daemon (uid {daemon.pw_uid}) may not drop 'e' for currency_pair 'EUR/USD', "
            "model_type 'lightgbm'"
        ],
    }
    assert world.staged() == []


def test_a_batch_of_one_user_leaves_the_quota_of_another(tmp_path: Path, put: Callable[..., None]) -> None:
    """Bob's ten drops that come together fill his quota of two; alice's go through."""
    world = World(tmp_path, {"quota": [{"users": ["*"], "models_per_day": 2}]})
    for number in range(10):
        put(f"b{number}", BOB)
    put("a0", ALICE)
    put("a1", ALICE)
    with world.running() as service:
        world.live_on(service, 1)
    with world.registry() as registry:
        owners = sorted(entry["owner"]["uid"] for entry in registry.registry.values())
    assert owners == [ALICE, ALICE, BOB, BOB]
    refusals = problems(world)
    assert len(refusals) == 8
    said = f"drop.quota: uid {BOB} has 2 registrations in the last 24 hours, and 2 a day are allowed"
    assert all(messages[0].startswith(said) for messages in refusals.values())


def live_until_answered(world: World, service: Service, *stems: str) -> None:
    """Let a service live until drops have their receipts: large ones are validated beside its loop."""

    def answered() -> bool:
        world.live_on(service, 1)
        return all(world.receipt(stem) is not None for stem in stems)

    wait_until(answered)


@pytest.mark.parametrize("large_bytes", [1, LARGE_BYTES])
@pytest.mark.parametrize("quota", [{"models_per_day": 1}, {"bytes": 30}])
def test_who_is_over_the_quota_already_is_refused_before_the_files_cost_anything(
    tmp_path: Path, put: Callable[..., None], quota: dict[str, int], large_bytes: int
) -> None:
    """Nothing of the drop is read or scanned: its reasons have no digest. A duplicate is none the less one."""
    world = World(tmp_path, {"quota": [{"users": ["*"], **quota}]})
    put("first", BOB)
    with world.running() as service:
        service.intake.large_bytes = large_bytes
        live_until_answered(world, service, "first")
        put("again", BOB, model_id="first")
        (world.inbox / "again.pkl").write_bytes(pickled("first"))
        put("second", BOB)
        live_until_answered(world, service, "again", "second")
    receipts = {name: world.receipt(name) for name in ("again", "second")}
    again, second = receipts["again"], receipts["second"]
    assert again is not None and again["outcome"] == "duplicate"
    assert second is not None and (second["outcome"], second["digests"]) == ("rejected", {})
    assert [problem["code"] for problem in second["problems"]] == ["drop.quota"]


def test_an_id_that_is_taken_says_whose_it_is(tmp_path: Path, put: Callable[..., None]) -> None:
    """To the user whose model it is; of others it says no more than that it is another user's."""
    world = World(tmp_path)
    put("m", ALICE)
    with world.running() as service:
        world.live_on(service, 1)
        put("bobs", BOB, model_id="m")
        put("hers", ALICE, model_id="m")
        world.live_on(service, 1)
    refusals = problems(world)
    assert "taken by another model of another user (registered" in refusals["bobs"][0]
    assert "taken by another model of yours (registered" in refusals["hers"][0]
    assert str(ALICE) not in refusals["bobs"][0]


def test_a_drop_of_a_user_that_nobody_can_tell_waits(tmp_path: Path, put: Callable[..., None]) -> None:
    """While the system does not say who the user is, the drop is deferred and not rejected; then it is decided."""
    away = True

    def look_up(uid: int) -> Account:
        if away:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return Account(uid, "alice", frozenset())

    world = World(tmp_path, {"permits": [{"users": ["alice"]}]}, accounts=Accounts(look_up=look_up))
    put("m", ALICE)
    with world.running() as service:
        (claim,) = service.intake.deferred
        assert claim.retry is not None
        assert f"user {ALICE}" in claim.retry.cause
        away = False
        world.live_on(service, 60)
    assert world.registrations() == ["m"]
