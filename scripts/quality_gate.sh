#!/usr/bin/env bash
# The full local check, under the path that people have in their fingers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec cargo xtask quality-gate "$@"
