// Access to a registry over real HTTP: password files, the token service, rules, limits, and what
// hostile clients send. skopeo logs in, pushes and pulls where it is installed.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { decodeJwt, decodeProtectedHeader } from "jose";
import {
  type AccessRegistry,
  type Answer,
  call,
  passwords,
  pushImage,
  startAccessRegistry,
} from "../support/registry-access-fixture.ts";

const run = promisify(execFile);

function codeOf(answer: Answer): string {
  return `${answer.status} ${answer.json?.errors?.[0]?.code}: ${answer.json?.errors?.[0]?.message}`;
}

describe("a registry with a password file", () => {
  let registry: AccessRegistry;
  before(async () => {
    registry = await startAccessRegistry("htpasswd");
    await pushImage(registry, "team/app", "1", { user: "ann" });
    await pushImage(registry, "public/app", "1", { user: "ann" });
  });
  after(() => registry.close());

  test("who is nobody hears how to log in, and who is wrong hears that", async () => {
    const nobody = await call(registry, "/v2/");
    assert.equal(codeOf(nobody), "401 UNAUTHORIZED: authentication required");
    assert.equal(nobody.headers["www-authenticate"], 'Basic realm="Registry"');
    assert.equal((await call(registry, "/v2/", { user: "ann" })).status, 200);
    for (const wrong of [
      ["ann", "wrong"],
      ["nobody", "x"],
      ["ann", ""],
    ] as const) {
      const answer = await call(registry, "/v2/", { user: [...wrong] });
      assert.equal(codeOf(answer), "401 UNAUTHORIZED: incorrect username or password");
    }
    const open = await call(registry, "/v2/public/app/tags/list", { user: ["ann", "wrong"] });
    assert.equal(open.status, 401, "wrong credentials are refused even where nobody is let in");
  });

  test("rules decide: nobody 401, somebody 403", async () => {
    const tags = async (name: string, user?: "ann" | "bob" | "eve") =>
      codeOf(await call(registry, `/v2/${name}/tags/list`, user ? { user } : {}));
    assert.match(await tags("public/app"), /^200/);
    assert.match(await tags("team/app", "bob"), /^200/);
    assert.equal(await tags("team/app"), "401 UNAUTHORIZED: authentication required");
    assert.equal(
      await tags("team/app", "eve"),
      "403 DENIED: requested access to the resource is denied",
    );
    // Without a detail docker's client would push again for a minute.
    const refusals = [
      await call(registry, "/v2/team/app/tags/list", { user: "eve" }),
      await call(registry, "/v2/team/app/tags/list"),
      await call(registry, "/v2/", { user: ["ann", "wrong"] }),
    ];
    for (const { json } of refusals) assert.equal(typeof json.errors[0].detail, "object");
    const upload = (user: "ann" | "bob") =>
      call(registry, "/v2/team/app/blobs/uploads/", { method: "POST", user });
    assert.equal((await upload("ann")).status, 202);
    assert.equal((await upload("bob")).status, 403);
    const catalog = (user: "ann" | "root") => call(registry, "/v2/_catalog", { user });
    assert.equal((await catalog("ann")).status, 403);
    assert.deepEqual((await catalog("root")).json.repositories, ["public/app", "team/app"]);
  });

  test("deleting needs the action of its own", async () => {
    const digest = await pushImage(registry, "team/gone", "1", { user: "ann" });
    const remove = (user: "ann" | "bob") =>
      call(registry, `/v2/team/gone/manifests/${digest}`, { method: "DELETE", user });
    assert.equal((await remove("bob")).status, 403);
    assert.equal((await remove("ann")).status, 202);
  });

  test("a mount needs to read the source; without it the client uploads", async () => {
    const digest = `sha256:${"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}`;
    await pushImage(registry, "secret/app", "1", { user: "root" });
    const mount = (from: string) =>
      call(registry, `/v2/team/other/blobs/uploads/?mount=${digest}&from=${from}`, {
        method: "POST",
        user: "ann",
      });
    assert.equal((await mount("secret/app")).status, 202);
    assert.equal((await mount("team/app")).status, 201);
  });

  test("a changed password file holds without a restart; a broken one changes nothing", async () => {
    const file = join(registry.folder, "htpasswd");
    const good = await readFile(file, "utf8");
    await registry.writeUsers({ ...passwords, root: "toor", zoe: "new" });
    await eventually(
      async () => (await call(registry, "/v2/", { user: ["zoe", "new"] })).status === 200,
    );
    await writeFile(file, "zoe:{SHA}broken\n");
    await new Promise((resolve) => setTimeout(resolve, 1100));
    assert.equal((await call(registry, "/v2/", { user: "ann" })).status, 200);
    await writeFile(file, good);
    await eventually(
      async () => (await call(registry, "/v2/", { user: ["zoe", "new"] })).status === 401,
    );
  });

  test("guessing ends with 429 and the time to wait, for that address alone", async () => {
    const guarded = await startAccessRegistry("htpasswd", {
      access: {
        rateLimits: { failedLogins: { perSecond: 0.01, burst: 3 } },
        trustedProxies: ["127.0.0.1"],
      },
    });
    try {
      const guess = (password: string, address: string) =>
        call(guarded, "/v2/", {
          user: ["ann", password],
          headers: { "x-forwarded-for": address },
        });
      for (const guessed of ["a", "b", "c"]) {
        assert.equal((await guess(guessed, "203.0.113.1")).status, 401);
      }
      const limited = await guess(passwords.ann, "203.0.113.1");
      assert.match(codeOf(limited), /^429 TOOMANYREQUESTS/);
      assert.ok(Number(limited.headers["retry-after"]) > 1);
      assert.equal((await guess(passwords.ann, "203.0.113.2")).status, 200);
      const many = Array.from({ length: 30 }, (_, at) => guess(`at once ${at}`, "203.0.113.3"));
      const statuses = (await Promise.all(many)).map(({ status }) => status);
      assert.ok(statuses.filter((status) => status === 401).length < 10, String(statuses));
    } finally {
      await guarded.close();
    }
  });
});

describe("a registry with the built-in token service", () => {
  let registry: AccessRegistry;
  before(async () => {
    registry = await startAccessRegistry("token");
    await pushImage(registry, "team/app", "1", { user: "ann" });
    await pushImage(registry, "public/app", "1", { user: "ann" });
  });
  after(() => registry.close());

  const token = async (
    query: Record<string, string>,
    options: Parameters<typeof call>[2] = {},
  ): Promise<Answer> => call(registry, `/token?${new URLSearchParams(query)}`, options);
  const tokenFor = async (scope: string, user?: "ann" | "bob" | "eve"): Promise<string> =>
    (await token({ service: registry.host, scope }, user ? { user } : {})).json.token;

  test("the challenge leads to a token, and the token in", async () => {
    const nobody = await call(registry, "/v2/team/app/tags/list");
    assert.equal(codeOf(nobody), "401 UNAUTHORIZED: authentication required");
    assert.equal(
      nobody.headers["www-authenticate"],
      `Bearer realm="http://${registry.host}/token",service="${registry.host}",scope="repository:team/app:pull"`,
    );
    const answer = await token(
      { service: registry.host, scope: "repository:team/app:pull,push", account: "bob" },
      { user: "bob" },
    );
    assert.equal(answer.status, 200);
    assert.equal(answer.headers["cache-control"], "no-store");
    assert.equal(answer.json.token, answer.json.access_token);
    assert.equal(answer.json.expires_in, 300);
    assert.equal(answer.json.scope, "repository:team/app:pull", "what the rules allow of it");
    assert.equal(answer.json.refresh_token, undefined);
    const claims = decodeJwt(answer.json.token);
    assert.equal(claims.iss, "gantry registry");
    assert.equal(claims.aud, registry.host);
    assert.equal(claims.sub, "bob");
    assert.deepEqual(claims["access"], [
      { type: "repository", name: "team/app", actions: ["pull"] },
    ]);
    assert.equal(decodeProtectedHeader(answer.json.token).alg, "ES256");
    const inside = await call(registry, "/v2/team/app/tags/list", { token: answer.json.token });
    assert.equal(inside.status, 200);
  });

  test("nobody pulls what is public with an anonymous token, or without any", async () => {
    assert.equal((await call(registry, "/v2/")).status, 401, "docker needs the challenge here");
    const anonymous = await tokenFor("repository:public/app:pull,push");
    assert.equal((await call(registry, "/v2/", { token: anonymous })).status, 200);
    const read = (options: object) => call(registry, "/v2/public/app/manifests/1", options);
    assert.equal((await read({ token: anonymous })).status, 200);
    assert.equal((await read({})).status, 200);
  });

  test("a token of too little scope is told which scope, until no token would do", async () => {
    const weak = await tokenFor("repository:team/app:pull", "ann");
    const upload = (bearer: string) =>
      call(registry, "/v2/team/app/blobs/uploads/", { method: "POST", token: bearer });
    const refused = await upload(weak);
    assert.equal(codeOf(refused), "401 UNAUTHORIZED: the token does not allow this");
    assert.match(
      refused.headers["www-authenticate"]!,
      /scope="repository:team\/app:pull,push",error="insufficient_scope"$/,
    );
    assert.equal(
      (await upload(await tokenFor("repository:team/app:pull,push", "ann"))).status,
      202,
    );
    const bob = await upload(await tokenFor("repository:team/app:pull,push", "bob"));
    assert.equal(codeOf(bob), "403 DENIED: requested access to the resource is denied");
    const anonymous = await upload(await tokenFor("repository:team/app:pull,push"));
    assert.equal(anonymous.status, 401, "who is nobody may still log in");
  });

  test("a wrong password is no anonymous token", async () => {
    const wrong = await token({ service: "x" }, { user: ["ann", "wrong"] });
    assert.equal(codeOf(wrong), "401 UNAUTHORIZED: incorrect username or password");
    const odd = await token({ service: "x" }, { headers: { authorization: "Basic %%%" } });
    assert.equal(odd.status, 401);
  });

  test("a refresh token stands for the password until it is revoked or the password changes", async () => {
    const own = await startAccessRegistry("token");
    try {
      const login = (grant: Record<string, string>) =>
        call(own, "/token", { method: "POST", body: { service: own.host, ...grant } });
      const first = await login({
        grant_type: "password",
        username: "ann",
        password: passwords.ann,
        access_type: "offline",
        scope: "repository:team/app:push",
      });
      const refresh_token: string = first.json.refresh_token;
      const again = { grant_type: "refresh_token", refresh_token };
      const second = await login({ ...again, scope: "repository:team/app:pull repository:x:pull" });
      assert.equal(second.status, 200);
      assert.equal(second.json.scope, "repository:team/app:pull");
      assert.equal(second.json.refresh_token, refresh_token);
      assert.equal((await call(own, "/v2/", { token: second.json.access_token })).status, 200);
      assert.equal((await call(own, "/v2/", { token: refresh_token })).status, 401);
      const access = { grant_type: "refresh_token", refresh_token: second.json.access_token };
      assert.equal((await login(access)).status, 401, "an access token is no refresh token");

      const revoked = await login({ ...first.json, grant_type: "password" });
      assert.equal(revoked.status, 401);
      await call(own, "/token/revoke", { method: "POST", body: { token: refresh_token } });
      const refused = await login(again);
      assert.equal(refused.status, 401);
      assert.equal(refused.json.error, "invalid_grant");

      const other = await call(own, "/token?offline_token=true", { user: "bob" });
      const bob = { grant_type: "refresh_token", refresh_token: other.json.refresh_token };
      assert.equal((await login(bob)).status, 200);
      await own.writeUsers({ ...passwords, bob: "changed" });
      await eventually(async () => (await login(bob)).status === 401);
    } finally {
      await own.close();
    }
  });

  test("keys are made once, private to their owner, and published without their secrets", async () => {
    const file = join(registry.folder, "keys.json");
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const { keys } = (await call(registry, "/token/keys")).json;
    assert.equal(keys.length, 1);
    assert.equal(keys[0].d, undefined);
    assert.deepEqual(Object.keys(keys[0]).sort(), ["alg", "crv", "kid", "kty", "use", "x", "y"]);
  });

  test("after a rotation old tokens hold and new ones have the new key; RS256 works too", async () => {
    const own = await startAccessRegistry("token", { token: { algorithm: "RS256" } });
    try {
      const ask = async (): Promise<string> =>
        (await call(own, "/token", { user: "ann" })).json.token;
      const before = await ask();
      assert.equal(decodeProtectedHeader(before).alg, "RS256");
      await own.access.tokens!.keys.rotate({ force: true });
      const behind = await ask();
      assert.notEqual(decodeProtectedHeader(before).kid, decodeProtectedHeader(behind).kid);
      for (const each of [before, behind]) {
        assert.equal((await call(own, "/v2/", { token: each })).status, 200);
      }
      assert.equal((await call(own, "/token/keys")).json.keys.length, 2);
    } finally {
      await own.close();
    }
  });

  test("a key rotates when its days are over, and goes when all it signed has expired", async () => {
    let now = Date.now();
    const day = 86_400_000;
    const own = await startAccessRegistry("token", { now: () => now, token: { rotateDays: 10 } });
    try {
      const kid = async (): Promise<string> =>
        decodeProtectedHeader((await call(own, "/token", { user: "ann" })).json.token).kid!;
      const first = await kid();
      now += 9 * day;
      assert.equal(await kid(), first);
      now += 2 * day;
      const second = await kid();
      assert.notEqual(second, first);
      now += 11 * day;
      await kid();
      const known = async (): Promise<string[]> =>
        (await call(own, "/token/keys")).json.keys.map((key: { kid: string }) => key.kid);
      assert.ok(
        (await known()).includes(first),
        "refresh tokens of thirty days may still be about",
      );
      now += 31 * day;
      await kid();
      assert.ok(!(await known()).includes(first));
    } finally {
      await own.close();
    }
  });

  test("an expired token is refused with invalid_token and the scope for the next", async () => {
    let now = Date.now();
    const own = await startAccessRegistry("token", { now: () => now });
    try {
      const made: string = (await call(own, "/token?scope=repository:team/a:pull", { user: "ann" }))
        .json.token;
      now += 600_000;
      const late = await call(own, "/v2/team/a/tags/list", { token: made });
      assert.equal(codeOf(late), "401 UNAUTHORIZED: the token has expired");
      assert.match(
        late.headers["www-authenticate"]!,
        /scope="repository:team\/a:pull",error="invalid_token"/,
      );
    } finally {
      await own.close();
    }
  });

  test("two processes that start at once share one key", async () => {
    const { SigningKeys } = await import("../../src/registry/access/signing-keys.ts");
    const { silentLogger: logger } = await import("../../src/base/index.ts");
    const file = join(registry.folder, "shared-keys.json");
    const all = Array.from(
      { length: 5 },
      () => new SigningKeys({ file, retireSeconds: 1, logger }),
    );
    await Promise.all(all.map((keys) => keys.open()));
    const ids = await Promise.all(all.map(async (keys) => (await keys.signing()).kid));
    assert.equal(new Set(ids).size, 1);
    await all[0]!.rotate({ force: true });
    const { kid } = await all[0]!.signing();
    assert.equal((await all[4]!.find(kid))?.kid, kid, "a key of a moment ago is found");
  });

  test("hostile requests get a clear refusal, never a 500", async () => {
    const tries: [string, Parameters<typeof call>[2]][] = [
      ["/v2/", { headers: { authorization: `Bearer ${"a".repeat(12_000)}` } }],
      ["/v2/", { headers: { authorization: `Basic ${"A".repeat(12_000)}` } }],
      ["/v2/", { token: "a.b.c" }],
      ["/v2/", { token: "eyJhbGciOiJub25lIn0.e30." }],
      ["/v2/", { token: `${"eyJ".repeat(1000)}.${"A".repeat(1000)}.A` }],
      ["/v2/", { headers: { authorization: "Negotiate abc" } }],
      ["/v2/", { user: ["__proto__", "x"] }],
      ["/v2/", { user: ["ann", "\0".repeat(10)] }],
      ["/v2/", { user: ["ann", "p".repeat(5000)] }],
      ["/token", { method: "POST", body: "{}", headers: { "content-type": "application/json" } }],
      ["/token", { method: "POST", body: { grant_type: "x" } }],
      ["/token", { method: "POST", body: { grant_type: "refresh_token", refresh_token: "x" } }],
      ["/token", { method: "POST", body: { grant_type: "password" } }],
      ["/token", { method: "POST", body: { scope: "x".repeat(100_000) } }],
      ["/token", { method: "PUT" }],
    ];
    for (const [path, options] of tries) {
      const answer = await call(registry, path, options);
      assert.ok(answer.status >= 400 && answer.status < 500, `${path} ${answer.status}`);
      assert.ok(answer.json?.errors?.[0]?.code, answer.text);
    }
    const scopes = Array.from({ length: 150 }, (_, at) => `scope=repository:a${at}:*`).join("&");
    assert.equal((await call(registry, `/token?${scopes}&scope=::&scope=%00`)).status, 200);
  });

  test("headers beyond all measure end the connection, not the server", async () => {
    const socket = connect(registry.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.write(`GET /v2/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${"a".repeat(30_000)}`);
    let text = "";
    for await (const chunk of socket as AsyncIterable<Buffer>) text += chunk.toString();
    assert.match(text, /^HTTP\/1\.1 431 /);
    assert.equal((await call(registry, "/v2/", { user: "ann" })).status, 200);
  });

  test("a user who asks too often waits, others do not", async () => {
    const own = await startAccessRegistry("token", {
      access: { rateLimits: { perUser: { perSecond: 0.01, burst: 2 } } },
    });
    try {
      const ask = async (user: "ann" | "bob") => (await call(own, "/v2/", { user })).status;
      assert.deepEqual([await ask("ann"), await ask("ann"), await ask("ann")], [200, 200, 429]);
      assert.equal(await ask("bob"), 200);
    } finally {
      await own.close();
    }
  });
});

describe("skopeo against the access control", { skip: await whyNoSkopeo() }, () => {
  for (const type of ["htpasswd", "token"] as const) {
    test(`logs in, pushes and pulls with ${type}`, async () => {
      const registry = await startAccessRegistry(type);
      try {
        await pushImage(registry, "team/app", "1", { user: "ann" });
        const auth = ["--authfile", join(registry.folder, "auth.json")];
        const skopeo = (...args: string[]) => run("skopeo", args);
        const login = (password: string) =>
          skopeo(
            "login",
            ...auth,
            "--tls-verify=false",
            "-u",
            "ann",
            "-p",
            password,
            registry.host,
          );
        await assert.rejects(login("wrong"), /invalid username\/password/);
        assert.match((await login(passwords.ann)).stdout, /Login Succeeded/);
        const from = `docker://${registry.host}/team/app:1`;
        const to = `docker://${registry.host}/public/copy:2`;
        const plain = ["--src-tls-verify=false", "--dest-tls-verify=false"];
        await skopeo("copy", ...auth, ...plain, from, to);
        const anonymous = ["inspect", "--raw", "--tls-verify=false"];
        const none = ["--authfile", join(registry.folder, "none.json")];
        assert.match((await skopeo(...anonymous, ...none, to)).stdout, /schemaVersion/);
        await assert.rejects(skopeo(...anonymous, ...none, from), /unauthorized|denied/);
        const denied = `docker://${registry.host}/forbidden/copy:2`;
        await assert.rejects(
          skopeo("copy", ...auth, ...plain, from, denied),
          /403 \(Forbidden\)|denied/,
        );
      } finally {
        await registry.close();
      }
    });
  }
});

async function whyNoSkopeo(): Promise<string | false> {
  return run("skopeo", ["--version"]).then(
    () => false as const,
    () => "needs skopeo",
  );
}

async function eventually(condition: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.fail("it did not come about");
}
