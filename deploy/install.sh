#!/bin/sh
# Make .venv complete, or say in a sentence what to do. Usage: deploy/install.sh runtime|dev|browser PYTHON [chosen]
#
# Wheels of the lock only, each by its hash, without a resolver: what is installed is what was tested. A stamp for each of
# the files says what it was made from; a .venv that an install was interrupted in is made anew, not believed.
# chosen: PYTHON was named by the user, so a .venv of another Python is made anew; otherwise the .venv that is there stays.
set -eu
set_name=$1 python=$2 chosen=${3:-}
cd "$(dirname "$0")/.."
own=.venv/bin/python
# Of the user's own settings for pip those stay that say how packages are reached; others are for other installs, as
# PIP_USER, PIP_TARGET, PIP_CONSTRAINT. What a pip.conf says of two of them is overruled.
for name in $(env | sed -n 's/^\(PIP_[A-Z_]*\)=.*/\1/p'); do
    case $name in
    PIP_*INDEX* | PIP_FIND_LINKS | PIP_PROXY | PIP_*CERT | PIP_TRUSTED_HOST | PIP_*TIMEOUT | PIP_RETRIES) ;;
    PIP_*CACHE* | PIP_CONFIG_FILE | PIP_KEYRING_PROVIDER | PIP_USE_*) ;;
    *) unset "$name" ;;
    esac
done
export PIP_USER=0 PIP_REQUIRE_HASHES=0
unset PYTHONPATH PYTHONHOME PYTHONSAFEPATH

say() { echo "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

# Which Python it is: its version, and where it is installed; of a virtual environment, that of the Python it came from.
identity() { "$1" -c 'import sys; print(*sys.version.split(), sys.base_prefix)' 2>/dev/null; }

check_python() {
    "$python" -c '' 2>/dev/null ||
        fail "There is no $python here: install Python 3.11 or newer, or name the one to use: make PYTHON=/path/to/python3.13 ..."
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$python is Python $("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])'), which is too old: name a 3.11 or newer one: make PYTHON=/path/to/python3.13 ..."
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "$python cannot make virtual environments: install its venv module (Debian, Ubuntu: apt-get install python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv), or name another Python: make PYTHON=..."
}

# Why the .venv that is there cannot be used; nothing when it can.
fault() {
    if [ ! -f .venv/.made ] || [ -f .venv/.installing ]; then
        echo "an install was interrupted"
    elif [ "$(cat .venv/.made)" != "$PWD $(identity "$own")" ]; then
        echo "it was made in another place, or its Python has changed"
    elif [ -n "$chosen" ] && [ "$(identity "$own")" != "$(identity "$python")" ]; then
        echo "it was made by another Python than $python"
    fi
}

make_venv() {
    check_python
    [ -z "$1" ] || say "Making .venv anew: $1."
    rm -rf .venv
    "$python" -m venv .venv || fail "$python could not make .venv (see above): is the disk full, or this directory read-only?"
    echo "$PWD $(identity "$own")" >.venv/.made
}

pip_install() {
    "$own" -m pip install --quiet --disable-pip-version-check --no-input --no-deps "$@" ||
        fail "pip could not install the packages (see above): check the network (behind a proxy set HTTPS_PROXY; a mirror is PIP_INDEX_URL) and that this is Linux or macOS with Python 3.11 to 3.14, then run the same command again."
}

lock=deploy/requirements/$set_name.txt
stamp=.venv/.$set_name
if [ ! -e .venv ] && [ ! -L .venv ]; then
    make_venv ""
elif why=$(fault) && [ -n "$why" ]; then
    make_venv "$why"
fi
wanted=$(cksum "$lock" pyproject.toml)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi

say "Installing $lock into .venv; the first time takes a minute."
touch .venv/.installing
pip_install --only-binary :all: --require-hashes -r "$lock"
# The packages of this repository and the command, from where they stand; the build backend is in the lock.
[ "$set_name" != runtime ] || pip_install --no-build-isolation -e .
echo "$wanted" >"$stamp"
rm .venv/.installing
