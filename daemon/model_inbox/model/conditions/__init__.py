"""The language in which people ask for models: `1d.rmse<0.005 and trained_at>yesterday`.

Owns what a name means in an entry (`paths`), and how a condition is written, checked and evaluated (`condition`). One
language for `list --where`, `ModelRegistry.search` and all rules that name fields of an entry. Never reads a registry:
an entry is any mapping with the fields of one. Pure.

Public names: `FieldPath`, `field_of`, `parse_path`, `Condition`, `parse_condition`.
"""
