import assert from "node:assert/strict";
import { test } from "node:test";
import { NetworkUsers } from "./network-users.ts";

const net = { id: "1", name: "net" };
const other = { id: "2", name: "other" };

test("a network that somebody joins stays, until the last one has", () => {
  const users = new NetworkUsers();
  const [first, second] = [users.join(net), users.join(net)];
  const refused = { kind: "forbidden", message: /network net has active endpoints/ };
  first[Symbol.dispose]();
  assert.throws(() => users.remove(net, []), refused);
  users.remove(other, [{ networkId: "1", endpointId: "e" }]);
  second[Symbol.dispose]();
  users.remove(net, []);
});

test("nobody joins a network that is being removed, but where the removal fails", () => {
  const users = new NetworkUsers();
  const removal = users.remove(net, []);
  assert.throws(() => users.join(net), { kind: "not-found", message: "network net not found" });
  users.join(other);
  removal[Symbol.dispose]();
  users.join(net);
});

test("a network is not removed under those that are on it, which are named", () => {
  const live = [{ networkId: "1", endpointId: "0123456789abcdef" }];
  assert.throws(() => new NetworkUsers().remove(net, live), { message: /\(id:"0123456789ab"\)$/ });
});
