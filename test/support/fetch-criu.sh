#!/bin/sh
# Unpacks CRIU of Debian's unstable suite with the libraries that it needs into the folder that is
# named, and a script that runs it with them: for tests, without installing anything. Stable's is
# too old for Linux 6.16 and newer.
set -eu
target=$1
[ -x "$target/criu" ] && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/root"
# Site and key of the main archive, not of its updates.
sources=$(apt-get indextargets --format '$(REPO_URI) $(SIGNED_BY)' 'Created-By: Packages' \
  'Component: main' | grep -v -- '-security' | sort -u | head -n 1)
site=${sources%% *}
key=${sources#* }
[ -n "$site" ] || { echo "apt has no Debian mirror" >&2; exit 1; }
[ -f "$key" ] || key=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$key] $site sid main" >"$work/sources.list"
apt() {
  apt-get -q -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::State::Lists="$work/lists" -o Dir::Cache::Archives="$work/archives" \
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Acquire::Languages=none \
    -o APT::Sandbox::User=root "$@"
}
apt update >/dev/null
(cd "$work" && apt download criu libaio1t64 libbrotli1 libbsd0 libc6 libcap2 libdrm2 libedit2 \
  libelf1t64 libffi8 libgmp10 libgnutls30t64 libhogweed6t64 libidn2-0 libjansson4 libmd0 libmnl0 \
  libnet9 libnettle8t64 libnftables1 libnftnl11 libnl-3-200 libnl-route-3-200 libp11-kit0 \
  libpcre2-8-0 libprotobuf-c1 libselinux1 libtasn1-6 libtinfo6 libunistring5 libuuid1 \
  libxtables12 libzstd1 zlib1g >/dev/null)
for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/root"; done
loader=$(cd "$work/root" && find usr/lib usr/lib64 -name 'ld-linux*.so.*' | head -n 1)
library=$(dirname "$(cd "$work/root" && find usr/lib -name libc.so.6 | head -n 1)")
mkdir -p "$target"
cp -a "$work/root" "$target/root"
here=$(cd "$target" && pwd)/root
cat >"$target/criu.new" <<END
#!/bin/sh
exec "$here/$loader" --library-path "$here/$library" "$here/usr/sbin/criu" "\$@"
END
chmod +x "$target/criu.new"
mv "$target/criu.new" "$target/criu"
