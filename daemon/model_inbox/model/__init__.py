"""The formats that producers and the daemon share: metadata, sidecar and receipt.

Owns the fields of a model's metadata (`metadata`) and their checks (`checks`), the YAML sidecar (`sidecar`,
`sidecar_fields`, `sidecar_writer`, `sidecar_schema`), the receipt that answers a drop (`receipt`), and the language in
which people and rules ask for models (`conditions`). Only `receipt` reads a file; all else is pure. Knows nothing
about the daemon, the registry or pickles. Other rooms import the modules; this file exports no names.
"""
