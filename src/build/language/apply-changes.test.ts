import assert from "node:assert/strict";
import { test } from "node:test";
import { applyChanges } from "./apply-changes.ts";

function change(...lines: string[]) {
  return applyChanges({ Env: ["HOME=/root"] }, lines);
}

test("commands take the exec form and the shell form", () => {
  assert.deepEqual(change('CMD ["a", "b c"]').Cmd, ["a", "b c"]);
  assert.deepEqual(change("cmd echo $HOME").Cmd, ["/bin/sh", "-c", "echo $HOME"]);
  assert.deepEqual(change("CMD [not json]").Cmd, ["/bin/sh", "-c", "[not json]"]);
  assert.deepEqual(applyChanges({ Shell: ["zsh", "-c"] }, ["CMD x"]).Cmd, ["zsh", "-c", "x"]);
});

test("an entrypoint drops a command that was not given with it", () => {
  assert.equal(applyChanges({ Cmd: ["old"] }, ['ENTRYPOINT ["e"]']).Cmd, null);
  assert.deepEqual(change("CMD c", 'ENTRYPOINT ["e"]').Cmd, ["/bin/sh", "-c", "c"]);
});

test("variables are set, replaced, quoted and expanded", () => {
  assert.deepEqual(change("ENV A=1 B='x y' C=\"$HOME/c\" D=a\\ b").Env, [
    "HOME=/root",
    "A=1",
    "B=x y",
    "C=/root/c",
    "D=a b",
  ]);
  assert.deepEqual(change("ENV HOME  /home/me here").Env, ["HOME=/home/me here"]);
  const [dollar] = "$";
  const line = `ENV X=${dollar}{NONE:-d}${dollar}{HOME:+set}$$`;
  assert.deepEqual(change(line).Env?.at(-1), "X=dset");
  assert.deepEqual(change("ENV A='$HOME'").Env?.at(-1), "A=$HOME");
  assert.throws(() => change("ENV A"), /ENV must have two arguments/);
  assert.throws(() => change("ENV A=1 B"), /can't find = in "B"/);
});

test("labels, users, folders, volumes and signals", () => {
  const config = change(
    'LABEL a=b "c d"="e f"',
    "USER 1000:1000",
    "WORKDIR /srv",
    "WORKDIR app/../web",
    'VOLUME ["/data"]',
    "VOLUME /a /b",
    "STOPSIGNAL SIGQUIT",
    "ONBUILD RUN true",
  );
  assert.deepEqual(config.Labels, { a: "b", "c d": "e f" });
  assert.equal(config.User, "1000:1000");
  assert.equal(config.WorkingDir, "/srv/web");
  assert.deepEqual(config.Volumes, { "/data": {}, "/a": {}, "/b": {} });
  assert.equal(config.StopSignal, "SIGQUIT");
  assert.deepEqual(config.OnBuild, ["RUN true"]);
  assert.throws(() => change("ONBUILD FROM x"), /FROM isn't allowed as an ONBUILD trigger/);
});

test("ports may be ranges and have a protocol", () => {
  const { ExposedPorts } = change("EXPOSE 80 53/udp 8000-8002");
  assert.deepEqual(Object.keys(ExposedPorts ?? {}), [
    "53/udp",
    "80/tcp",
    "8000/tcp",
    "8001/tcp",
    "8002/tcp",
  ]);
  assert.throws(() => change("EXPOSE 99999"), /invalid containerPort: 99999/);
  assert.throws(() => change("EXPOSE 1/icmp"), /invalid proto: icmp/);
});

test("health checks have flags, forms and an off switch", () => {
  assert.deepEqual(change("HEALTHCHECK --interval=5s --retries=3 CMD curl -f x").Healthcheck, {
    Test: ["CMD-SHELL", "curl -f x"],
    Interval: 5_000_000_000,
    Retries: 3,
  });
  assert.deepEqual(change('HEALTHCHECK CMD ["true"]').Healthcheck, { Test: ["CMD", "true"] });
  assert.deepEqual(change("HEALTHCHECK NONE").Healthcheck, { Test: ["NONE"] });
  assert.throws(() => change("HEALTHCHECK RUN x"), /Unknown type "RUN" in HEALTHCHECK/);
});

test("what would need a build is refused in docker's words", () => {
  assert.throws(() => change("RUN true"), {
    kind: "invalid",
    message: /RUN is not a valid change/,
  });
  assert.throws(() => change("FROM x"), /FROM is not a valid change command/);
});

test("the config that is given is not changed", () => {
  const config = { Labels: { a: "1" } };
  applyChanges(config, ["LABEL a=2"]);
  assert.deepEqual(config, { Labels: { a: "1" } });
});
