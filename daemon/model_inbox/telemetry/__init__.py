"""Log, status, metrics and notifications of the daemon: writing them and reading them.

Owns the catalogue of log events (`events`) and where log lines go (`logging`, `journald`), systemd's notifications
(`sd_notify`, `watchdog`), the status file (`status_file`) and the health check on it (`health`), the metrics and their
listener (`metrics`, `metrics_server`), and answers from the log (`logread/`). Never changes a drop, a model or the
registry. Other rooms import the modules; this file exports no names.
"""
