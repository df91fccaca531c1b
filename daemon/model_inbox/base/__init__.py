"""What every other room needs of the system: disk, locks, leases, users, times, units, YAML, JSON schemas.

Owns:

- `disk`: every durable step on the disk
- `flocks`: flock(2) locks and the names of their holders
- `file_systems`: which folders are on network file systems
- `abandoned`: files that a process left behind when it died
- `leases`: whether a process has a file open
- `boot`: the seconds since the machine's boot, and which boot that is
- `accounts`: names and groups of users, asked for with a time limit
- `users`: names of users and groups, and the change from root to a folder's owner
- `standard_streams`: stdin, stdout and stderr that are closed or cannot be written
- `instants`: points in time as text
- `units`: durations and sizes as text
- `strict_yaml`: YAML with line and column
- `shapes`: JSON objects as types, and their JSON schemas
- `machine`: clocks, disk and leases in one value, to be passed in

Knows nothing about models. Never imports another room, only `errors` and `problems`. Other rooms import the modules;
this file exports no names.
"""
