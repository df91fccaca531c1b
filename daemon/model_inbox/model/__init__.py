"""The formats that producers and the daemon share: metadata, sidecar and receipt.

Owns the fields of a model's metadata (`metadata`) and their checks (`checks`), what a model is for (`slot`), the YAML
sidecar (`sidecar`, `sidecar_parts`, `sidecar_fields`, `sidecar_writer`, `sidecar_schema`), the receipt that answers a
drop (`receipt`), what a daemon publishes for producers (`published`), and the language in which people and rules ask
for models (`conditions`). Only `receipt` and `published` read files; all else is pure. Knows nothing about the daemon,
the registry or pickles. Other rooms import the modules; this file exports no names.
"""
