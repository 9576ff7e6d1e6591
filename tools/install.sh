#!/bin/sh
# Makes the virtual environment and installs vipl into it, editable, with the development tools.
# Environment: PYTHON (python3), VENV (.venv).
set -eu
python=${PYTHON:-python3}
venv=${VENV:-.venv}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "vipl needs Python 3.10 or newer; '$python' is not: make PYTHON=python3.11 …" >&2
    exit 1
}
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    sh "$(dirname "$0")/apt_install.sh" python3-venv || exit 1
fi
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
echo "Installing vipl into $venv; the first time this downloads a few gigabytes."
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e '.[dev]'
