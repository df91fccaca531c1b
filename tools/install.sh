#!/bin/sh
# Put model-inbox where a machine runs it from, or take it away again.
#
#     tools/install.sh install | uninstall
#
# Called by `make install` and `make uninstall`, which pass these by environment:
#   DESTDIR  a folder to install into as if it were / (for packages); then nothing of this machine is touched
#   PREFIX   where the program goes: releases/ (a virtual environment for each installation, made from the hashed
#            lock), current (a link to the one in use), bin/, share/. /opt/model-inbox
#   PYTHON   the interpreter; it must be one that the service's user can run
#   SYSTEMD_VERSION  the version to install for; that of this machine
#
# An installation that fails leaves the one before in use. That one is kept besides the new one: a daemon that still
# runs from it goes on until it is restarted. State, and a config.yaml that was edited, are never touched.
set -eu

umask 022
action=${1-}
DESTDIR=${DESTDIR-} PREFIX=${PREFIX:-/opt/model-inbox}
SYSCONF=/etc/model-inbox STATE=/var/lib/model-inbox LIB=/usr/local/lib BIN=/usr/local/bin SHARE=/usr/local/share
UNIT=model-inbox.service
PAGES=model-inbox-web.service

stop() {
    printf 'cannot %s: %s\n' "$action" "$1" >&2
    [ $# -lt 2 ] || printf '%s\n' "$2" >&2
    exit 1
}

say() {
    printf '%s\n' "$1" >&2
}

for path in "$PREFIX" ${DESTDIR:+"$DESTDIR"}; do
    case $path in
        /*[!A-Za-z0-9._/+-]* | *//* | */../* | */..) stop "the path '$path' has characters that unit files and scripts do not like." ;;
        /?*) ;;
        *) stop "PREFIX and DESTDIR must be absolute paths, not '$path'." ;;
    esac
done
if [ -z "$DESTDIR" ] && [ "$(id -u)" != 0 ]; then
    stop 'it needs root.' "Run: sudo make $action      (or set DESTDIR)"
fi

# --- folders that nobody else can exchange --------------------------------------------------------------------------

# Below DESTDIR and PREFIX every folder on the way must belong to root or to who installs, and nobody else may be able
# to write in it: else a link of another user would lead root's files elsewhere, or a folder could be exchanged for one
# after it was looked at. A sticky folder like /tmp is passed if what comes below it is ours. A link is followed only
# where nobody else can write.
entered=' '
enter() { # enter FOLDER [make]: stop if another user could change what is there; return 1 if it is not there
    case $entered in *" $1 "*) return ;; esac
    case $DESTDIR,$1/ in
        ,"$PREFIX"/*) ;;
        ,*) if [ $# -gt 1 ]; then mkdir -p "$1"; fi; [ -d "$1" ]; return ;;
    esac
    at='' rest=${1#/} links=0 shared=''
    while [ -n "$rest" ]; do
        above=$at at=$at/${rest%%/*}
        case $rest in */*) rest=${rest#*/} ;; *) rest='' ;; esac
        case ${at##*/} in
            '' | .)
                at=$above
                continue
                ;;
            ..)
                at=${above%/*} shared=''
                if others_write "${at:-/}"; then shared=yes; fi
                continue
                ;;
        esac
        if [ ! -e "$at" ] && [ ! -L "$at" ]; then
            [ $# -gt 1 ] || return 1
            # Without -p: whoever makes it first, what is there is looked at next.
            mkdir "$at" 2>/dev/null || true
        fi
        owner=$(stat -c %u "$at")
        [ "$owner" = 0 ] || [ "$owner" = "$(id -u)" ] || stop "$at belongs to $(stat -c %U "$at"), who could exchange it." \
            "Choose a DESTDIR and a PREFIX whose folders are yours or root's"
        if [ -L "$at" ]; then
            [ -z "$shared" ] || stop "$at is a link in a folder that others can write." \
                'Look who made it, and remove it or choose another folder'
            links=$((links + 1))
            [ "$links" -le 40 ] || stop "$at leads in a circle."
            to=$(readlink "$at") at=$above
            case $to in /*) at='' ;; esac
            rest=${to#/}${rest:+/$rest}
            continue
        fi
        [ -d "$at" ] || stop "$at is not a folder."
        shared=''
        if others_write "$at"; then
            [ -k "$at" ] && [ -n "$rest" ] || stop "others can write in $at: they could exchange what is installed there." \
                "Run: chmod go-w $at      (or choose another folder)"
            shared=yes
        fi
    done
    entered="$entered$1 "
}

others_write() { # can anybody but root and the owner write in this folder? A group of the owner alone is no other
    case $(stat -c %A "$1") in
        ????????w*) return 0 ;;
        ?????w*) ;;
        *) return 1 ;;
    esac
    case $(ls -ld "$1") in ??????????+*) return 0 ;; esac # an ACL
    [ "$(stat -c %G "$1")" != "$(stat -c %U "$1")" ] || [ -n "$(getent group "$(stat -c %g "$1")" | cut -d: -f4)" ]
}

# --- what is installed where ----------------------------------------------------------------------------------------

unit_file=$DESTDIR$LIB/systemd/system/$UNIT
backoff_file=$unit_file.d/50-backoff.conf
pages_file=$DESTDIR$LIB/systemd/system/$PAGES
sysusers_file=$DESTDIR$LIB/sysusers.d/model-inbox.conf
tmpfiles_file=$DESTDIR$LIB/tmpfiles.d/model-inbox.conf
# The one folder of catalogues that every version of systemd reads.
catalog_file=$DESTDIR/usr/lib/systemd/catalog/model-inbox.catalog
# Where man and the shells look: man pages, and what completes a command line.
man_pages=$DESTDIR$SHARE/man
bash_file=$DESTDIR$SHARE/bash-completion/completions/model-inbox
zsh_file=$DESTDIR$SHARE/zsh/site-functions/_model-inbox
fish_file=$DESTDIR$SHARE/fish/vendor_completions.d/model-inbox.fish
config_file=$DESTDIR$SYSCONF/config.yaml
share=$DESTDIR$PREFIX/share
sample=$share/config.yaml

enter_all() { # before anything is changed
    for file in "$unit_file" "$sysusers_file" "$tmpfiles_file" "$catalog_file" "$config_file" "$sample" \
        "$man_pages/man1/" "$man_pages/man5/" "$bash_file" "$zsh_file" "$fish_file" \
        "$DESTDIR$BIN/model-inbox" "$DESTDIR$PREFIX/releases/" "$DESTDIR$PREFIX/bin/model-inbox"; do
        enter "${file%/*}" "$@" || true
    done
    enter "${backoff_file%/*}" || true
}

put() { # put FILE TARGET: a file of ours, with the paths of this installation in it
    enter "$(dirname "$2")" make
    rm -f "$2.part"
    sed "s|/opt/model-inbox|$PREFIX|g" "$1" >"$2.part"
    chmod 0644 "$2.part"
    mv -fT "$2.part" "$2"
}

copy() { # copy FILE TARGET: replace TARGET, also where it is a link
    rm -f "$2.part"
    cp "$1" "$2.part"
    mv -fT "$2.part" "$2"
}

has() {
    command -v "$1" >/dev/null 2>&1
}

systemd_runs() {
    [ -z "$DESTDIR" ] && [ -d /run/systemd/system ] && has systemctl
}

# --- install --------------------------------------------------------------------------------------------------------

choose_python() {
    found=''
    for candidate in ${PYTHON:-/usr/bin/python3 /usr/bin/python3.14 /usr/bin/python3.13 /usr/bin/python3.12 \
        /usr/bin/python3.11 /usr/local/bin/python3}; do
        place=$("$candidate" -c 'import sys; print(sys.base_prefix) if sys.version_info >= (3, 11) else sys.exit(1)' \
            2>/dev/null) || { found="$found $candidate"; continue; }
        is_open "$place" || stop "$candidate lies in $place, which only its owner can enter: a service cannot run it." \
            'Choose another: make install PYTHON=/usr/bin/python3'
        "$candidate" -c 'import ensurepip, venv' 2>/dev/null || stop "$candidate has no venv module." \
            'On Debian or Ubuntu: apt-get install python3-venv'
        python=$candidate
        return
    done
    stop "there is no Python 3.11 or newer (looked at:$found)." 'On Debian 12 and later: apt-get install python3 python3-venv
On RHEL 9: dnf install python3.11, then make install PYTHON=/usr/bin/python3.11'
}

is_open() { # may anybody enter this folder and all above it?
    folder=$1
    while [ "$folder" != / ]; do
        case $(stat -c %A "$folder") in *x | *t) ;; *) return 1 ;; esac
        folder=$(dirname "$folder")
    done
}

make_release() {
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
    name=$version-$(date -u +%Y%m%dT%H%M%SZ)
    release=$PREFIX/releases/$name
    there=$DESTDIR$release
    enter "$DESTDIR$PREFIX/releases" make
    [ ! -e "$there" ] && [ ! -L "$there" ] || stop "$there is there already." 'Try again in a second'
    trap 'rm -rf "$there"' EXIT
    say "making $there ($("$python" -V))"
    "$python" -m venv "$there"
    pip() {
        "$there/bin/python" -m pip -qq --disable-pip-version-check --no-input --no-cache-dir install --no-compile "$@"
    }
    pip --require-hashes --requirement requirements/run.txt
    pip --no-deps --no-build-isolation .
    # In place of pip's script: with -I no module on PYTHONPATH, in the current folder or in a home is taken for ours.
    printf '#!%s/bin/python -I\n%s\n\n%s\n' "$there" 'from model_inbox.cli import main' 'main()' >"$there/bin/model-inbox"
    # The scripts name the interpreter by its path, which is another one once DESTDIR has become /.
    if [ -n "$DESTDIR" ]; then
        grep -rlIF "$there" "$there/bin" "$there/pyvenv.cfg" | xargs sed -i "s|$there|$release|g"
    fi
    "$there/bin/python" -I docs/man_pages.py "$there/share/model-inbox" "$PREFIX/share/doc"
    "$there/bin/python" -m compileall -qf -s "$there" -p "$release" "$there/lib"
    chmod -R go+rX,go-w "$there"
    "$there/bin/python" -I -m model_inbox --version >/dev/null || stop 'what was installed does not run.'
    if [ -z "$DESTDIR" ]; then "$there/bin/model-inbox" --version >/dev/null || stop "$there/bin/model-inbox does not run."; fi
    trap - EXIT
}

use_release() {
    before=$(readlink "$DESTDIR$PREFIX/current" 2>/dev/null || true)
    rm -f "$DESTDIR$PREFIX/current.new"
    ln -s "releases/$name" "$DESTDIR$PREFIX/current.new"
    mv -fT "$DESTDIR$PREFIX/current.new" "$DESTDIR$PREFIX/current"
    enter "$DESTDIR$PREFIX/bin" make
    enter "$DESTDIR$BIN" make
    ln -sfn ../current/bin/model-inbox "$DESTDIR$PREFIX/bin/model-inbox"
    ln -sfn "$PREFIX/bin/model-inbox" "$DESTDIR$BIN/model-inbox"
    for old in "$DESTDIR$PREFIX"/releases/*; do
        case releases/${old##*/} in "releases/$name" | "$before") ;; *) rm -rf "$old" ;; esac
    done
}

put_config() {
    enter "$DESTDIR$SYSCONF" make
    enter "$share" make
    rm -f "$sample.new"
    sed -e "s|^  path: inbox\$|  path: $STATE/inbox|" \
        -e "s|^  path: models/|  path: $STATE/models/|" \
        -e "s|^  storage_dir: models/|  storage_dir: $STATE/models/|" \
        -e "s|^  private: false\$|  private: true|" config.yaml >"$sample.new"
    [ "$(grep -c "$STATE/\|^  private: true\$" "$sample.new")" = 4 ] || stop 'config.yaml is not the sample that it was.'
    chmod 0644 "$sample.new"
    if [ ! -e "$config_file" ]; then
        copy "$sample.new" "$config_file"
    elif [ -e "$sample" ] && cmp -s "$sample" "$config_file"; then
        copy "$sample.new" "$config_file" # nobody edited it: it follows the sample
    elif ! cmp -s "$sample" "$sample.new"; then
        copy "$sample.new" "$config_file.new"
        say "$config_file was kept as it is; this version's sample is beside it: config.yaml.new"
    fi
    mv -fT "$sample.new" "$sample"
}

put_help() {
    remove_help # pages of commands that this version does not have
    for file in $(cd "$there/share/model-inbox" && find . -type f); do
        put "$there/share/model-inbox/$file" "$DESTDIR$SHARE/${file#./}"
    done
}

remove_help() {
    rm -f "$man_pages/man1/model-inbox.1" "$man_pages"/man1/model-inbox-*.1 "$man_pages/man5/model-inbox.yaml.5" \
        "$bash_file" "$zsh_file" "$fish_file"
}

put_files() {
    put systemd/model-inbox.service "$unit_file"
    put systemd/model-inbox-web.service "$pages_file"
    put systemd/model-inbox.sysusers "$sysusers_file"
    put systemd/model-inbox.tmpfiles "$tmpfiles_file"
    put systemd/model-inbox.catalog "$catalog_file"
    for file in README.md CHANGELOG.md LICENSE $(find docs -name '*.md'); do # in the same folders, so that links hold
        put "$file" "$share/doc/$file"
    done
    for file in docs/images/*; do
        enter "$share/doc/docs/images" make
        copy "$file" "$share/doc/$file"
    done
    put systemd/model-inbox.logrotate "$share/model-inbox.logrotate"
    put systemd/metrics-listen.conf "$share/metrics-listen.conf"
    put systemd/model-inbox-replica.service "$share/model-inbox-replica.service"
    put systemd/model-inbox-replica.timer "$share/model-inbox-replica.timer"
    put systemd/model-inbox-mlflow.service "$share/model-inbox-mlflow.service"
    version_of_systemd=${SYSTEMD_VERSION:-$(systemctl --version 2>/dev/null | sed -n '1s/^systemd \([0-9]*\).*/\1/p')}
    if [ "${version_of_systemd:-0}" -ge 254 ]; then
        put systemd/50-backoff.conf "$backoff_file"
    else
        rm -f "$backoff_file"
    fi
}

tell_the_machine() { # users, folders, units: what a package would do after it was unpacked
    [ -z "$DESTDIR" ] || return 0
    if has systemd-sysusers; then systemd-sysusers "$sysusers_file"; fi
    if has systemd-tmpfiles; then systemd-tmpfiles --create "$tmpfiles_file"; fi
    if has journalctl; then journalctl --update-catalog; fi
    if has restorecon; then restorecon -R "$PREFIX" "$SYSCONF" "$STATE" "$LIB/systemd"; fi
    if [ "$(cat /proc/sys/fs/protected_hardlinks 2>/dev/null)" = 0 ]; then
        say 'Any user can link files of others into the inbox. Better: sysctl -w fs.protected_hardlinks=1 (and in sysctl.d)'
    fi
    if ! systemd_runs; then return 0; fi
    systemctl daemon-reload
    if systemctl --quiet is-active $UNIT; then
        say 'The daemon still runs what was installed before: systemctl restart model-inbox'
    else
        say "Look at $config_file, then: systemctl enable --now model-inbox"
    fi
    if systemctl --quiet is-active $PAGES; then
        say 'The pages are still those of before: systemctl restart model-inbox-web'
    fi
}

# --- uninstall ------------------------------------------------------------------------------------------------------

remove() {
    enter_all
    if systemd_runs; then
        for unit in $PAGES $UNIT; do systemctl --quiet disable --now $unit 2>/dev/null || true; done
    fi
    if [ -e "$sample" ] && cmp -s "$sample" "$config_file"; then rm -f "$config_file"; fi
    remove_help
    rm -f "$config_file.new" "$unit_file" "$backoff_file" "$pages_file" "$sysusers_file" "$tmpfiles_file" "$catalog_file"
    if [ "$(readlink "$DESTDIR$BIN/model-inbox" || true)" = "$PREFIX/bin/model-inbox" ]; then
        rm -f "$DESTDIR$BIN/model-inbox"
    fi
    rm -rf "$DESTDIR$PREFIX/releases" "$DESTDIR$PREFIX/share"
    rm -f "$DESTDIR$PREFIX/current" "$DESTDIR$PREFIX/bin/model-inbox"
    rmdir "$DESTDIR$PREFIX/bin" "$DESTDIR$PREFIX" "$unit_file.d" "$DESTDIR$SYSCONF" 2>/dev/null || true
    if [ -z "$DESTDIR" ] && has journalctl; then journalctl --update-catalog; fi
    if systemd_runs; then systemctl daemon-reload; fi
    say "Kept: $DESTDIR$STATE with all models, the users model-inbox and model-inbox-web, and the groups model-producers and model-consumers"
    if [ -e "$config_file" ]; then say "Kept: $config_file, which was edited"; fi
}

case $action in
    install)
        choose_python
        enter_all make
        make_release
        use_release
        put_config
        put_files
        put_help
        tell_the_machine
        ;;
    uninstall) remove ;;
    *) stop "'$action' is neither install nor uninstall." ;;
esac
