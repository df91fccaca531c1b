"""What both sides of the inbox agree on: metadata, sidecar, receipt.

Owns the fields of a model's metadata and what is wrong with them, the YAML sidecar (reading and writing it), and the
receipt that answers a drop. Pure but for reading a receipt. Never knows the daemon, the registry or a pickle.
"""
