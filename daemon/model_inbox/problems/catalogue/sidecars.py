"""The codes of sidecars."""

from __future__ import annotations

from collections.abc import Mapping

from ..codes import About, Code

__all__ = ["ROWS"]

ROWS: Mapping[Code, About] = {
    # --- sidecar
    "sidecar.missing_field": About(
        "A required field is not in the sidecar.",
        "The producer does not write it, or the sidecar is still on its way: an unsealed sidecar that lacks only "
        "fields at its end is waited for.",
        "Add the field that `field` names.",
        "the field that is missing",
    ),
    "sidecar.unknown_key": About(
        "A name stands in the sidecar that is no field.",
        "A typing error, or a field of another system.",
        "Rename or remove it; `hint` names the field that may be meant. Free text belongs under `tags` or "
        "`description`.",
        "the unknown name",
    ),
    "sidecar.wrong_type": About(
        "A value is of another kind than its field takes: text instead of a number, a list instead of a mapping.",
        "The producer writes the field in another form. In the Python API: an object of another class.",
        "Write the kind of value that the message asks for.",
        "the field",
    ),
    "sidecar.invalid_value": About(
        "A value is of the right kind and cannot be used: out of range, not finite, too long, twice in a list, a date "
        "that does not exist.",
        "The producer computed or wrote a value that would hurt later: NaN as a metric is the most frequent one.",
        "Correct the value, or leave an optional one out.",
        "the field, with the place in it",
    ),
    "sidecar.invalid_name": About(
        "A model_id, or the name of a file, cannot be used.",
        "It has characters that are not safe in file names, is too long, ends in `_scaler`, or the file's suffix is "
        "not one of a model.",
        "Choose another id, or rename the file and name it so.",
        "`model_id`, `model_file` or `scaler_file`",
    ),
    "sidecar.path_not_plain_name": About(
        "A path stands where the name of a file belongs.",
        "The producer wrote the path on its own machine.",
        "Put the file into the inbox beside the sidecar, and write only its name.",
        "`model_file` or `scaler_file`",
    ),
    "sidecar.same_file_twice": About(
        "One file is named as the model and as its scaler.",
        "A copying error, or a model file whose name is the default name of the scaler.",
        "Name two files, or write `scaler_file: null`.",
        "`scaler_file` or `model_file`",
    ),
    "sidecar.future_date": About(
        "`trained_at` is more than five minutes in the future.",
        "The clock of the training machine is wrong, or the time is local and was written without its zone.",
        "Set that clock, or write the zone.",
        "`trained_at`",
    ),
    "sidecar.no_zone": About(
        "`trained_at` has no zone and counts as UTC. A note: the drop is taken.",
        "The producer writes local time without an offset.",
        "Write the zone: `Z`, or an offset like `+02:00`.",
        "`trained_at`",
    ),
    "sidecar.not_a_mapping": About(
        "The sidecar is a list or a single text.",
        "It holds no line of the form `name: value`, or only the beginning of the first one has come.",
        "Write its fields as `name: value`, one a line.",
    ),
    "sidecar.not_owner": About(
        "A file that the sidecar names belongs to another user than the sidecar.",
        "Two users write one drop, or a sidecar names a file of somebody else. The file stays where it is.",
        "Write sidecar and files as the same user.",
    ),
    "sidecar.cut_off": About(
        "The sidecar may be cut off: more text could make it right. Told beside its other problems by `model-inbox "
        "inbox`.",
        "It is still being written, or its writer died.",
        "Wait, or write it again; end it with a line `...` so that its end can be seen.",
    ),
    "sidecar.more_problems": About(
        "The sidecar has more than 100 problems; the rest is not listed.",
        "The file is not a sidecar at all, or a field is wrong in every item of a long list.",
        "Solve the problems that are listed, then look again.",
    ),
    "sidecar.not_yaml": About(
        "The sidecar is not YAML.",
        "A missing quote or colon, a tab as indentation, a merge conflict, a NUL, or a file that was cut off. If more "
        "text at the end could make it YAML, the drop is waited for; else it is rejected at once.",
        "Look at the line that is named and the one before it.",
    ),
    "sidecar.not_utf8": About(
        "The sidecar is not UTF-8.",
        "It was saved in another encoding, like UTF-16 or Latin-1, or it is no text: a pickle, an archive.",
        "Save it as UTF-8, or drop the file that is meant.",
    ),
    "sidecar.several_documents": About(
        "Something follows the end of the YAML document.",
        "Two files were joined, or a line `---` or text stands behind the end.",
        "Keep one document in the file.",
    ),
    "sidecar.too_large": About(
        "The sidecar has more bytes than `inbox.max_sidecar_size`.",
        "The model has tens of thousands of features, or data was written into the sidecar that belongs elsewhere.",
        "Shorten it, or raise the setting.",
    ),
    "sidecar.too_deep": About(
        "Lists and mappings are nested too deep.",
        "Data was written into it that belongs elsewhere.",
        "Nest it less.",
    ),
    "sidecar.too_many_values": About(
        "The sidecar has more names and values than are read.",
        "Data was written into it that belongs elsewhere.",
        "Leave out what no reader needs.",
    ),
    "sidecar.anchor": About(
        "The sidecar uses anchors (`&`) or aliases (`*`) of YAML.",
        "A program wrote one object at two places, or a value begins with `&` or `*`.",
        "Write the value out, or put it in quotes.",
    ),
    "sidecar.tag": About(
        "The sidecar uses a tag (`!`) of YAML.",
        "A program wrote an object of its own, as `yaml.dump` does, or a value begins with `!`.",
        "Write the plain value (`yaml.safe_dump`), or put it in quotes.",
    ),
    "sidecar.merge_key": About(
        "The sidecar uses the merge key `<<` of YAML.",
        "The file was written with shared parts.",
        "Write the fields out.",
    ),
    "sidecar.key_not_text": About(
        "A list or a mapping stands where a name belongs.",
        "A name begins with `[` or `{`.",
        "Put quotes around the name.",
    ),
    "sidecar.duplicate_key": About(
        "A name is there twice in one mapping.",
        "A line was copied.",
        "Keep one of the two.",
    ),
    "sidecar.empty": About(
        "The sidecar is empty, or holds only comments.",
        "Its writer has not begun yet, or died.",
        "Write its fields as `name: value`.",
    ),
    "sidecar.ambiguous": About(
        "Several sidecars have the same stem, such as `m.yaml` and `m.yml`. None of them is taken.",
        "A sidecar was sent again under the other suffix, or in other letters.",
        "Send one of them, with the model.",
    ),
}
