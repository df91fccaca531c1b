"""The mirror: a registry in MLflow, entry by entry and digest by digest.

Owns how an entry is named in MLflow (`names`), and the tags, parameters and metrics that hold it there and how they are
read back (`tags`). Never changes the registry, and never loads a model.
"""
