# What the scripts share. Each sources it as its first command, with its own arguments in place:
#
#     . "$(dirname "$0")/shared.sh"
#
# It answers --help with the script's head, before anything is made or installed; goes to the project's directory; and ends
# the script at the first command that fails.
# shellcheck shell=bash
set -euo pipefail
script=scripts/$(basename "$0")
started=$SECONDS

say() { printf '\n== %s [%d s]\n' "$*" "$((SECONDS - started))"; }
die() { printf '\n%s: %s\n' "$script" "$*" >&2; exit 1; }

# Its comment at the top, to the first line that is none.
show_help() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }
for argument; do
    case $argument in
        --) break ;;
        -h | --help) show_help; exit ;;
    esac
done
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bin=.venv/bin

# Print the first Python that is new enough.
find_python() {
    local candidate version seen=''
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        version=$("$candidate" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || continue
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s' "$candidate"
            return
        fi
        seen+="${seen:+, }$candidate is $version"
    done
    die "kbroker needs Python 3.11 or newer, and there is none here (${seen:-no ${PYTHON:-python3}}). Install one, or name it with PYTHON=/path/to/python."
}

# Install Debian packages, as root or with a sudo that asks nothing.
install_packages() {
    local -a become=()
    command -v apt-get >/dev/null || die "missing: $*. There is no apt-get here; install them with this machine's package manager."
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || die "missing: $*. Install with: sudo apt-get install $*"
        become=(sudo -n)
    fi
    say "Installing $* (apt-get)"
    "${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q
    "${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

make_venv_by_pip() { "$1" -m venv --clear --without-pip .venv && "$1" -m pip --python .venv install pip; }

# Make .venv with pip in it, unless it is there.
make_venv() {
    local python package made_by
    # What pip writes into it names the place where it was made: in a clone that was moved or copied it leads nowhere, or elsewhere.
    made_by=$(sed -n 's/^command = //p' .venv/pyvenv.cfg 2>/dev/null) || true
    case $made_by in
        '' | *" $(pwd -P)/.venv") ;;
        *)
            say "Removing .venv, which was made for another place"
            rm -rf .venv
            ;;
    esac
    if [ ! -x $bin/python ]; then
        python=$(find_python)
        say "Making .venv with $python"
        # Debian keeps what puts pip into it in a package of its own; a pip that is there already does as well.
        if ! "$python" -m venv --clear .venv >/dev/null 2>&1 && ! make_venv_by_pip "$python" >/dev/null 2>&1; then
            rm -rf .venv
            package=$("$python" -c 'import sys; print("python3.%d-venv" % sys.version_info[1])')
            install_packages "$package"
            "$python" -m venv .venv
        fi
    fi
    $bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die ".venv was made with $($bin/python --version), kbroker needs 3.11 or newer. Remove it and start this again: rm -r .venv"
    if ! $bin/python -m pip --version >/dev/null 2>&1; then
        $bin/python -m ensurepip >/dev/null 2>&1 ||
            die ".venv has no pip. Remove it and start this again: rm -r .venv"
    fi
}

# pip writes the interpreter's path behind the `#!` of .venv/bin/kbroker, where the system ends it at a blank.
mend_command() {
    local text
    case $PWD in *[[:space:]]*) ;; *) return 0 ;; esac
    text=$(sed 1d $bin/kbroker)
    # To Python the second and third line are a text that nobody uses.
    printf '%s\n' '#!/bin/sh' "'''exec' \"$PWD/$bin/python\" \"\$0\" \"\$@\"" "' '''" "$text" >$bin/kbroker
}

# Install kbroker with some of its extras, unless that was done for this pyproject.toml.
install_extras() { # [extra,...]
    local stamp=".venv/.kbroker-${1:-run}" wanted
    make_venv
    wanted=$(cksum < pyproject.toml)
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || [ ! -e $bin/kbroker ]; then
        say "Installing kbroker and what it needs${1:+ for: ${1//,/, }} (pip)"
        $bin/python -m pip install --disable-pip-version-check -e ".${1:+[$1]}"
        mend_command
        printf '%s' "$wanted" > "$stamp"
    fi
    # Environments that forbid writing bytecode would have each start compile everything anew.
    $bin/python -m compileall -q kbroker
}

# Run a command that says nothing for long, and say meanwhile that it goes on.
with_signs_of_life() { # what command ...
    local what=$1 ticker status=0
    shift
    {
        while sleep 10 >/dev/null 2>&1; do printf '   %s: %d s\n' "$what" "$((SECONDS - started))"; done
    } &
    ticker=$!
    "$@" || status=$?
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    return "$status"
}
