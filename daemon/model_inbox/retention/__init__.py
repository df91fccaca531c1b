"""Retention: which models are kept and which are retired.

Owns the rules, as a pure function from entries, policy and time to a plan with all reasons (`plan`), and the
application of a plan (`apply`): a journal line first, then the files. Never retires a model for a reason that
`model-inbox retention plan` does not show. Other rooms import the modules; this file exports no names.
"""
