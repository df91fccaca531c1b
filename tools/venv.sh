#!/bin/sh
# Make or refresh a virtual environment: a hashed lock, model-inbox itself (editable), and whatever else is named.
#
#     tools/venv.sh FOLDER LOCK [PACKAGE | ./FOLDER ...]
#
# Called by every target of the Makefile that needs an environment. Quick when nothing changed: the key files in
# FOLDER hold what it was made of, by content. A changed interpreter or lock makes it anew, a changed pyproject.toml
# installs model-inbox again (editable: its sources are used where they are, so they need no installing). Without PYTHON in the environment, the first of python3, python3.14 ... python3.11 that
# is new enough is taken. Nothing is installed outside FOLDER, and nothing that no lock names, but the PACKAGEs.
set -eu

folder=$1 lock=$2
shift 2

version_of() { # prints "3.11" for an interpreter that runs
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

new_enough() {
    case $1 in
        3.[0-9] | 3.10 | [012].* | '') return 1 ;;
    esac
}

stop() {
    printf 'cannot make %s: %s\n' "$folder" "$1" >&2
    printf '%s\n' "$2" >&2
    exit 1
}

python='' found=''
for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    version=$(version_of "$candidate") || continue
    if new_enough "$version"; then
        python=$candidate
        break
    fi
    found="$found${found:+, }$candidate is $version"
done
if [ -z "$python" ]; then
    stop "model-inbox needs Python 3.11 or newer, and there is none here (${found:-${PYTHON:-python3} does not run})." \
        'On Debian 12, Ubuntu 24.04 and later: sudo apt-get install python3 python3-venv
On Ubuntu 22.04: sudo apt-get install python3.11 python3.11-venv
Or say where one is: make ... PYTHON=/path/to/python3'
fi

# An environment cannot be moved, but a link to it can be used: what counts is where it is.
place=$(readlink -f "$folder")
environment_key="$("$python" -c 'import sys; print(sys.version, sys.base_prefix)') ${place%/*} $folder $* $(cksum <"$lock")"
package_key=$(
    cksum pyproject.toml
    for part in "$@"; do
        case $part in ./*) find "$part" -name '*.py' -o -name '*.toml' | sort | xargs cksum ;; esac
    done
)

pip() {
    "$folder/bin/python" -m pip -qq --disable-pip-version-check --no-input "$@"
}

is_key() { # is the text the content of the file?
    [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]
}

if ! is_key "$folder/made-of" "$environment_key"; then
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        stop "$python ($version) has no venv module." \
            "On Debian or Ubuntu: sudo apt-get install python$version-venv"
    fi
    printf 'making %s (Python %s, %s)\n' "$folder" "$version" "$lock" >&2
    "$python" -m venv --clear "$folder"
    # A lock is complete, so nothing is looked for beyond it: what it leaves out (requirements/excludes.txt) stays out.
    pip install --require-hashes --no-deps --requirement "$lock"
    for part in "$@"; do
        case $part in ./*) ;; *) pip install "$part" ;; esac
    done
    printf '%s\n' "$environment_key" >"$folder/made-of"
fi

if ! is_key "$folder/installed" "$package_key"; then
    pip install --no-deps --no-build-isolation --editable .
    for part in "$@"; do
        case $part in ./*) pip install --no-deps --no-build-isolation "$part" ;; esac
    done
    printf '%s\n' "$package_key" >"$folder/installed"
fi
