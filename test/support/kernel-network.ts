// What the kernel of a network namespace really has: links with their addresses, and the elements
// of an nftables table, read by our own messages so that no tool need be installed.

import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nativeProgramPath, Spawner } from "../../src/native/index.ts";
import { SETS } from "../../src/network/firewall-elements.ts";
import {
  NetlinkWriter,
  NLM_F_DUMP,
  readAttributes,
  readList,
  readMessages,
} from "../../src/network/netlink-message.ts";
import { MSG, NETLINK_NETFILTER, NFPROTO_INET } from "../../src/network/nftables.ts";
import {
  dumpAddresses,
  dumpLinks,
  readAddresses,
  readLinks,
} from "../../src/network/rtnetlink-dumps.ts";
import { NETLINK_ROUTE } from "../../src/network/rtnetlink-numbers.ts";

const ENOENT = 2;
const NFTA_ELEMENTS = 3;
const ELEMENT = { KEY: 1, DATA: 2, FLAGS: 3, KEY_END: 10 } as const;

export class KernelNetwork implements AsyncDisposable {
  readonly #native: Spawner;
  readonly #dir: string;

  private constructor(native: Spawner, dir: string) {
    this.#native = native;
    this.#dir = dir;
  }

  /** Of the namespace that process `pid` is in. */
  static async of(pid: number): Promise<KernelNetwork> {
    const dir = await mkdtemp(join(tmpdir(), "gantry-kernel-"));
    const program = join(dir, "native");
    const enter = `/usr/bin/nsenter --net=/proc/${pid}/ns/net --`;
    await writeFile(program, `#!/bin/sh\nexec ${enter} ${nativeProgramPath} "$@"\n`);
    await chmod(program, 0o755);
    return new KernelNetwork(new Spawner({ execRoot: dir, program }), dir);
  }

  /** Name → its addresses with prefixes; link-local ones are the kernel's. */
  async links(): Promise<Map<string, string[]>> {
    const dump = (data: Uint8Array) => ({
      op: "netlink" as const,
      protocol: NETLINK_ROUTE,
      data,
    });
    const results = await this.#native.run({ host: [dump(dumpLinks()), dump(dumpAddresses())] });
    const addresses = readAddresses(results.bytes(1));
    return new Map(
      readLinks(results.bytes(0)).map(({ name, index }) => [
        name,
        addresses
          .filter((one) => one.index === index && !one.address.startsWith("fe80:"))
          .map(({ address, prefix }) => `${address}/${prefix}`)
          .sort(),
      ]),
    );
  }

  /** "set key-keyEnd:data" of every element, sorted; none where there is no such table. */
  async elements(table: string): Promise<string[]> {
    const results = await this.#native.run({
      host: SETS.map(({ name }) => ({
        op: "netlink" as const,
        protocol: NETLINK_NETFILTER,
        data: dumpElements(table, name),
        ignore: ENOENT,
      })),
    });
    return SETS.flatMap(({ name }, index) =>
      (results.has(index) ? readElements(results.bytes(index)) : []).map((one) => `${name} ${one}`),
    ).sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#native.close();
    await rm(this.#dir, { recursive: true, force: true });
  }
}

function dumpElements(table: string, set: string): Uint8Array {
  const w = new NetlinkWriter();
  w.message(MSG.getElement, NLM_F_DUMP, () => {
    w.u8(NFPROTO_INET).u8(0).u16be(0);
    w.attrString(1, table).attrString(2, set);
  });
  return w.finish().data;
}

function readElements(answer: Uint8Array): string[] {
  return readMessages(answer)
    .filter(({ type }) => type === MSG.newElement)
    .flatMap(({ payload }) => readList(readAttributes(payload, 4).get(NFTA_ELEMENTS)))
    .map((element) => {
      const attributes = readAttributes(element);
      const hex = (number: number): string =>
        Buffer.from(attributes.get(number) ?? new Uint8Array()).toString("hex");
      return `${hex(ELEMENT.KEY)}-${hex(ELEMENT.KEY_END)}:${hex(ELEMENT.DATA)}/${hex(ELEMENT.FLAGS)}`;
    });
}
