"""The mirror: a registry in MLflow, entry by entry and digest by digest.

Owns how an entry is named in MLflow (`names`), the tags, parameters and metrics that hold it there (`tags`), the files
with which plain MLflow loads it (`pyfunc`), what is to be done (`plan`) and how it is carried out (`client`, `writer`),
how both sides are compared (`comparison`, `reconcile`), and the process that follows a registry (`following`). Never
changes the registry, never loads a model.
"""
