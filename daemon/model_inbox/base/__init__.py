"""The ground floor: the disk, locks, leases, users, units of config.yaml, strict YAML, shapes. Knows no model.

Owns every durable step on the disk (`disk`), flock(2) locks with their holders (`flocks`), read leases that tell
whether a file has a writer (`leases`), users and groups (`users`), durations and sizes as text (`units`), YAML with
line and column (`strict_yaml`), JSON objects whose fields say what they mean (`shapes`), and the one value in which
clocks, disk and leases are passed around (`machine`). Never imports another room, only `errors` and `problems`.
"""
