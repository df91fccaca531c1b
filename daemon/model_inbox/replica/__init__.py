"""Replicas: a copy of a registry on another machine, which follows it by being pulled again and again.

Owns `replica.json` (`record`), how files are fetched (`transport`), and the order in which they are put in place
(`pull`). Never writes to the source, and changes nothing in it; a replica is changed by nothing but a pull.
"""
