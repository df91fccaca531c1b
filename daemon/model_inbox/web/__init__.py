"""The pages of the report over HTTP, for people on this machine: a process of its own, which only reads.

Owns the addresses that it listens on (`sockets`), which requests are answered and how (`answers`, pure), the pages by
path (`pages`), and the limits of the server (`server`). Never changes a registry or an inbox, never listens beyond
this machine, sets no cookie, and has no part in the daemon.
"""
