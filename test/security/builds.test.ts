// Escapes by who may write a Dockerfile, a context or a base image: the steps, their mounts and the
// places that instructions write to (CVE-2024-23651, -23652, -23653, CVE-2019-13139).

import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { buffer } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { whyNoDaemon } from "../e2e/harness.ts";
import { payloadRootfs } from "../payload/payload.ts";
import { type RawEntry, rawTar } from "../support/raw-tar.ts";
import { Prison, SECRET } from "./prison.ts";

describe("escapes by builds", { skip: whyNoDaemon() }, () => {
  let prison: Prison;
  before(async () => {
    prison = await Prison.make();
    const links = await payloadRootfs([
      { type: "symlink", name: "out", linkname: prison.outside },
      { type: "symlink", name: "up", linkname: `../../../../../../..${prison.outside}` },
    ]);
    await prison.import("links:latest", links);
  });
  after(() => prison?.[Symbol.asyncDispose]());

  let count = 0;
  /** All that a build says, its error too. Nothing comes from the cache. */
  async function build(
    dockerfile: string,
    o: { files?: RawEntry[]; query?: Record<string, unknown> } = {},
  ): Promise<string> {
    const from = new PassThrough();
    from.end(rawTar({ name: "Dockerfile", content: dockerfile }, ...(o.files ?? [])));
    const query = { networkmode: "none", nocache: true, t: `built-${++count}`, ...o.query };
    try {
      const stream = await prison.docker.buildImage(from, query as { t: string });
      const lines = (await buffer(stream as unknown as PassThrough)).toString().trim().split("\n");
      return lines
        .map((line) => JSON.parse(line) as { stream?: string; error?: string })
        .map(({ stream: text = "", error = "" }) => text + error)
        .join("");
    } catch (error) {
      return String(error);
    }
  }

  const attempts = (said: string): [string, string][] =>
    said
      .split("\n")
      .filter((line) => line.includes("\t"))
      .map((line) => line.trim().split("\t") as [string, string]);

  test("a step can do no more to the kernel than a container", async () => {
    const steps = ["mounts", "namespaces", "surface"].map((verb) => `RUN ["attack", "${verb}"]`);
    const writes = ["/proc/sys/kernel/core_pattern", "/sys/kernel/uevent_helper"];
    const said = await build(
      `FROM attack\n${steps.join("\n")}\n` +
        `RUN ["attack", "write", "${writes[0]}", "|/x", "${writes[1]}", "/x"]\n` +
        'RUN ["attack", "device", "b", "253", "0"]\nRUN ["attack", "reads", "/proc/keys"]\n',
    );
    const tried = attempts(said);
    assert.ok(tried.length > 40, said);
    const got = tried.filter(([, how]) => !/^(E[A-Z0-9]+|empty)$/.test(how));
    assert.deepEqual(got, [], said);
  });

  test("what is tidied up after a step's mounts is never of the host", async () => {
    const mounts =
      "--mount=type=cache,target=/made/folder " +
      "--mount=type=bind,from=attack,source=/etc/passwd,target=/made/secret " +
      "--mount=type=tmpfs,target=/made/other";
    for (const target of [prison.outside, `../../../../../..${prison.outside}`]) {
      const said = await build(
        `FROM attack\nRUN ${mounts} ["attack", "replace", "/made", "${target}"]\nRUN ["true"]\n`,
      );
      assert.match(said, /rename\tdone/);
      await prison.untouched();
    }
  });

  test("a part of a cache that another step swaps leads nowhere", async () => {
    const cache = "--mount=type=cache,id=swapped,target=/cache";
    await build(
      `FROM attack\nRUN ${cache} ["mkdir", "/cache/real"]\n` +
        `RUN ${cache} ["attack", "replace", "/cache/link", "${prison.outside}"]\n`,
    );
    const swapping = build(
      `FROM attack\nRUN ${cache} ["attack", "swaps", "200000", "/cache/real", "/cache/link"]\n`,
    );
    for (let i = 0; i < 6; i++) {
      const part = "--mount=type=cache,id=swapped,source=real,target=/part";
      const said = await build(
        `FROM attack\nRUN ${part} ["attack", "reads", "/part/secret"]\n` +
          `RUN ${part} ["attack", "write", "/part/secret", "x"]\n`,
      );
      assert.ok(!said.includes(SECRET), said);
      await prison.untouched();
    }
    assert.match(await swapping, /swapped/);
    await prison.untouched();
  });

  test("a mount's source that leads out of its stage or context brings nothing", async () => {
    const climb = `../../../../../../../..${prison.outside}`;
    const sources = [
      `from=links,source=/out`,
      `from=links,source=/up`,
      `from=links,source=/out/secret`,
      `source=${climb}`,
      `source=link`,
      `source=link/secret`,
    ];
    const files = [{ name: "link", type: "2", link: prison.outside }];
    for (const source of sources) {
      const said = await build(
        `FROM attack\nRUN --mount=type=bind,${source},target=/x ["attack", "reads", "/x", "/x/secret"]\n`,
        { files },
      );
      assert.ok(!said.includes(SECRET), said);
    }
    for (const id of [`${climb}/folder`, "/", ".."]) {
      const mount = `--mount=type=cache,id=${id},target=/c`;
      await build(`FROM attack\nRUN ${mount} ["write", "/c/evil", "x"]\n`);
      await prison.untouched();
    }
  });

  test("instructions write through a base's links only below its root", async () => {
    const evil = rawTar({ name: "evil", content: "x" }, { name: "secret", content: "x" });
    const files: RawEntry[] = [
      { name: "secret", content: "of the context" },
      { name: "evil.tar", content: evil },
      { name: "evil.tgz", content: gzipSync(evil) },
      { name: "folder/secret", content: "of the context" },
    ];
    for (const link of ["out", "up"]) {
      for (const line of [
        `COPY secret /${link}/secret`,
        `COPY secret /${link}/`,
        `COPY --chown=1000:1000 folder /${link}`,
        `COPY --chmod=0777 folder/ /${link}/`,
        `ADD evil.tar /${link}/`,
        `ADD evil.tgz /${link}`,
        `WORKDIR /${link}/evil`,
        `VOLUME /${link}`,
        `COPY --link secret /${link}/secret`,
      ]) {
        await build(`FROM links\n${line}\nRUN ["true"]\n`, { files });
        await prison.untouched();
      }
    }
  });

  test("what a context names outside of itself is not read", async () => {
    const climb = `../../../../../../../..${prison.outside}`;
    const files: RawEntry[] = [
      { name: "link", type: "2", link: `${prison.outside}/secret` },
      { name: "up", type: "2", link: `${climb}/secret` },
      { name: "inside", content: "of the context" },
      { name: ".dockerignore", type: "2", link: `${prison.outside}/secret` },
    ];
    const lines = ["COPY link /x", "COPY up /x", `COPY ${climb}/secret /x`, "COPY * /x/"];
    lines.push("COPY --from=links /out/secret /x", "COPY --from=links /up/secret /x");
    for (const line of lines) {
      const said = await build(`FROM attack\n${line}\nRUN ["attack", "reads", "/x"]\n`, { files });
      assert.ok(!said.includes(SECRET), said);
    }
    const proof = await build('FROM attack\nCOPY inside /x\nRUN ["attack", "reads", "/x"]\n', {
      files,
    });
    assert.match(proof, /\/x\tof the context/);
    const hard = [{ name: "hard", type: "1", link: `${climb}/secret` }];
    const linked = await build('FROM attack\nCOPY hard /x\nRUN ["attack", "reads", "/x"]\n', {
      files: hard,
    });
    assert.ok(!linked.includes(SECRET), linked);
    for (const dockerfile of [`${climb}/secret`, `${prison.outside}/secret`, "link", "up"]) {
      const said = await build("FROM attack\n", { files, query: { dockerfile } });
      assert.ok(!said.includes(SECRET), said);
    }
    await prison.untouched();
  });

  test("an address of a context is never an option or a command", async () => {
    const mark = `${prison.outside}/evil`;
    for (const remote of [
      `ext::sh -c touch% ${mark}`,
      `git@127.0.0.1:1/x.git#--upload-pack=touch ${mark};:x`,
      `git://127.0.0.1:1/x.git#--output=${mark}`,
      `ssh://-oProxyCommand=touch%20${mark}/x.git`,
      `file://${prison.outside}`,
      `${prison.outside}`,
      `git+file://${prison.outside}.git`,
    ]) {
      const said = await build("FROM attack\n", { query: { remote } });
      assert.ok(!said.includes("Successfully"), `${remote}: ${said}`);
      await prison.untouched();
    }
  });
});
