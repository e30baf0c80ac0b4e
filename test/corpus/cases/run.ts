// RUN: what a step sees, its mounts, and what stays of it.

import { type Case, type ContextFile, lines } from "../case.ts";

const FILES: Record<string, ContextFile> = { f: "f", "d/one": "1", "d/sub/two": "2" };
const of = (name: string, ...text: string[]): Case => ({
  name: `run-${name}`,
  files: FILES,
  dockerfile: lines("FROM base", ...text),
});
const failing = (name: string, ...text: string[]): Case => ({ ...of(name, ...text), fails: true });

export const run: Case[] = [
  of("shell", "RUN echo a && b"),
  of("exec", 'RUN ["/bin/sh", "a b", "$C"]'),
  of("env", "ENV A=1", "ARG B=2", "RUN x", "ENV A=3", "RUN y"),
  of("path", 'RUN ["sh", "x"]', 'RUN ["echo", "x"]'),
  {
    name: "run-no-path",
    dockerfile: lines(
      "FROM scratch",
      "COPY --from=base /bin/payload /bin/sh",
      "COPY --from=base /log /log",
      "WORKDIR /log",
      "RUN x",
    ),
  },
  of("home", "USER app", "RUN x", "USER 77", "RUN y"),
  of("user-files", "USER app", 'RUN ["/bin/write", "/log/mine", "x"]'),
  of("removes", 'RUN ["/bin/rm", "/full/one"]', 'RUN ["/bin/rm", "/tofull"]'),
  of("renames", 'RUN ["/bin/rename", "/full", "/moved"]'),
  of(
    "replaces",
    'RUN ["/bin/rm", "/tofull"]',
    'RUN ["/bin/mkdir", "/tofull"]',
    'RUN ["/bin/write", "/tofull/x", "x"]',
  ),
  of(
    "modes",
    'RUN ["/bin/chmod", "4755", "/full/one"]',
    'RUN ["/bin/chown", "5", "6", "/full/sub"]',
    'RUN ["/bin/chmod", "1777", "/full"]',
  ),
  of("links", 'RUN ["/bin/symlink", "a/b", "/l"]', 'RUN ["/bin/link", "/full/one", "/hard"]'),
  of("nothing", 'RUN ["/bin/true"]'),
  of("dev-null", 'RUN ["/bin/write", "/dev/null", "x"]', 'RUN ["/bin/write", "/dev/shm/x", "x"]'),
  of(
    "hosts",
    'RUN ["/bin/append", "/etc/hosts", "1.2.3.4 x"]',
    'RUN ["/bin/append", "/etc/resolv.conf", "# x"]',
  ),
  of("hostname-file", 'RUN ["/bin/write", "/etc/hostname", "mine"]'),
  failing("fails", 'RUN ["/bin/exit", "7"]'),
  failing("missing-program", 'RUN ["/nope"]'),
  failing("missing-program-path", 'RUN ["nope"]'),
  failing("not-executable", 'RUN ["/full/one"]'),
  failing("empty", "RUN"),
  of(
    "mount-bind",
    'RUN --mount=source=d,target=/m ["/bin/cat", "/m/one"]',
    'RUN --mount=type=bind,target=/m ["/bin/cat", "/m/f"]',
  ),
  of("mount-bind-file", 'RUN --mount=source=f,target=/full/one ["/bin/cat", "/full/one"]'),
  failing("mount-bind-read-only", 'RUN --mount=source=d,target=/m ["/bin/write", "/m/x", "x"]'),
  of(
    "mount-bind-rw",
    'RUN --mount=source=d,target=/m,rw ["/bin/write", "/m/x", "x"]',
    'RUN --mount=source=d,target=/m,readonly=false ["/bin/rm", "/m/one"]',
  ),
  of("mount-bind-from", 'RUN --mount=from=base,source=/full,target=/m ["/bin/cat", "/m/sub/two"]'),
  of("mount-bind-over", 'RUN --mount=source=d,target=/full ["/bin/ls", "/full"]'),
  of("mount-bind-relative", "WORKDIR /w", 'RUN --mount=source=d,target=rel ["/bin/ls", "rel"]'),
  of("mount-bind-point-deep", 'RUN --mount=source=d,target=/deep/er/m ["/bin/true"]'),
  of(
    "mount-bind-in-mount",
    'RUN --mount=source=d,target=/m --mount=source=f,target=/m/one ["/bin/cat", "/m/one"]',
  ),
  failing("mount-bind-missing", 'RUN --mount=source=nope,target=/m ["/bin/true"]'),
  failing("mount-no-target", "RUN --mount=type=bind,source=d x"),
  failing("mount-unknown-type", "RUN --mount=type=what,target=/m x"),
  failing("mount-unknown-key", "RUN --mount=type=bind,target=/m,wat=1 x"),
  failing("mount-variable-from", "ARG B=base", "RUN --mount=from=$B,target=/m x"),
  of("mount-tmpfs", 'RUN --mount=type=tmpfs,target=/t ["/bin/write", "/t/x", "x"]'),
  of("mount-tmpfs-size", 'RUN --mount=type=tmpfs,target=/t,size=8k ["/bin/write", "/t/x", "x"]'),
  of("mount-tmpfs-over", 'RUN --mount=type=tmpfs,target=/full ["/bin/ls", "/full"]'),
  of(
    "mount-cache",
    'RUN --mount=type=cache,target=/c,id=corpus-plain ["/bin/write", "/c/x", "x"]',
    'RUN --mount=type=cache,target=/c,id=corpus-plain ["/bin/cat", "/c/x"]',
  ),
  of(
    "mount-cache-owner",
    'RUN --mount=type=cache,target=/c,id=corpus-owner,uid=1000,gid=2000,mode=0700 ["/bin/stat", "/c"]',
    "USER app",
    'RUN --mount=type=cache,target=/c,id=corpus-owner,uid=1000,gid=2000,mode=0700 ["/bin/write", "/c/x", "x"]',
  ),
  failing(
    "mount-cache-read-only",
    'RUN --mount=type=cache,target=/c,id=corpus-ro,ro ["/bin/write", "/c/x", "x"]',
  ),
  of(
    "mount-cache-from",
    'RUN --mount=type=cache,target=/c,id=corpus-from,from=base,source=/full ["/bin/cat", "/c/sub/two"]',
  ),
  of(
    "mount-cache-sharing",
    'RUN --mount=type=cache,target=/c,sharing=locked,id=corpus-locked ["/bin/true"]',
    'RUN --mount=type=cache,target=/c,sharing=private,id=corpus-private ["/bin/true"]',
  ),
  failing("mount-cache-sharing-wrong", "RUN --mount=type=cache,target=/c,sharing=some x"),
  of(
    "mount-secret-absent",
    'RUN --mount=type=secret,id=s ["/bin/ls", "/"]',
    'RUN --mount=type=secret,id=s,env=S ["/bin/sh"]',
  ),
  failing("mount-secret-required", 'RUN --mount=type=secret,id=s,required ["/bin/true"]'),
  {
    ...of(
      "mount-secret",
      'RUN --mount=type=secret,id=s ["/bin/cat", "/run/secrets/s"]',
      'RUN --mount=type=secret,id=s,target=/t/x,mode=0444,uid=5,gid=6 ["/bin/stat", "/t/x"]',
      "RUN --mount=type=secret,id=s,env=S x",
      'RUN --mount=type=secret,id=s,env=S,target=/both ["/bin/cat", "/both"]',
      'RUN --mount=type=secret,target=/n/s ["/bin/cat", "/n/s"]',
    ),
    secrets: { s: "very secret" },
  },
  failing("mount-secret-nothing", "RUN --mount=type=secret x"),
  failing("mount-secret-from", "RUN --mount=type=secret,id=s,from=base x"),
  {
    ...of(
      "mount-ssh",
      'RUN --mount=type=ssh ["/bin/stat", "/run/buildkit/ssh_agent.0"]',
      'RUN --mount=type=ssh,target=/a/sock,mode=0666,uid=5,gid=6 ["/bin/stat", "/a/sock"]',
      "RUN --mount=type=ssh x",
    ),
    ssh: true,
  },
  of("mount-ssh-absent", "RUN --mount=type=ssh x"),
  failing("mount-ssh-required", 'RUN --mount=type=ssh,required ["/bin/true"]'),
  of("network-none", 'RUN --network=none ["/bin/true"]'),
  of("network-default", 'RUN --network=default ["/bin/true"]'),
  failing("network-host-refused", "RUN --network=host x"),
  failing("network-wrong", "RUN --network=bridge x"),
  { ...of("network-host", 'RUN --network=host ["/bin/true"]'), allow: ["network.host"] },
  of("security-sandbox", 'RUN --security=sandbox ["/bin/true"]'),
  failing("security-wrong", "RUN --security=what x"),
  { ...of("volume-files", "VOLUME /full", 'RUN ["/bin/write", "/full/kept", "x"]') },
];
