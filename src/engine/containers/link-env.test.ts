import assert from "node:assert/strict";
import { test } from "node:test";
import { linkEnv } from "./link-env.ts";

test("a link's variables have docker's names", () => {
  const env = linkEnv({
    alias: "my-db",
    linkName: "/app/my-db",
    address: "172.17.0.2",
    ports: [
      { number: 53, protocol: "udp" },
      { number: 5443, protocol: "tcp" },
      { number: 5432, protocol: "tcp" },
    ],
    env: ["PATH=/bin", "HOME=/", "A=b=c", "NOTHING"],
  });
  assert.deepEqual(env, [
    "MY_DB_PORT=tcp://172.17.0.2:5432",
    "MY_DB_PORT_5432_TCP=tcp://172.17.0.2:5432",
    "MY_DB_PORT_5432_TCP_ADDR=172.17.0.2",
    "MY_DB_PORT_5432_TCP_PORT=5432",
    "MY_DB_PORT_5432_TCP_PROTO=tcp",
    "MY_DB_PORT_5443_TCP=tcp://172.17.0.2:5443",
    "MY_DB_PORT_5443_TCP_ADDR=172.17.0.2",
    "MY_DB_PORT_5443_TCP_PORT=5443",
    "MY_DB_PORT_5443_TCP_PROTO=tcp",
    "MY_DB_PORT_53_UDP=udp://172.17.0.2:53",
    "MY_DB_PORT_53_UDP_ADDR=172.17.0.2",
    "MY_DB_PORT_53_UDP_PORT=53",
    "MY_DB_PORT_53_UDP_PROTO=udp",
    "MY_DB_NAME=/app/my-db",
    "MY_DB_ENV_A=b=c",
  ]);
});

test("two ports and more in a row are told as a range too", () => {
  const ports = [80, 81, 82, 90, 91, 93].map((number) => ({ number, protocol: "tcp" }));
  const env = linkEnv({ alias: "w", linkName: "/a/w", address: "10.0.0.2", ports, env: [] });
  assert.deepEqual(
    env.filter((line) => /_(START|END)=/.test(line)),
    [
      "W_PORT_80_TCP_START=tcp://10.0.0.2:80",
      "W_PORT_80_TCP_PORT_START=80",
      "W_PORT_80_TCP_END=tcp://10.0.0.2:82",
      "W_PORT_80_TCP_PORT_END=82",
      "W_PORT_90_TCP_START=tcp://10.0.0.2:90",
      "W_PORT_90_TCP_PORT_START=90",
      "W_PORT_90_TCP_END=tcp://10.0.0.2:91",
      "W_PORT_90_TCP_PORT_END=91",
    ],
  );
});
