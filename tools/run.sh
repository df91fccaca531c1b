#!/bin/sh
# Run the daemon and the pages that show its registry side by side, until Ctrl-C or SIGTERM ends both.
#
#     tools/run.sh PYTHON CONFIG
#
# Called by `make run`. They are two processes: the daemon does not depend on the pages. If their address is taken, that
# is said, and the daemon goes on. When the daemon ends, the pages end, and its exit status is that of this script.
set -u

python=$1 config=$2

# -I: a yaml.py in this folder or on PYTHONPATH is not taken for ours.
model_inbox() {
    exec "$python" -I -m model_inbox --config "$config" "$@"
}

model_inbox run &
daemon=$!
model_inbox web &
pages=$!

# In a terminal Ctrl-C reaches the two as well, but a shell lets those in the background ignore it until they say what
# they do about it. A second signal changes nothing.
told=''
trap 'told=yes; kill -TERM "$daemon" "$pages" 2>/dev/null' INT TERM HUP

# A signal ends `wait`, and not the daemon.
status=0
while :; do
    wait "$daemon" 2>/dev/null && status=0 || status=$?
    kill -0 "$daemon" 2>/dev/null || break
done
[ -n "$told" ] || kill -TERM "$pages" 2>/dev/null
# Without what the shell says of a process that a signal has ended before it could answer.
wait "$pages" 2>/dev/null
exit "$status"
