"""Which models stay and which go.

Owns the rules as a pure function from entries, policy and time to a plan with all its reasons, and the application of
a plan: a journal line first, then the files. Never decides by anything that a person could not preview.
"""
