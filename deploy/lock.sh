#!/bin/sh
# Make deploy/requirements/{runtime,dev,browser}.txt from pyproject.toml, for every Python and platform that is
# supported, and check that each has a wheel of each. Pins that still fit stay. Usage: deploy/lock.sh PYTHON [--upgrade]
set -eu
python=$1
shift
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check uv
uv=$work/venv/bin/uv

compile() {
    output=$1
    shift
    "$uv" pip compile --quiet "$@" --universal --python-version 3.11 --only-binary :all: \
        --generate-hashes --no-emit-index-url --no-header --output-file "deploy/requirements/$output"
}
compile runtime.txt pyproject.toml --extra server --group build "$@"
compile dev.txt pyproject.toml --group build --extra server --extra dev --extra s3 --extra otel --constraint deploy/requirements/runtime.txt "$@"
compile browser.txt --group browser --constraint deploy/requirements/dev.txt "$@"

has_wheels() {
    "$uv" pip install --quiet --dry-run --only-binary :all: --no-deps --require-hashes --target "$work/none" \
        --python "$work/venv/bin/python" --python-version "$1" --python-platform "$2" -r "deploy/requirements/$3.txt"
}
for version in 3.11 3.12 3.13 3.14; do
    for platform in x86_64-manylinux_2_28 aarch64-manylinux_2_28 aarch64-apple-darwin; do
        for lock in runtime dev browser; do
            has_wheels $version $platform $lock || {
                echo "deploy/requirements/$lock.txt has no wheel for Python $version on $platform (see above):" \
                    "choose a release that has one, in pyproject.toml, and run make lock again." >&2
                exit 1
            }
        done
    done
done
echo "deploy/requirements: complete, with wheels for Python 3.11 to 3.14 on Linux (x86-64, arm64) and macOS (arm64)"
