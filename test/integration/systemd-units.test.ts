// systemd's manager on a bus of the test's own: what a long-lived daemon does when its bus ends.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import dbus from "dbus-native";
import { SystemdUnits } from "../../src/systemd/index.ts";

const MANAGER = ["/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"] as const;

/** A bus with a manager that answers; it begins jobs that nobody does. */
async function openBus(socket: string) {
  const broker = dbus.createBroker();
  await new Promise<void>((resolve) => broker.listen({ socket }, () => resolve()));
  const manager = dbus.createClient({ busAddress: `unix:path=${socket}` });
  manager.connection.on("error", () => {}); // the bus ends with it
  const heard: string[] = [];
  const answer = (member: string, signature: string, result: () => unknown) => {
    const handler = () => {
      heard.push(member);
      return result();
    };
    manager.setMethodCallHandler(...MANAGER, member, [handler, signature]);
  };
  answer("Subscribe", "", () => undefined);
  answer("SetUnitProperties", "", () => undefined);
  answer("StopUnit", "o", () => "/org/freedesktop/systemd1/job/1");
  await manager.requestName("org.freedesktop.systemd1", 0);
  const close = () => new Promise<void>((resolve) => broker.close(() => resolve()));
  return { heard, close };
}

test("units outlive the bus: who waits is told, and the next call connects anew", async () => {
  const folder = await mkdtemp(join(tmpdir(), "gantry-bus-"));
  const socket = join(folder, "socket");
  process.env["DBUS_SYSTEM_BUS_ADDRESS"] = `unix:path=${socket}`;
  const limits = [{ file: "pids.max", value: "7" }];
  let bus = await openBus(socket);
  try {
    await using units = await SystemdUnits.connect({ holder: "/none", booted: folder });
    await units.setLimits("a.scope", limits);
    const stopping = units.stop("a.scope");
    await units.setLimits("a.scope", limits); // answered in order: the job is known
    await bus.close();
    await stopping;
    await assert.rejects(units.setLimits("a.scope", limits), { kind: "unavailable" });
    bus = await openBus(socket);
    await units.setLimits("a.scope", limits);
    assert.deepEqual(bus.heard, ["Subscribe", "SetUnitProperties"]);
  } finally {
    delete process.env["DBUS_SYSTEM_BUS_ADDRESS"];
    await bus.close();
    await rm(folder, { recursive: true, force: true });
  }
});
