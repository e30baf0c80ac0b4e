import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatSubnet, overlaps, parseSubnet } from "./addresses.ts";
import { AddressPool, type Collection, chooseSubnet, DEFAULT_BLOCKS, Ipam } from "./ipam.ts";

function memory<T>(): Collection<T> {
  const map = new Map<string, T>();
  return {
    get: (key) => map.get(key),
    put: (key, value) => void map.set(key, value),
    delete: (key) => void map.delete(key),
    all: () => [...map.entries()],
  };
}

test("the lowest free address is taken, and never the subnet's, the gateway's or the broadcast", () => {
  const pool = new AddressPool({ subnet: "10.0.0.0/29", gateway: "10.0.0.1" });
  const taken = [1, 2, 3, 4, 5].map(() => pool.take());
  assert.deepEqual(taken, ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
  assert.throws(() => pool.take(), { kind: "exhausted", message: /^no available IPv4 addresses/ });
  pool.free("10.0.0.4");
  assert.equal(pool.take(), "10.0.0.4");
});

test("a range limits what is chosen, not what may be asked for", () => {
  const config = { subnet: "10.0.0.0/24", gateway: "10.0.0.1", range: "10.0.0.64/30" };
  const pool = new AddressPool({ ...config, auxiliary: { router: "10.0.0.65" } });
  assert.deepEqual([pool.take(), pool.take()], ["10.0.0.64", "10.0.0.66"]);
  assert.equal(pool.take("10.0.0.9"), "10.0.0.9");
  assert.throws(() => pool.take("10.0.0.9"), { message: "Address already in use" });
  assert.throws(() => pool.take("10.0.1.9"), {
    message: /^invalid address 10\.0\.1\.9: It does not belong to any of this network's subnets$/,
  });
});

test("no address is ever leased twice, whatever is taken, given back and restarted", () => {
  type Step = { do: "lease" | "release" | "restart"; pick: number };
  const step: fc.Arbitrary<Step> = fc.record({
    do: fc.constantFrom("lease", "lease", "release", "restart"),
    pick: fc.nat(100),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.boolean(), (steps, v6) => {
      const records = memory<{ networkId: string; endpointId: string; address: string }>();
      const config = v6
        ? { subnet: "fd00::/123", gateway: "fd00::1" }
        : { subnet: "10.0.0.0/27", gateway: "10.0.0.1" };
      const open = () => {
        const ipam = new Ipam(records);
        ipam.open("net", [config]);
        return ipam;
      };
      let ipam = open();
      const held = new Map<string, string>();
      steps.forEach((one, index) => {
        if (one.do === "restart") ipam = open();
        else if (one.do === "lease" && held.size < 28) {
          const { address } = ipam.lease("net", v6 ? 6 : 4, { id: `e${index}` })!;
          assert.ok(!held.has(address), address);
          held.set(address, `e${index}`);
        } else if (one.do === "release" && held.size > 0) {
          const [address, endpoint] = [...held][one.pick % held.size]!;
          ipam.release("net", address, endpoint);
          held.delete(address);
        }
      });
      assert.equal(records.all().length, held.size);
    }),
    { numRuns: 60 },
  );
});

test("a lease ends only for the endpoint that holds it, and when its endpoint is dead", () => {
  const ipam = new Ipam(memory());
  ipam.open("net", [{ subnet: "10.0.0.0/24", gateway: "10.0.0.1" }]);
  const { address } = ipam.lease("net", 4, { id: "one" })!;
  ipam.release("net", address, "other");
  assert.notEqual(ipam.lease("net", 4, { id: "two" })!.address, address);
  assert.deepEqual(
    ipam.reconcile(new Set(["two"])).map(({ endpointId }) => endpointId),
    ["one"],
  );
  assert.equal(ipam.lease("net", 4, { id: "three" })!.address, address);
  assert.equal(ipam.lease("net", 6, { id: "three" }), undefined);
});

test("a chosen subnet overlaps nothing that is taken", () => {
  const taken = fc.array(
    fc
      .tuple(fc.integer({ min: 16, max: 31 }), fc.nat(255), fc.integer({ min: 12, max: 28 }))
      .map(([b, c, prefix]) => parseSubnet(`172.${b}.${c}.0/${prefix}`)),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(taken, fc.integer({ min: 16, max: 26 }), (others, size) => {
      const blocks = [
        { base: "172.16.0.0/12", size },
        { base: "10.0.0.0/8", size: 24 },
      ];
      const subnet = chooseSubnet(4, blocks, others);
      assert.ok(others.every((other) => !overlaps(subnet, other)));
    }),
  );
});

test("subnets are chosen in order, around what the host routes, until there is none", () => {
  const first = chooseSubnet(4, DEFAULT_BLOCKS, []);
  assert.equal(formatSubnet(first), "172.17.0.0/16");
  const next = chooseSubnet(4, DEFAULT_BLOCKS, [first, parseSubnet("172.18.3.0/24")]);
  assert.equal(formatSubnet(next), "172.19.0.0/16");
  const all = [parseSubnet("172.16.0.0/12"), parseSubnet("192.168.0.0/17")];
  assert.equal(formatSubnet(chooseSubnet(4, DEFAULT_BLOCKS, all)), "192.168.128.0/20");
  assert.throws(() => chooseSubnet(4, DEFAULT_BLOCKS, [parseSubnet("0.0.0.0/0")]), {
    kind: "exhausted",
    message: /^all predefined address pools have been fully subnetted/,
  });
});
