#!/bin/sh
# Make the environment of the vLLM engine in the folder $1, for the CPU, and leave the stamp .complete in it.
# It is apart from .venv because vLLM and we want different versions of transformers.
# PYTHON: the interpreter to use, 3.11 or 3.12.
set -eu

venv=$1
python=${PYTHON:-python3.11}

"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' ||
    { echo "make vllm-env: needs Python 3.11 or 3.12; name it: make vllm-env PYTHON=/path/to/python3.11" >&2; exit 1; }
rm -f "$venv/.complete"
"$python" -m venv "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }
pip install -r scripts/vllm-requirements.txt -c scripts/vllm-constraints.txt
# The builds that PyPI has of these do not fit the CPU's torch, and nothing here uses them.
pip uninstall -y torchvision torchaudio torchcodec
pip install --no-deps --no-build-isolation -e .
touch "$venv/.complete"
echo "make vllm-env: done; $venv/bin/python -m serve.openai.service --engine vllm"
