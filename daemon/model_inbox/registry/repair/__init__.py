"""When the registry's files are not what they should be: compare, collect evidence, make a registry again.

Owns `verify` (registry, journal, files and digests compared), reading damaged files as far as they are sound
(`evidence`), and the rebuild as a plan and its application. Never runs by itself: an operator asks for it.
"""
