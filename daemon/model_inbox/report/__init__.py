"""The page: what a registry and its inbox look like now, as HTML that needs nothing else.

Owns its charts (`charts/`) and its style. Never changes a registry or an inbox, never opens a model's file, and serves
nothing over a network.
"""
