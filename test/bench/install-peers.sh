#!/bin/sh
# Installs Debian's docker.io, docker-registry, podman and iperf3 for test/bench/bench.ts to compare with,
# and starts none: the benchmark runs them with data roots, sockets and namespaces of its own.
set -eu
policy=/usr/sbin/policy-rc.d
made=
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  made=yes
fi
trap '[ -z "$made" ] || rm -f "$policy"' EXIT
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -yq --no-install-recommends docker.io docker-registry podman runc iptables containernetworking-plugins iperf3
