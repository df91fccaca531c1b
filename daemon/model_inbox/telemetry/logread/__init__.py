"""Reads the log: its lines (`sources`), their records (`records`), one as a sentence (`words`), and answers to
questions (`questions`).

Never needs the daemon: it reads a file, a pipe or systemd's journal. Never writes.
"""
