"""What the program tells of itself, and reading it again.

Owns the catalogue of log events and where lines go, systemd's notifications, the status file and whether all is well,
metrics and their listener, and (`logread/`) answers from the log. Never changes what it tells of.
"""
