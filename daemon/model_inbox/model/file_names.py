"""Names in the inbox: what is a sidecar, what may be a model or a scaler, which stem a file has, what is ignored.

Owns the suffixes, and which of several files of one stem a sidecar means. Whoever asks what a name is asks here, so the
daemon and `model-inbox check` agree. Suffixes count in any case of letters; stems are case-sensitive. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

__all__ = [
    "COMPRESSED_SUFFIXES",
    "IGNORED",
    "LEFTOVER",
    "MODEL",
    "MODEL_SUFFIXES",
    "NOTHING",
    "RESERVED",
    "SIDECAR",
    "SIDECAR_SUFFIX",
    "STATUS_IN_INBOX",
    "SUFFIXES_IN_WORDS",
    "Declared",
    "Files",
    "Role",
    "choose",
    "is_ignored",
    "is_other_format",
    "match_files",
    "scaler_stem",
    "stem_of",
    "stems_of",
]

SIDECAR_SUFFIX = ".yaml"
"""The suffix of sidecars that this package writes. `SIDECAR` matches all that it reads."""
MODEL_SUFFIXES = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".sav")
"""The suffixes of models and scalers. The format of a file is detected from its content."""
COMPRESSED_SUFFIXES = (".gz", ".bz2", ".xz", ".lzma", ".lz4", ".z")
"""What may follow one of MODEL_SUFFIXES: the compressions that are read."""
SUFFIXES_IN_WORDS = f"{', '.join(MODEL_SUFFIXES)}, and with .gz, .bz2, .xz, .lzma, .lz4 or .z after that"


def _one_of(suffixes: Sequence[str]) -> str:
    return "|".join(re.escape(suffix) for suffix in suffixes)


_ANY_CASE = re.IGNORECASE | re.ASCII | re.DOTALL
SIDECAR = re.compile(r"(?P<stem>.+)\.ya?ml", _ANY_CASE)
"""The name of a sidecar, and its stem."""
MODEL = re.compile(
    rf"(?P<stem>.+?)(?P<suffix>(?:{_one_of(MODEL_SUFFIXES)})(?:{_one_of(COMPRESSED_SUFFIXES)})?)", _ANY_CASE
)
"""The name of a model or a scaler, and its stem."""
_SCALER = re.compile(r"(?P<stem>.*)_scaler", _ANY_CASE)
_OTHER_FORMAT = re.compile(
    r"(?P<stem>.+)\.(?:h5|hdf5|keras|onnx|pb|tflite|pmml|safetensors|ubj|bst|xgb|lgb|cbm|model|dill|bin|npz|npy|ckpt|mar|rds"
    r"|zip|tar|tgz|7z)",
    _ANY_CASE,
)

STATUS_IN_INBOX = "receipts/.status.json"
"""Where the status file for producers is in an inbox."""
RESERVED = frozenset({"receipts", "rejected"})
"""Folders of ours in the inbox beside those whose name begins with a dot."""
# Names of ours, and those that programs use while they write (rsync and lftp begin theirs with a dot).
_WHILE_WRITING = (
    rf"{'|'.join(sorted(RESERVED))}|\..*|.*~|~\$.*|\#.*\#|(?i:sed[a-z0-9]{{6}})|(?i:~syncthing~.*)|.*\.(?i:part|partial"
    r"|crdownload|tmp|temp|swp|swo|swn|swx|filepart|download|opdownload|upload|aria2|lftp-pget-status|!sync|!ut|!qb|!bt|bts)"
)
# What systems, editors and programs that synchronise folders leave beside files. None is ever the name of a model.
_LEFT_BESIDE = (
    r".*\.(?i:bak|lock|lck|md5|sha1|sha256|sha512|md5sum|sha256sum|asc|sig|url|lnk)"
    r"|(?i:(?:eh)?thumbs\.db|desktop\.ini|icon\r|\$recycle\.bin|system\ volume\ information|lost\+found)"
    r"|(?i:__pycache__|__macosx)"
    r"|(?i:readme|license|licence)(?i:\.(?:md|txt|rst|html))?"
    r"|(?i:.*\.sync-conflict-[0-9]{8}-[0-9]{6}(?:-[a-z0-9]+)?(?:\..*)?|.*\(.*conflicted\ copy.*\).*)"
)
LEFTOVER = re.compile(_LEFT_BESIDE, re.DOTALL)
"""Those of IGNORED that stay where they are, and that a person may take for a part of a drop."""
IGNORED = re.compile(f"{_WHILE_WRITING}|{_LEFT_BESIDE}", re.DOTALL)
"""The names that are never judged and never moved."""


Role = Literal["model", "scaler"]


class Files(NamedTuple):
    """The files that a sidecar means: by role, whether they are there or not.

    `unclear` has the files of each role of which no rule says which one is meant. `others` are files of its stem that
    it does not mean.
    """

    roles: dict[Role, str]
    unclear: dict[Role, tuple[str, ...]]
    others: tuple[str, ...]


class Declared(NamedTuple):
    """What a sidecar says about its files: the names, and whether there is a scaler. None: it does not say."""

    model_file: str | None = None
    scaler_file: str | None = None
    has_scaler: bool | None = None


NOTHING = Declared()
"""A sidecar that says nothing about its files, or that cannot be read."""


def is_ignored(name: str) -> bool:
    """Return whether a name is ours, hidden, one that programs use while they write, or one of their leftovers."""
    return IGNORED.fullmatch(name) is not None


def is_other_format(name: str) -> bool:
    """Return whether a name is that of a model in a format that is not taken, such as `m.onnx`."""
    return MODEL.fullmatch(name) is None and _OTHER_FORMAT.fullmatch(name) is not None


def stem_of(name: str) -> str:
    """Return the name without the suffix of a sidecar or a model; any other name is its own stem."""
    match = SIDECAR.fullmatch(name) or MODEL.fullmatch(name)
    return match["stem"] if match is not None else name


def stems_of(name: str) -> tuple[str, ...]:
    """Return the stems of all sidecars that a file may belong to by its own name; a sidecar's has only its own."""
    model = MODEL.fullmatch(name)
    if model is not None:
        scaler = _SCALER.fullmatch(model["stem"])
        return (model["stem"], name) if scaler is None else (model["stem"], name, scaler["stem"])
    match = SIDECAR.fullmatch(name) or _OTHER_FORMAT.fullmatch(name)
    return (match["stem"],) if match is not None else ()


def scaler_stem(name: str) -> str | None:
    """Return the stem of the drop that a file would be the scaler of by its name, or None."""
    model = MODEL.fullmatch(name)
    scaler = _SCALER.fullmatch(model["stem"]) if model is not None else None
    return scaler["stem"] if scaler is not None else None


def match_files(
    groups: Mapping[tuple[str, int], Iterable[str]],
    declared: Mapping[str, Declared],
    names: Iterable[tuple[str, int]],
) -> tuple[dict[tuple[str, int], list[str]], dict[str, Files]]:
    """Return the files that may belong to each stem of each owner, and which of them each sidecar means.

    `groups` has the sidecars of each stem and owner, `declared` what they say, `names` are all names with their owners.
    """
    there: dict[tuple[str, int], list[str]] = {}
    for name, owner in names:
        if SIDECAR.fullmatch(name) is None:
            for stem in stems_of(name):
                there.setdefault((stem, owner), []).append(name)
    files = {
        name: choose(group[0], there.get(group, ()), declared.get(name, NOTHING))
        for group, sidecars in groups.items()
        for name in sidecars
    }
    return there, files


def choose(stem: str, names: Collection[str], declared: Declared = NOTHING, taken: Collection[str] = ()) -> Files:
    """Return which files a sidecar means: those that it names, and of those that it does not name, those of its stem.

    `names` are the files that are there and may belong to the stem. A `.pkl` comes first, then, for a scaler, the
    model's suffix, then the only one. Without any, `<stem>.pkl` is meant; but beside `m.pkl.yaml` the file `m.pkl` is.
    A sidecar that says nothing about a scaler has that of its stem, if there is one that is not `taken` by another.
    """
    model_file, scaler_file, has_scaler = declared
    roles: dict[Role, str] = {}
    unclear: dict[Role, tuple[str, ...]] = {}
    model = model_file or _model_for(stem, [name for name in names if name != scaler_file])
    if isinstance(model, str):
        roles["model"] = model
    else:
        unclear["model"] = model
    scaler: str | tuple[str, ...] | None = scaler_file
    if scaler is None and has_scaler is not False:
        scalers = [name for name in names if name not in taken and name != model and scaler_stem(name) == stem]
        scaler = _first(scalers, _suffix_of(roles.get("model", ""))) if scalers else None
    if scaler is None and has_scaler:
        scaler = f"{stem}_scaler.pkl"
    if isinstance(scaler, str):
        roles["scaler"] = scaler
    elif scaler is not None:
        unclear["scaler"] = scaler
    meant = roles.values()
    return Files(roles, unclear, tuple(name for name in names if name not in meant))


def _model_for(stem: str, names: Collection[str]) -> str | tuple[str, ...]:
    """Return the model of a sidecar that names none, or those of which it could be any."""
    models = [name for name in names if (match := MODEL.fullmatch(name)) is not None and match["stem"] == stem]
    if models:
        return _first(models)
    if stem in names and MODEL.fullmatch(stem):
        return stem
    # A model that was saved in another format is what the sidecar means: what is wrong is its name.
    return min(filter(is_other_format, names), default=f"{stem}.pkl")


def _first(names: Sequence[str], preferred: str = "") -> str | tuple[str, ...]:
    """Return the one that is written `.pkl`, else the only one of the first of these kinds of which there is any."""
    kinds = (
        [name for name in names if name.endswith(".pkl")],
        [name for name in names if _suffix_of(name) == ".pkl"],
        [name for name in names if _suffix_of(name) == preferred],
        names,
    )
    kind = next(kind for kind in kinds if kind)
    return kind[0] if len(kind) == 1 else tuple(sorted(names))


def _suffix_of(name: str) -> str:
    match = MODEL.fullmatch(name)
    return match["suffix"].lower() if match is not None else ""
