#!/bin/sh
# Unpacks the stock buildx and compose plugins of Debian's testing suite, and a docker CLI of their
# age, into the folder that is named: for tests, without installing anything. The mirror is the one
# that this machine's apt is set up with.
set -eu
target=$1
[ -x "$target/docker-buildx" ] && [ -x "$target/docker-compose" ] && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$target" "$work/lists/partial" "$work/archives/partial" "$work/root"
# Site and key of the main archive, not of its updates.
sources=$(apt-get indextargets --format '$(REPO_URI) $(SIGNED_BY)' 'Created-By: Packages' \
  'Component: main' | grep -v -- '-security' | sort -u | head -n 1)
site=${sources%% *}
key=${sources#* }
[ -n "$site" ] || { echo "apt has no Debian mirror" >&2; exit 1; }
[ -f "$key" ] || key=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$key] $site testing main" >"$work/sources.list"
apt() {
  apt-get -q -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::State::Lists="$work/lists" -o Dir::Cache::Archives="$work/archives" \
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Acquire::Languages=none \
    -o APT::Sandbox::User=root "$@"
}
apt update >/dev/null
(cd "$work" && apt download docker-buildx docker-compose docker-cli >/dev/null)
for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/root"; done
for program in docker docker-buildx docker-compose; do
  found=$(find "$work/root/usr" -type f -perm -u+x -name "$program" | head -n 1)
  [ -z "$found" ] || cp "$found" "$target/$program"
done
