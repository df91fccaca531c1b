"""The result of a scan in words: make a `PickleReport` from a recording. Pure.

Owns the texts and codes of everything that a scan can find (`FINDINGS`), and the comparison of names and uses with an
allowlist. Never reads a file. Text of a producer enters a message only through `quoted`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..problems import Problem, escaped, quoted
from ..problems.artifact import (
    artifact_embedded_code,
    artifact_forbidden_arguments,
    artifact_forbidden_import,
    artifact_forbidden_use,
    artifact_load_cost,
    artifact_malformed,
    artifact_more_problems,
    artifact_never_allowed,
    artifact_not_a_pickle,
    artifact_not_a_tree,
    artifact_not_regular,
    artifact_scan_limits,
    artifact_several_pickles,
    artifact_trailing_data,
    artifact_truncated,
    artifact_unsupported,
)
from .allowlist import Allowlist
from .names import carries_code, describe_uses, framework_of, never_allowed, only_shipped
from .rules import HASHABLE, PLAIN_TYPES, WITH_KEYWORDS

__all__ = ["FINDINGS", "PROBLEMS_MAX", "PickleReport", "imports_of", "problem_of", "report_of"]

PROBLEMS_MAX = 50
"""A report has a problem for each of this many names. Further names are only counted."""


@dataclass(frozen=True, slots=True)
class PickleReport:
    """The result of a scan: what a file is and does, and its problems.

    `kind` is the format: "plain", "joblib", "torch-zip", "torch-legacy", after the compression if there is one
    ("gzip+joblib"), or "" if unknown. `imports` maps each name in the file, as the loader resolves it, to the letters
    of its uses (`names.USES`). `frameworks` are the frameworks of the names. `versions` are versions of some of them
    that the file claims; no decision depends on them. `embedded_code` is set if the file contains functions or classes
    by value. A file without `problems` is accepted.
    """

    kind: str = ""
    imports: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    frameworks: tuple[str, ...] = ()
    embedded_code: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)
    load_bytes: int = field(default=0, compare=False)
    """How much memory a load is estimated to need, besides what it imports. 0 if the scan did not come to its end. Two
    scans of one file measure nearly the same."""
    places: tuple[str, ...] = ()
    """Where functions that are carried by value sit, and partials: `pipeline step "log": FunctionTransformer.func is a
    lambda`."""

    @property
    def accepted(self) -> bool:
        """Whether the file has no problems."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return {
            "kind": self.kind,
            "imports": dict(self.imports),
            "problems": [problem.as_dict() for problem in self.problems],
            "frameworks": list(self.frameworks),
            "embedded_code": self.embedded_code,
            "versions": dict(self.versions),
            "load_bytes": self.load_bytes,
            "places": list(self.places),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PickleReport:
        """Return the report that `as_dict` has written."""
        return cls(
            kind=str(data.get("kind", "")),
            imports=dict(data.get("imports", {})),
            problems=tuple(Problem.from_dict(problem) for problem in data.get("problems", ())),
            frameworks=tuple(data.get("frameworks", ())),
            embedded_code=bool(data.get("embedded_code", False)),
            versions=dict(data.get("versions", {})),
            load_bytes=int(data.get("load_bytes", 0)),
            places=tuple(data.get("places", ())),
        )


# --- what a scan can find ------------------------------------------------------------------------------------

_SUSPECT = "No pickler writes this. Treat the file as hostile, and find out where it comes from"
_OTHERWISE = (
    "Save the model in another way: as plain values, as a state dict, or with a version of its library that "
    "docs/security.md names. A process that you trust may register it with ModelRegistry.register_model. "
    "If nobody you know wrote the file, treat it as hostile"
)
_HONEST = "If you trust the model, raise"
_TORCH = "Write it again with torch.save"

OTHER_FORMATS: Mapping[str, tuple[str, str]] = {
    "catboost": ("CatBoost's own format", "Load it with CatBoost().load_model, and pickle the object"),
    "elf": ("a program or library for Linux", "Write the model with pickle.dump, joblib.dump or torch.save"),
    "git-lfs": ("a pointer of Git LFS, not the file itself", "Run `git lfs pull`, and send the file"),
    "hdf5": (
        "HDF5, as Keras writes it",
        "Load it with its library, and pickle the weights (get_weights) as plain arrays",
    ),
    "html": ("a page of HTML: perhaps the error page of a download", "Download the file again, and look at it"),
    "json": ("JSON", "Load it with its library (XGBoost: Booster(model_file=...)), and pickle the object"),
    "keras": ("a Keras archive", "Load it with Keras, and pickle the weights (get_weights) as plain arrays"),
    "lightgbm": ("LightGBM's text", "Load it with lightgbm.Booster(model_file=...), and pickle the Booster"),
    "npy": ("an array that numpy.save wrote", "Load it with numpy.load, and pickle the array"),
    "npz": ("an archive that numpy.savez wrote", "Load it with numpy.load, and pickle a dictionary of the arrays"),
    "onnx": ("ONNX", "Send the model that it was converted from; ONNX is not accepted"),
    "parquet": ("Parquet", "Load it with pandas.read_parquet, and pickle the frame"),
    "pdf": ("PDF", "Send the model file"),
    "safetensors": (
        "safetensors",
        "Load it with safetensors.torch.load_file, and write the state dict with torch.save",
    ),
    "sqlite": ("an SQLite database", "Send the model file"),
    "torchscript": ("TorchScript", "Write module.state_dict() with torch.save instead; TorchScript is code"),
    "ubj": ("XGBoost's UBJSON", "Load it with xgboost.Booster(model_file=...), and pickle the Booster"),
    "xml": ("XML, as PMML is", "Send the model that it was converted from"),
    "zip": ("a zip archive that torch.save did not write", "Send the pickle in it as a file of its own"),
}
"""Formats that stand in files for pickles (`kinds.other_format`): what each is, and what to do."""

FINDINGS: Mapping[str, Callable[[str, str], Problem]] = {
    # what: makes the problem from the name that it is about, and a detail
    "empty": lambda _, __: artifact_truncated("the file is empty"),
    "truncated": lambda _, __: artifact_truncated("the file is cut off before its end"),
    "truncated-compressed": lambda _, detail: artifact_truncated(f"the {detail} data is cut off before its end"),
    "size-differs": lambda _, detail: artifact_truncated(
        f"the file does not have the size that it had when it was staged: {detail}"
    ),
    "not-a-pickle": lambda _, __: artifact_not_a_pickle(),
    "other-format": lambda _, detail: artifact_not_a_pickle(*OTHER_FORMATS[detail]),
    "not-regular": lambda _, __: artifact_not_regular("this is not a regular file"),
    "malformed": lambda _, detail: artifact_malformed(f"the pickle cannot be parsed: {detail}"),
    "bad-compressed": lambda _, detail: artifact_malformed(
        f"the {detail} data cannot be decompressed", "Write the file again"
    ),
    "trailing-compressed": lambda _, detail: artifact_trailing_data(f"bytes follow the end of the {detail} data"),
    "trailing-data": lambda _, __: artifact_trailing_data("bytes follow the end of the pickle"),
    "several-pickles": lambda _, __: artifact_several_pickles(),
    "new-protocol": lambda _, detail: artifact_unsupported(
        f"the pickle cannot be parsed: {detail}", "Use a protocol that this Python knows"
    ),
    "extension-codes": lambda _, __: artifact_unsupported(
        "the pickle uses extension codes", "Pickle without copyreg.add_extension"
    ),
    "persistent-id": lambda _, __: artifact_unsupported(
        "the pickle uses persistent ids outside a torch file", "Write it with pickle.dump, or with torch.save"
    ),
    "old-joblib": lambda _, __: artifact_unsupported(
        "the file has the format of joblib before 0.10", "Write it again with a newer joblib"
    ),
    "old-torch-format": lambda _, __: artifact_unsupported(
        "there is a tensor in torch's old format, or in a plain pickle, of a type that torch cannot read from there "
        "(float8, uint16 and others)",
        "Write it with torch.save(model, file), without _use_new_zipfile_serialization=False and not with pickle.dump",
    ),
    "no-lz4": lambda _, __: artifact_unsupported(
        "the file is compressed with lz4, which is not installed here",
        "Install lz4 where the daemon runs (`pip install 'model-inbox[lz4]'`), or use another compression",
    ),
    "decompression-bomb": lambda _, detail: artifact_scan_limits(
        f"the {detail} data is more than 200 times as large as its file, and larger than 256 MiB",
        "Write the file without compression. If it comes from nobody you know, treat it as hostile",
    ),
    "needs-memory": lambda _, __: artifact_scan_limits(
        "the scan needs more memory than its limit", f"{_HONEST} pickle.memory_limit"
    ),
    "too-deep": lambda _, __: artifact_scan_limits("the pickle is nested too deeply", _OTHERWISE),
    "nested-objects": lambda name, detail: artifact_scan_limits(
        f"objects of {quoted(name)} are nested in each other more than {detail} deep: to free them would overflow the "
        "stack of the process that loads them",
        _OTHERWISE,
    ),
    "too-many-names": lambda _, detail: artifact_scan_limits(
        f"the pickle contains more than {detail} names", _OTHERWISE
    ),
    "nested-too-deep": lambda _, __: artifact_scan_limits("too many pickles are nested in each other", _OTHERWISE),
    "worker-limit": lambda _, detail: artifact_scan_limits(
        f"the scan was ended: {detail}", f"{_HONEST} pickle.time_limit"
    ),
    "worker-crashed": lambda _, detail: artifact_scan_limits(f"the scan was ended: {detail}", _SUSPECT),
    "worker-audit": lambda _, detail: artifact_scan_limits(
        f"the scan was ended at the event {detail}, which no scan needs", _SUSPECT
    ),
    "bad-name": lambda name, _: artifact_never_allowed(name, "it is not a full name (module.Class)", _SUSPECT),
    "nested-name": lambda name, _: artifact_never_allowed(
        name,
        "not supported: it is inside of a class or function",
        "Move the class to the top of its module, or set the method to None before the model is saved",
    ),
    "changes-global": lambda name, detail: artifact_forbidden_use(
        f"the pickle changes {quoted(name)} itself ({detail})", _SUSPECT
    ),
    "calls-computed": lambda name, _: artifact_forbidden_use(
        f"not supported: the pickle calls an object that it made with {quoted(name)}", _OTHERWISE
    ),
    "old-instance": lambda name, _: artifact_forbidden_use(
        f"not supported: the pickle makes an instance of {quoted(name)} with an opcode of Python 2", _OTHERWISE
    ),
    "hashed": lambda name, _: artifact_forbidden_use(
        f"an object of {quoted(name)} is a key or in a set, which runs its code", "Use plain values as keys"
    ),
    "bad-arguments": lambda name, detail: artifact_forbidden_arguments(
        f"not supported: {quoted(name)} is called in another way than its library is known to do: {detail}", _OTHERWISE
    ),
    "keyword-arguments": lambda name, _: artifact_forbidden_arguments(
        f"not supported: {quoted(name)} is called with keyword arguments", _OTHERWISE
    ),
    "global-argument": lambda name, _: artifact_forbidden_arguments(
        f"not supported: {quoted(name)} gets a class or function that it could call", _OTHERWISE
    ),
    "partial-of": lambda name, _: artifact_forbidden_arguments(
        f"not supported: functools.partial gets {quoted(name)}, whose arguments no rule would check", _OTHERWISE
    ),
    "bad-state": lambda name, detail: artifact_forbidden_arguments(
        f"not supported: {quoted(name)} gets another state than its library is known to write: {detail}", _OTHERWISE
    ),
    "not-a-tree": lambda name, detail: artifact_not_a_tree(
        f"the model in {quoted(name)} is not one that its library could use: {detail}"
    ),
    "unchecked-part": lambda name, detail: artifact_unsupported(
        f"the model in {quoted(name)} cannot be checked: {detail}",
        "Train it without likelihoods (LDA:likelihood=true), or turn embeddings into numbers before the model",
    ),
    "bad-zip": lambda _, detail: artifact_malformed(
        f"the archive does not have the layout that torch writes: {detail}", _TORCH
    ),
    "bad-zip-member": lambda name, _: artifact_malformed(
        f"the archive has an unexpected member {quoted(name)}", f"{_TORCH}; TorchScript archives are not accepted"
    ),
    "bad-storage": lambda name, _: artifact_malformed(
        f"the file does not contain the storage {quoted(name)} that its pickle describes", _OTHERWISE
    ),
    "bad-persistent-id": lambda _, __: artifact_malformed("the torch file has an invalid persistent id", _OTHERWISE),
    "bad-torch-legacy": lambda _, __: artifact_malformed(
        "the file starts like torch's old format, but is not in it", _OTHERWISE
    ),
    "bad-joblib-array": lambda _, detail: artifact_malformed(
        f"an array in the joblib file is invalid: {detail}", _SUSPECT
    ),
    "joblib-in-torch": lambda _, __: artifact_malformed("the torch file contains an array of joblib", _SUSPECT),
    "nested-not-torch": lambda _, __: artifact_malformed("some bytes should be a torch file, but are not", _SUSPECT),
    "straddling-payload": lambda _, __: artifact_malformed(
        "a payload begins inside a frame and ends outside of it", _SUSPECT
    ),
}
"""Every finding as a problem. Many findings share a code, but each has its own message."""

_ABOUT_A_CALL = frozenset({"global-argument", "keyword-arguments", "hashed"})
"""Findings about what the code of a name could do with its arguments. They are dropped for names in the user's own
lines: the user trusts that code."""


def report_of(recording: Mapping[str, Any], allowlist: Allowlist, load_budget: int | None = None) -> PickleReport:
    """Return the report on the recording of `scan.record`, with the problems that `allowlist` gives.

    `load_budget` is how many bytes of memory a load may need; None: the default for the size of the file.
    """
    uses: dict[str, str] = recording["uses"]
    code = bool(recording["carries_code"])
    problems = [_embedded_code(uses)] if code else []
    problems += _problems_of_names(uses, allowlist, code=code)
    refused = {name for name in uses if allowlist.uses(name) is None}
    for what, subject, detail in recording["findings"]:
        if _is_covered(what, subject, refused, allowlist):
            continue
        problems.append(problem_of(what, subject, detail))
    cost: Mapping[str, Any] = recording.get("cost") or {}
    problems += _problems_of_cost(cost, load_budget)
    return PickleReport(
        kind=recording["kind"],
        imports=uses,
        problems=tuple(problems),
        frameworks=tuple(sorted({framework for name in uses if (framework := framework_of(name))})),
        embedded_code=code,
        versions={**_numpy_version(uses), **recording["versions"]},
        load_bytes=cost.get("bytes", 0),
        places=tuple(_place_in_words(steps, what) for steps, what in recording.get("places", ())),
    )


LOAD_BYTES_MIN = 256 << 20
LOAD_FACTOR = 8
LOAD_SECONDS_MIN = 5
LOAD_CONTENT_PER_SECOND = 1 << 20
"""What a load may need: this much memory for any file, and more by the size of its contents, unless the operator sets
`pickle.load_budget`; this much time, and a second more for each MiB."""


def _problems_of_cost(cost: Mapping[str, Any], load_budget: int | None) -> list[Problem]:
    """Return the problems of what a load of the file would need."""
    contents = cost.get("content_bytes", 0)
    budget = load_budget if load_budget is not None else max(LOAD_BYTES_MIN, LOAD_FACTOR * contents)
    problems = []
    if cost.get("bytes", 0) > budget:
        most = f", most of it for {quoted(cost['most_bytes'])}" if cost["most_bytes"] else ""
        problems.append(
            artifact_load_cost(
                f"a load would need about {_mebibytes(cost['bytes'])} of memory{most}, and {_mebibytes(budget)} are "
                f"allowed for its {_mebibytes(contents)} of contents",
                f"{_HONEST} pickle.load_budget above that. Else treat the file as hostile",
            )
        )
    seconds = cost.get("microseconds", 0) / 1e6
    allowed = LOAD_SECONDS_MIN + contents / LOAD_CONTENT_PER_SECOND
    if seconds > allowed:
        problems.append(
            artifact_load_cost(
                f"a load would need about {seconds:.0f} s, most of it for {quoted(cost['most_microseconds'])}, and "
                f"{allowed:.0f} s are allowed for its {_mebibytes(contents)} of contents",
                "Save the model in fewer or simpler objects, or in several files. If nobody you know wrote the file, "
                "treat it as hostile",
            )
        )
    return problems


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):,.1f} MiB" if size < 100 << 20 else f"{size >> 20:,} MiB"


def _place_in_words(steps: Sequence[tuple[str, str]], what: str) -> str:
    """Return a place as `key "model", pipeline step "log": FunctionTransformer.func is a lambda`."""
    way = [_step_in_words(kind, name) for kind, name in steps]
    last = way.pop() if way else "the object itself"
    before = ", ".join(way)
    return f"{before}{': ' if before else ''}{last} is {escaped(what, 200)}"


def _step_in_words(kind: str, name: str) -> str:
    if kind == "attribute":
        return escaped(name, 200)
    return f"item {escaped(name, 20)}" if kind == "item" else f"{kind} {quoted(name)}"


def problem_of(what: str, subject: str, detail: str) -> Problem:
    """Return a finding as a problem."""
    # A detail is our own text, but can contain a parser's, which quotes the file.
    return FINDINGS[what](subject, escaped(detail, 200))


def _numpy_version(uses: Mapping[str, str]) -> dict[str, str]:
    """Return the major version of numpy: numpy 2 has renamed the module that makes arrays."""
    for module, version in (("numpy._core.", "2"), ("numpy.core.", "1")):
        if any(name.startswith(module) for name in uses):
            return {"numpy": version}
    return {}


def _is_covered(what: str, subject: str, refused: set[str], allowlist: Allowlist) -> bool:
    """Return whether a finding needs no problem of its own."""
    if what == "hashed" and subject in HASHABLE:
        return True
    if what == "keyword-arguments" and subject in WITH_KEYWORDS:
        return True
    if what == "partial-of":
        return subject in refused or subject in PLAIN_TYPES or "c" not in (allowlist.uses(subject) or "")
    if what in _ABOUT_A_CALL and allowlist.is_extra(subject):
        return True
    # The name itself is refused, which is problem enough.
    return subject in refused and what in (*_ABOUT_A_CALL, "bad-state", "calls-computed")


def _embedded_code(uses: Mapping[str, str]) -> Problem:
    named = sorted(name for name in uses if carries_code(name))
    return artifact_embedded_code(named[0])


def _problems_of_names(uses: Mapping[str, str], allowlist: Allowlist, *, code: bool) -> list[Problem]:
    problems = []
    # A line would not help while another name refuses the file for good.
    hopeless = next(
        (
            name
            for name, letters in uses.items()
            if allowlist.uses(name) is None and (never_allowed(name, letters) or only_shipped(name))
        ),
        "",
    )
    for name, letters in uses.items():
        if code and carries_code(name):
            continue
        problem = _problem_of_name(name, letters, allowlist, hopeless)
        if problem is not None:
            problems.append(problem)
    if len(problems) > PROBLEMS_MAX:
        problems[PROBLEMS_MAX:] = [artifact_more_problems(len(problems) - PROBLEMS_MAX)]
    return problems


def _problem_of_name(name: str, letters: str, allowlist: Allowlist, hopeless: str) -> Problem | None:
    allowed = allowlist.uses(name)
    if allowed is not None:
        missing = "".join(letter for letter in letters if letter not in allowed)
        if not missing:
            return None
        return artifact_forbidden_use(
            f"the pickle needs {quoted(name)} to {describe_uses(missing)}, "
            f"which is not allowed (it may {describe_uses(allowed)})",
            _hint_for_uses(name, letters, allowlist),
        )
    if reason := never_allowed(name) or only_shipped(name):
        hint = f"It cannot be allowed. {_OTHERWISE}"
        if name.startswith("__main__."):
            hint = "Move the class into a module, import it from there, pickle again, and allow that name"
        return artifact_never_allowed(name, reason, hint)
    if hopeless and not never_allowed(name, letters):
        hint = f"A line in pickle.allow would not help: the file also names {quoted(hopeless)}, which cannot be allowed"
        return artifact_forbidden_import(name, hint)
    return artifact_forbidden_import(name, _hint(name, letters))


def _hint_for_uses(name: str, letters: str, allowlist: Allowlist) -> str:
    if allowlist.is_extra(name):
        return _hint(name, letters)
    return _OTHERWISE


def _hint(name: str, letters: str) -> str:
    """Return the line that would allow the name, and what it would permit, or why no list may have the name."""
    if reason := never_allowed(name, letters):
        return f"It cannot be allowed: {reason}"
    return (
        f'If you trust its code, add under pickle.allow in config.yaml: "{name}": "{letters}". '
        f"It would permit {name} to {describe_uses(letters)} while a model is loaded"
    )


def imports_of(reports: Mapping[str, PickleReport]) -> dict[str, str]:
    """Return the imports of all files of a drop together: sorted names with the letters of their uses."""
    merged: dict[str, set[str]] = {}
    for report in reports.values():
        for name, uses in report.imports.items():
            merged.setdefault(name, set()).update(uses)
    return {name: "".join(sorted(uses)) for name, uses in sorted(merged.items())}
