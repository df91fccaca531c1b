"""Backups of a registry with its model files: snapshots in a folder, and what is done with them.

Owns the folder of snapshots: making, listing, verifying and removing them, and restoring a registry from one. Never
changes the registry that is backed up, and never shares a file with it: only snapshots share files with each other.
"""
