import assert from "node:assert/strict";
import { test } from "node:test";
import { digestOf } from "../spec/index.ts";
import { encodeImageConfig } from "./new-image.ts";

const created = new Date("2024-05-06T07:08:09.123Z");

test("a config has docker's members in docker's order", () => {
  const raw = encodeImageConfig({
    architecture: "amd64",
    os: "linux",
    created,
    comment: "Imported from -",
    config: { Cmd: ["sh"], Labels: { b: "<2>", a: "1" }, ExposedPorts: {} },
    diffIds: [digestOf("layer")],
    history: [{ comment: "Imported from -", created: created.toISOString() }],
    dockerVersion: "28.2.2",
  });
  assert.equal(
    Buffer.from(raw).toString(),
    '{"architecture":"amd64","comment":"Imported from -","config":{"Hostname":"",' +
      '"Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,' +
      '"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,' +
      '"Cmd":["sh"],"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,' +
      '"OnBuild":null,"Labels":{"a":"1","b":"\\u003c2\\u003e"}},' +
      '"created":"2024-05-06T07:08:09.123Z","docker_version":"28.2.2",' +
      '"history":[{"created":"2024-05-06T07:08:09.123Z","comment":"Imported from -"}],' +
      `"os":"linux","rootfs":{"type":"layers","diff_ids":["${digestOf("layer")}"]}}`,
  );
});
