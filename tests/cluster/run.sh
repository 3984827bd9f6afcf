#!/usr/bin/env bash
# Runs the tests on real clusters: Slurm, Ray and PostgreSQL on loopback (docs/how-to/development.md). As root it installs their
# packages by apt first; what is absent is skipped, with the reason. PYTHON chooses the interpreter.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

packages=(slurm-wlm slurmdbd munge mariadb-server postgresql)
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    missing=()
    for name in "${packages[@]}"; do
        dpkg -s "$name" >/dev/null 2>&1 || missing+=("$name")
    done
    if [ "${#missing[@]}" -gt 0 ]; then
        echo "== installing ${missing[*]}"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    fi
fi
DUPL_CLUSTER=1 exec "${PYTHON:-python3}" -m pytest tests/cluster -p no:cacheprovider "$@"
