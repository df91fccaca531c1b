"""The codes of models and scalers, and of the operator's checks and gates."""

from __future__ import annotations

from collections.abc import Mapping

from ..codes import About, Code

__all__ = ["ROWS"]

ROWS: Mapping[Code, About] = {
    # --- artifact
    "artifact.missing": About(
        "A file that the sidecar names is not in the inbox.",
        "It is still on its way, has another name, or was not sent.",
        "Send it, or correct the name in the sidecar.",
        "`model_file` or `scaler_file`",
    ),
    "artifact.truncated": About(
        "A file has no end: it is empty, or ends in the middle of its pickle or its compressed data.",
        "It is still being written, its writer died, or the disk of the writer was full.",
        "Wait for the writer; if it has finished, write the file again.",
    ),
    "artifact.open_for_writing": About(
        "A process has the file open for writing.",
        "The file is being written, or the producer never closed it.",
        "Close the file. It is taken as soon as nobody can write to it.",
    ),
    "artifact.not_regular": About(
        "The file is a symbolic link, a folder, a pipe or something else that is no regular file.",
        "The producer linked the file instead of copying it.",
        "Copy the file, or make a hard link.",
    ),
    "artifact.ambiguous": About(
        "The sidecar names no model (or scaler), and several files of its stem could be it. None of them is a `.pkl`.",
        "The model was saved in several formats.",
        "Name one in the sidecar, or send one only.",
        "`model_file` or `scaler_file`",
    ),
    "artifact.others": About(
        "The sidecar names no model (or scaler), and one of several files of its stem was taken: a `.pkl` comes first. "
        "A note: it rejects nothing.",
        "The model was saved in several formats, or an older file was left in the inbox.",
        "Look whether the right file was taken, and name it in the sidecar next time.",
    ),
    "artifact.unknown_suffix": About(
        "The name of the file has none of the suffixes of models, so nothing can take it.",
        "The model is of another format, or the file is no model at all.",
        "Rename it if it is a pickle; load a model of another format with its library and pickle the object.",
    ),
    "artifact.too_large": About(
        "The file is larger than `inbox.max_artifact_size`.",
        "The model is larger than the operator expects.",
        "Drop a smaller model, or raise the setting.",
    ),
    "artifact.digest_mismatch": About(
        "The file has another SHA-256 than the sidecar says.",
        "Model and sidecar are not of the same run, the file was changed after the sidecar was written, or it was "
        "damaged on its way.",
        "Send the file that the sidecar describes, or correct `sha256` in it.",
        "`sha256.model` or `sha256.scaler`",
    ),
    "artifact.not_a_pickle": About(
        "The file is not a pickle of any kind that is known.",
        "Another format has the suffix of a model (ONNX, JSON, a text).",
        "Write the model with pickle, cloudpickle, joblib or torch.save.",
    ),
    "artifact.malformed": About(
        "The pickle, or the container around it (zip, joblib, compression), is damaged or was made by hand.",
        "Damage on the way, or a file that is made to confuse a scanner.",
        "Write the file again. If it comes from nobody you know, treat it as hostile.",
    ),
    "artifact.trailing_data": About(
        "Bytes follow the end of the pickle, or of the compressed data.",
        "Two files were joined, or something was hidden behind the pickle.",
        "Write one object in one file.",
    ),
    "artifact.several_pickles": About(
        "The file holds several pickles, one after the other.",
        "`pickle.dump` was called several times on one file.",
        "Write one object in one file: a dict or a tuple can hold several.",
    ),
    "artifact.unsupported": About(
        "The pickle is in a format, or uses a feature, that is not read here.",
        "A newer protocol, extension codes, persistent ids outside of torch, an old joblib, or lz4 where it is not "
        "installed.",
        "Do what `hint` says; most often: write it again with current versions.",
    ),
    "artifact.scan_limits": About(
        "The scan came to a limit of memory, time, depth or number of names that we set, or the file crashed it, and "
        "there is no result.",
        "A very large model, or a file that is made to exhaust its reader.",
        "For an honest model raise `pickle.memory_limit` or `pickle.time_limit`; else treat the file as hostile.",
    ),
    "artifact.load_cost": About(
        "A load of the file would need more memory than `pickle.load_budget`, or more time than such a file may need.",
        "A very large model, or a small file that makes large objects: shared bytes that each array copies, ranges, "
        "100,000 generators of random numbers.",
        "For an honest model raise `pickle.load_budget`; else treat the file as hostile. See "
        "[security.md](../security.md#what-a-load-costs).",
    ),
    "artifact.embedded_code": About(
        "The pickle carries functions or classes by value.",
        "A class of a notebook or a script was packed by cloudpickle or dill; to load it is to run its code.",
        "Put the class into a module that serving code imports, and allow it in `pickle.allow`; or pickle plain "
        "values. See [security.md](../security.md#code-by-value).",
    ),
    "artifact.forbidden_import": About(
        "The pickle names a class or function that no list allows.",
        "A class of your own, a framework that is not in `pickle.frameworks`, or a hostile file.",
        "If you trust its code, add the line that `hint` gives under `pickle.allow`.",
    ),
    "artifact.never_allowed": About(
        "The pickle names something that no list may have: what runs commands, opens files, or is not a plain full "
        "name.",
        "A hostile file, a class in `__main__` or inside of another class, or an object that holds more than a model.",
        "Move a class to the top of a module; save the model in another way, as `hint` says. If nobody you know wrote "
        "the file, treat it as hostile.",
    ),
    "artifact.forbidden_use": About(
        "The pickle does more with an allowed name than its list permits: calls it, sets its attributes, uses it as a "
        "key.",
        "A version of a framework that was not reviewed, a line in `pickle.allow` with too few letters, or a hostile "
        "file.",
        "For a class of your own add the letters that `hint` gives; else save the model in another way, as `hint` "
        "says.",
    ),
    "artifact.forbidden_arguments": About(
        "The pickle calls an allowed function in another way than its library is known to do.",
        "A version or an option of a framework that is not supported, or a hostile file.",
        "Save the model in another way, as `hint` says. If nobody you know wrote the file, treat it as hostile.",
    ),
    "artifact.not_a_tree": About(
        "The pickle is as its library writes it, but the trees in it are none: a child, a feature, a category or a "
        "count is outside of its table, or nodes go in a circle. The library would crash or never end.",
        "The file was changed or damaged after it was written, or it is hostile.",
        "Save the model again from the program that trained it.",
    ),
    "artifact.more_problems": About(
        "The pickle carries more than 50 names that are not allowed; the rest is counted.",
        "A framework is not in `pickle.frameworks`, or the file is hostile.",
        "Solve the problems that are listed first; one line often solves many.",
    ),
    # --- clock
    "clock.behind": About(
        "A time in the sidecar is in the future, but this machine's clock was put back and may be wrong. The drop "
        "waits in the inbox: at most a day after the jump, or until the clock is corrected or confirmed.",
        "The machine started without the right time, or somebody set the clock back.",
        "Correct the clock; then the drop is registered. If it is right, `model-inbox retention confirm-clock`.",
        "the field with the time",
    ),
    "clock.held": About(
        "The command would remove by age, and the clock has jumped. Nothing was done.",
        "The clock was set within the last hour, by a person or by time synchronization.",
        "Check the clock. If it is right, `model-inbox retention confirm-clock`; else correct it, and wait an hour.",
    ),
    # --- checks
    "checks.model_type": About(
        "The operator does not accept this model_type.",
        "`checks.model_types` in config.yaml lists patterns, and none matches.",
        "Correct the sidecar, or have the operator add a pattern.",
        "`model_type`",
    ),
    "checks.currency_pair": About(
        "The operator does not accept this currency_pair.",
        "`checks.currency_pairs` in config.yaml lists patterns, and none matches.",
        "Correct the sidecar, or have the operator add a pattern.",
        "`currency_pair`",
    ),
    "checks.near_pair": About(
        "Models are registered under a currency_pair that is spelled in nearly the same way.",
        "The two differ only in case of letters or in what separates the currencies. They are two pairs: readers of "
        "one do not find the models of the other. It is a note; the drop is registered.",
        "If it is a mistake, drop the model again with the other spelling and another model_id, and delete this one.",
        "`currency_pair`",
    ),
    "checks.pair_pattern": About(
        "The currency_pair has a form that is not accepted.",
        "`checks.pair_pattern` in config.yaml is a pattern for all pairs. By default a pair has letters and "
        "digits of every script and `._/-`, no `..`, no `/` at its begin or end, and no two in a row.",
        "Write the pair like `USD/EUR`, or have the operator change the pattern.",
        "`currency_pair`",
    ),
    # --- gates
    "gates.failed": About(
        "The model does not pass a gate.",
        "A value that the gate asks for is missing or beyond its bound, or worse than that of the model in service.",
        "Drop a better model. The operator sets the gates (`gates` in config.yaml).",
        "the value, such as `validation_metrics.1d.rmse`",
    ),
    "gates.held": About(
        "The model is registered, but it is held, so it is not served: it does not pass a gate that holds.",
        "A value that the gate asks for is missing or beyond its bound, or worse than that of the model in service.",
        "Drop a better model, or have this one served with `model-inbox unhold ID`.",
        "the value, such as `validation_metrics.1d.rmse`",
    ),
}
