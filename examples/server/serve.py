"""A server that forecasts with the models of a registry, and changes them without a gap.

    uvicorn --app-dir examples/server --workers 2 serve:app

Each pair is answered by the model that its alias `champion` names. One user in ten, always the same ones, is answered
by that of the alias `challenger`, where there is one. The newest model of the pair gets the same requests as a shadow:
its forecasts are logged, and nobody sees them. MODEL_INBOX_REGISTRY is the registry's file.
"""

from __future__ import annotations

import logging
import math
import os
import time
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Response
from pydantic import BaseModel

from model_inbox import Follower, Followers, ModelRegistry, Served

REGISTRY = os.environ.get("MODEL_INBOX_REGISTRY", "models/prediction_registry.json")
WAIT_SECONDS = 60
MAX_AGE_SECONDS = 60
SLOWEST_SECONDS = 0.25
CHALLENGER_PERCENT = 10
# A model is given up after three failures: the fourth attempt is that of the model before.
ATTEMPTS = 4

log = logging.getLogger("uvicorn.error")
following: dict[str, Followers] = {}


class Row(BaseModel):
    """One row of features, in the order of the model's `features_used`, and the user who asks."""

    values: list[float]
    user: str = ""


def predict(model: Any, scaler: Any, values: Sequence[float]) -> list[float]:
    """Return a model's forecast. One that is not finite is a failure of the model."""
    rows = [list(values)] if scaler is None else scaler.transform([list(values)])
    forecast = [float(value) for value in model.predict(rows)]
    if not all(map(math.isfinite, forecast)):
        raise ArithmeticError(f"the forecast is {forecast}")
    return forecast


def try_out(model: Any, scaler: Any) -> None:
    """Refuse a model that cannot forecast, or takes too long for it, before it is served."""
    values = [0.0] * int(getattr(scaler if scaler is not None else model, "n_features_in_", 1))
    # The first forecast may import what later ones have.
    predict(model, scaler, values)
    begun = time.perf_counter()
    predict(model, scaler, values)
    if (seconds := time.perf_counter() - begun) > SLOWEST_SECONDS:
        raise TimeoutError(f"a forecast takes {seconds:.2f} s")


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Follow from the start of a worker to its end. The first models are loaded before the first request."""
    with ModelRegistry(REGISTRY, read_only=True) as registry:
        options: dict[str, Any] = {"try_out": try_out, "max_age": MAX_AGE_SECONDS}
        following["champion"] = registry.follow(alias="champion", wait=WAIT_SECONDS, **options)
        following["challenger"] = registry.follow(alias="challenger", **options)
        following["shadow"] = registry.follow(**options)
        app.state.registry = registry
        yield


app = FastAPI(title="Forecasts", lifespan=lifespan)


@app.post("/forecast/{base}/{quote}")
def forecast(base: str, quote: str, row: Row, type: str = "lightgbm", variant: str = "") -> dict[str, Any]:  # noqa: A002
    """Forecast a pair. The answer names the model that gave it."""
    slot = (f"{base}/{quote}", type, variant)
    name = "challenger" if zlib.crc32(row.user.encode()) % 100 < CHALLENGER_PERCENT else "champion"
    follower = following[name].get(slot) or following["champion"].get(slot)
    if follower is None:
        raise HTTPException(404, f"no model of {slot} is served")
    served, values = answer(follower, row.values)
    look_at_shadow(slot, served, row.values)
    return {"forecast": values, "model_id": served.entry["model_id"], "alias": follower.alias}


def answer(follower: Follower, values: list[float]) -> tuple[Served, list[float]]:
    """Return what the model says, and the model. One that fails is reported, until the one before answers."""
    for attempt in range(1, ATTEMPTS + 1):
        served = follower.current
        if len(values) != len(served.entry["features_used"]):
            raise HTTPException(422, f"the model needs {len(served.entry['features_used'])} values")
        try:
            return served, predict(served.model, served.scaler, values)
        except Exception as error:
            served.failed(error)
            if attempt == ATTEMPTS:
                raise
            if attempt == ATTEMPTS - 1:
                follower.wait_changed(served, timeout=5)
    raise AssertionError("the last attempt returns or raises")


def look_at_shadow(slot: tuple[str, str, str], served: Served, values: list[float]) -> None:
    """Log what the newest model says where another one answered."""
    follower = following["shadow"].get(slot)
    shadow = follower.current if follower is not None else served
    if shadow.entry["model_id"] != served.entry["model_id"]:
        try:
            said = predict(shadow.model, shadow.scaler, values)
            log.debug("shadow %s said %s", shadow.entry["model_id"], said)
        except Exception as error:  # noqa: BLE001  # a shadow may do anything, and the answer is not its own
            shadow.failed(error)


@app.get("/healthz")
def healthz(response: Response) -> dict[str, Any]:
    """Tell what is served. 503 if a champion is outdated; a fallback is for people to look at, and no outage."""
    champions = following["champion"]
    if champions.is_stale or not champions:
        response.status_code = 503
    return {
        "ok": response.status_code != 503,
        "worker": os.getpid(),
        "models": [
            {
                "name": f"{slot}@{one.alias}" if one.alias else str(slot),
                "model_id": one.current.entry["model_id"],
                "age_seconds": round(one.age, 1),
                "stale": one.is_stale,
                "fallen_back": one.fallen_back._asdict() if one.fallen_back is not None else None,
                "problem": one.problem,
            }
            for followers in following.values()
            for slot, one in followers.items()
        ],
    }


@app.get("/metrics")
def metrics() -> Response:
    """Serve the metrics of this worker's followers."""
    return Response(app.state.registry.follower_metrics(), media_type="text/plain; version=0.0.4")
