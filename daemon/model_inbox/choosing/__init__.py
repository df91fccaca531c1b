"""Choosing by rule: which model an alias names, as config.yaml says.

Owns the decision of `promotion` rules, a pure function of the entries (`promotion`), and how it is carried out
(`apply`): decided again until nothing was committed in between. Never moves an alias by itself: `registry.promotions`
does. Never asks who may move one: a rule is the operator's word.
"""
