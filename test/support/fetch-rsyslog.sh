#!/bin/sh
# Unpacks rsyslog with its TLS driver and what only it needs into the folder that is named: a real
# receiver for tests, of which nothing is installed or started on this machine.
set -eu
target=$1
[ -x "$target/usr/sbin/rsyslogd" ] && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
packages="rsyslog rsyslog-openssl libestr0 libfastjson4 liblognorm5"
download() { (cd "$work" && apt-get -q -o APT::Sandbox::User=root download $packages >/dev/null 2>&1); }
download || { apt-get -q update >/dev/null && download; }
mkdir -p "$target"
for package in "$work"/*.deb; do dpkg-deb -x "$package" "$target"; done
