"""Reading the log: records, the questions that operators ask of them, and where the lines come from.

Never needs the daemon: it reads a file, a pipe or systemd's journal.
"""
