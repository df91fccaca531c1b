"""The daemon: one loop that looks at the inbox, takes complete drops and does what is due.

Owns the process: its start and stop, signals, timers, the watch, reloads, and what is published about it. What happens
to a drop belongs to the inbox, what is retired to retention.
"""
