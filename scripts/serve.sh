#!/bin/sh
# Starts the server for a room, on this machine only unless STREAMLIT_SERVER_ADDRESS says 0.0.0.0.
# The image does so, and anybody can by hand. `exec`: a signal to end reaches the server itself.
set -eu
cd "$(dirname "$0")/.."
python=python
if [ -x .venv/bin/python ]; then
    python=.venv/bin/python
fi
exec "$python" -m streamlit run --server.headless true "$@"
