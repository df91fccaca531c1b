"""The page: what a registry and its inbox look like now, as HTML that needs nothing else.

Owns what the page says (`facts`), where that comes from (`gather`), and how it is shown (`render`, `charts/`,
`templates/`, `static/`). Never changes a registry or an inbox, never opens a model's file, and serves nothing over a
network.
"""
