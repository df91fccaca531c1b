"""`check` validates files as the inbox would, and moves nothing."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable

import yaml

from support import pickle_builders as build
from support.home import SIDECAR, Home
from support.places import DATA


class Hostile:
    """Runs a command when unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch ran",)


def test_check_accepts_what_the_inbox_would(files: Home) -> None:
    """A sidecar is judged with the model and the scaler beside it; nothing is moved."""
    (files.folder / "usd_eur.pkl").write_bytes(pickle.dumps({"a": 1}))
    (files.folder / "usd_eur_scaler.pkl").write_bytes(pickle.dumps([1]))
    before = files.tree()
    done = files.json("check", "usd_eur.yaml", "usd_eur.pkl")
    assert (done["verdict"], done["problems"]) == ("accept", [])
    assert [(item["file"], item["kind"]) for item in done["pickles"]] == [
        ("usd_eur.pkl", "plain"),
        ("usd_eur_scaler.pkl", "plain"),
    ]
    lines = files.text("check", "usd_eur.yaml", "m.pkl").splitlines()
    assert [line.split(" (")[0] for line in lines] == [
        "ACCEPT: usd_eur.yaml",
        "ACCEPT: usd_eur.pkl",
        "ACCEPT: usd_eur_scaler.pkl",
        "ACCEPT: m.pkl",
    ]
    assert files.tree() == before


def test_check_prints_all_that_is_known_of_a_pickle(files: Home) -> None:
    """Kind, frameworks with versions, names with their uses, and code carried by value with the three ways out."""
    shutil.copy(DATA / "pickles" / "scaler-protocol2.pkl", files.folder / "x.pkl")
    assert len(files.text("check", "x.pkl").splitlines()) == 1
    said = files.text("check", "x.pkl", "--verbose")
    assert "x.pkl (plain, 698 B, of numpy 2, scikit-learn 1.9.1)" in said
    assert "numpy.dtype: to be referred to, be called, have its state set" in said
    import cloudpickle

    (files.folder / "y.pkl").write_bytes(cloudpickle.dumps(lambda: 1))
    result = files.run("check", "y.pkl")
    assert result.exit_code == 1
    words = " ".join(result.stdout.split())
    assert "carries functions or classes themselves, not only their names" in words
    assert "cloudpickle.cloudpickle._make_function: to be referred to, be called" in words
    for way in ("pickle.allow", "a state dict", "ModelRegistry.register_model"):
        assert way in words


def test_check_refuses_an_integer_that_json_readers_would_round(files: Home) -> None:
    """Beyond 2^53 it is a problem with its place, as it is in the inbox."""
    text = SIDECAR.replace("validation_metrics: {rmse: 0.1}", "validation_metrics: {n: 18446744073709551616}")
    assert text != SIDECAR
    (files.folder / "usd_eur.yaml").write_text(text)
    (files.folder / "usd_eur.pkl").write_bytes(pickle.dumps({"a": 1}))
    (problem,) = files.json("check", "usd_eur.yaml", status=1)["problems"]
    assert (problem["code"], problem["field"]) == ("sidecar.invalid_value", "validation_metrics.n")


def test_check_tells_every_problem_at_once(files: Home) -> None:
    """Faults of sidecar, file and pickle are told together, with their places, and the pickle is not run."""
    digest = "0" * 64
    text = SIDECAR.replace("currency_pair", "curency_pair") + f"sha256: {{model: '{digest}'}}\n"
    (files.folder / "usd_eur.yaml").write_text(text)
    (files.folder / "usd_eur.pkl").write_bytes(pickle.dumps(Hostile()))
    done = files.json("check", "usd_eur.yaml", status=1)
    assert done["verdict"] == "reject"
    assert [problem["code"] for problem in done["problems"]] == [
        "sidecar.unknown_key",
        "sidecar.missing_field",
        "artifact.digest_mismatch",
        "artifact.never_allowed",
    ]
    assert (done["problems"][0]["file"], done["problems"][0]["line"]) == ("usd_eur.yaml", 2)
    assert done["pickles"][0]["imports"] == {"posix.system": "cr"}
    shown = files.text("check", "usd_eur.yaml", status=1)
    assert "posix.system: to be referred to, be called" in shown
    assert "- usd_eur.yaml:2:1: " in shown
    assert not (files.folder / "ran").exists()


def test_check_finds_files_as_the_inbox_does(files: Home) -> None:
    """Missing, linked, cut and too large files are told with the inbox's own codes; a missing end only once."""
    sidecar, model = files.folder / "usd_eur.yaml", files.folder / "usd_eur.pkl"
    assert [p["code"] for p in files.json("check", "usd_eur.yaml", status=1)["problems"]] == ["artifact.missing"]
    model.symlink_to("m.pkl")
    assert [p["code"] for p in files.json("check", "usd_eur.yaml", status=1)["problems"]] == ["artifact.not_regular"]
    assert [p["code"] for p in files.json("check", "usd_eur.pkl", status=1)["problems"]] == ["artifact.not_regular"]
    model.unlink()
    model.write_bytes(pickle.dumps({"a": 1})[:-1])
    assert [p["code"] for p in files.json("check", "usd_eur.yaml", status=1)["problems"]] == ["artifact.truncated"]
    sidecar.write_text(SIDECAR + "model_file: m.pkl\n")
    assert files.json("check", "usd_eur.yaml")["verdict"] == "accept"
    (files.folder / "config.yaml").write_text("inbox: {max_artifact_size: 1B}\nchecks: {model_types: [lstm]}\n")
    assert [p["code"] for p in files.json("check", "usd_eur.yaml", status=1)["problems"]] == [
        "artifact.too_large",
        "checks.model_type",
    ]


def test_check_of_names_that_cannot_be(files: Home) -> None:
    """Names that are ignored or unknown, a stem that is no id, a linked sidecar; what is not there is usage."""
    for name, code in (
        ("m.onnx", "artifact.unknown_suffix"),
        ("m.pkl.bak", "drop.ignored"),
        (".m.yaml", "drop.ignored"),
    ):
        (files.folder / name).write_text(SIDECAR)
        assert code in [p["code"] for p in files.json("check", name, status=1)["problems"]], name
    (files.folder / "a_scaler.yaml").write_text(SIDECAR + "model_file: m.pkl\n")
    codes = [p["code"] for p in files.json("check", "a_scaler.yaml", status=1)["problems"]]
    assert codes == ["drop.invalid_name"]
    (files.folder / "link.yaml").symlink_to("usd_eur.yaml")
    assert [p["code"] for p in files.json("check", "link.yaml", status=1)["problems"]] == ["drop.sidecar_not_regular"]
    assert files.run("check", "nothing.yaml").exit_code == 2
    assert files.run("check").exit_code == 2


def test_check_warns_where_nothing_is_wrong(files: Home) -> None:
    """What is only worth a warning is a note, and the verdict is to accept."""
    (files.folder / "m.yaml").write_text(SIDECAR.replace("12:00:00Z", "12:00:00"))
    done = files.json("check", "m.yaml")
    assert (done["verdict"], [note["code"] for note in done["notes"]]) == ("accept", ["sidecar.no_zone"])
    assert "notes\n  - m.yaml:3:13: " in files.text("check", "m.yaml")


# --- lines for pickle.allow ------------------------------------------------------------------------------------------


def _object(module: str, name: str) -> bytes:
    """Return a pickle of an object of a class, with a state."""
    return build.pickled(build.built(build.new(module, name), build.mapping({"a": build.value(1)})))


def test_check_suggests_one_block_that_makes_the_files_acceptable(files: Home) -> None:
    """Each line once, with the files that need it and what it permits. With the block, all files are accepted."""
    (files.folder / "a.pkl").write_bytes(_object("shop.models", "Net"))
    (files.folder / "b.pkl").write_bytes(
        build.pickled(b"](", build.new("shop.models", "Net"), build.called(build.named("shop.tools", "scale")), b"e")
    )
    (files.folder / "c.pkl").write_bytes(pickle.dumps({"plain": 1}))
    result = files.run("check", "a.pkl", "b.pkl", "c.pkl", "--suggest-allow")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "pickle:",
        "  allow:",
        "    # a.pkl, b.pkl; permits shop.models.Net to be referred to, be created without calling __init__, "
        "have its state set",
        '    "shop.models.Net": "bnr"',
        "    # b.pkl; permits shop.tools.scale to be referred to, be called",
        '    "shop.tools.scale": "cr"',
    ]
    assert yaml.safe_load(result.stdout) == {"pickle": {"allow": {"shop.models.Net": "bnr", "shop.tools.scale": "cr"}}}
    assert files.json("check", "a.pkl", "b.pkl", "--suggest-allow", status=1)["allow"] == {
        "shop.models.Net": "bnr",
        "shop.tools.scale": "cr",
    }
    (files.folder / "config.yaml").write_text(result.stdout)
    assert files.json("check", "a.pkl", "b.pkl", "c.pkl")["verdict"] == "accept"
    assert files.text("check", "a.pkl", "--suggest-allow") == "# no lines to add\n"


def test_check_suggests_nothing_for_a_file_that_no_line_makes_acceptable(files: Home) -> None:
    """A command, a class of a script, code by value, a misused name and what only shipped lists may have: no line."""
    net = build.new("shop.models", "Net")
    refused = {
        "command.pkl": build.pickled(b"](", net, build.named("os", "system"), b"e"),
        "script.pkl": build.pickled(b"](", net, build.new("__main__", "Net"), b"e"),
        "code.pkl": build.pickled(b"](", net, build.named("cloudpickle.cloudpickle", "_make_function"), b"e"),
        "misused.pkl": build.pickled(b"](", net, build.called(build.named("numpy", "log")), b"e"),
        "shipped.pkl": build.pickled(b"](", net, build.named("statsmodels.iolib.smpickle", "load_pickle"), b"e"),
        "broken.pkl": _object("shop.models", "Net")[:-1],
    }
    for name, data in refused.items():
        (files.folder / name).write_bytes(data)
    result = files.run("check", *refused, "--suggest-allow")
    assert result.exit_code == 1
    *comments, last = result.stdout.splitlines()
    assert last == "# no lines to add"
    assert [line.partition(":")[0] for line in comments] == [f"# {name}" for name in refused]
    assert files.json("check", *refused, "--suggest-allow", status=1)["allow"] == {}


def test_check_says_where_functions_sit(files: Home) -> None:
    """With -v: by key, by the name of a pipeline's step and by attribute. Without it, only that there are some."""
    import cloudpickle

    transformer = build.built(
        build.new("sklearn.preprocessing._function_transformer", "FunctionTransformer"),
        build.mapping(
            {
                "func": build.called(
                    build.named("cloudpickle.cloudpickle", "_make_function"), b"N", b"N", build.text("<lambda>")
                )
            }
        ),
    )
    steps = b"](" + build.text("log") + transformer + b"\x86" + b"e"
    pipeline = build.built(build.new("sklearn.pipeline", "Pipeline"), build.mapping({"steps": steps}))
    (files.folder / "m.pkl").write_bytes(build.pickled(build.mapping({"model": pipeline})))
    (files.folder / "f.pkl").write_bytes(cloudpickle.dumps([1, lambda: 2]))
    said = files.run("check", "m.pkl", "f.pkl", "-v").stdout
    assert "  key 'model', pipeline step 'log': FunctionTransformer.func is a lambda\n" in said
    assert "  item 1 is a lambda\n" in said
    assert "pipeline step" not in files.run("check", "m.pkl").stdout
    assert files.json("check", "f.pkl", status=1)["pickles"][0]["places"] == ["item 1 is a lambda"]


def drop_of(home: Home, rmse: float) -> str:
    """Write a drop for the slot of the registered models; return the path of its sidecar."""
    (home.folder / "m.pkl").write_bytes(pickle.dumps({"w": 1}))
    path = home.folder / "m.yaml"
    path.write_text(
        "model_type: lightgbm\ncurrency_pair: USD/EUR\ntrained_at: 2026-01-03\nversion: 1\nmin_samples: 100\n"
        f"validation_metrics: {{1d: {{rmse: {rmse}, r2: 0.5}}}}\n"
        "calibration_ok: true\nfeatures_used: [a]\nhorizons: [1]\n"
    )
    return str(path)


def test_a_model_is_compared_with_the_one_in_service(home: Home) -> None:
    """`--against` shows both values of each metric, and what the gates would say."""
    home.text("alias", "champion", "new")
    text = home.text("check", drop_of(home, 0.5), "--against", "champion")
    lines = [line.split() for line in text.splitlines()]
    assert ["1d.rmse", "0.5", "0.25", "+0.25", "(+100.0%)"] in lines
    assert ["1d.r2", "0.5", "-"] in lines
    shown = home.json("check", drop_of(home, 0.5), "--against", "newest")["beside"][0]
    assert (shown["against"]["model_id"], shown["metrics"]["1d.rmse"]) == ("new", [0.5, 0.25])


def test_gates_are_evaluated_beforehand(home: Home) -> None:
    """A model that a gate would reject is rejected, and says why; a better one is not."""
    gate = {"name": "g", "against": "newest", "max_regression": {"1d.rmse": "10%"}, "order": "min"}
    (home.folder / "config.yaml").write_text(yaml.safe_dump({"gates": [gate]}))
    result = home.run("check", drop_of(home, 0.5))
    assert result.exit_code == 1
    assert "gates.failed" in result.output and "0.275" in result.output
    assert home.json("check", drop_of(home, 0.26))["beside"][0]["gates"][0]["passed"] is True


def test_a_comparison_with_nobody_is_refused(home: Home) -> None:
    """With an alias that names no model of the slot, or for a pickle without metrics."""
    error = home.error("check", drop_of(home, 0.5), "--against", "champion", status=1)
    assert error["message"] == "cannot compare with 'champion': 'USD/EUR:lightgbm' has no such model in service"
    assert home.run("check", str(home.folder / "m.pkl"), "--against", "newest").exit_code == 2


def test_gates_without_a_registry_are_said_to_be_half_evaluated(empty: Home) -> None:
    """Bounds count; what could not be compared is said."""
    gate = {"name": "g", "against": "newest", "max_regression": {"1d.rmse": 0}, "order": "min"}
    (empty.folder / "config.yaml").write_text(yaml.safe_dump({"gates": [gate]}))
    text = empty.text("check", drop_of(empty, 0.5))
    assert "Not compared with the models in service" in text
