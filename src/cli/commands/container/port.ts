import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { segment } from "../each.ts";

type Bindings = Record<string, { HostIp: string; HostPort: string }[] | null>;

const command: Command = defineCommand({
  usage: "CONTAINER [PRIVATE_PORT[/PROTO]]",
  short: "Show a container's published ports",
  spellings: ["container port", "port"],
  args: { min: 1, max: 2 },
  flags: {},
  async run(session, { args }) {
    const [name = "", wanted] = args;
    const client = await session.client();
    const { NetworkSettings } = await client.json<{ NetworkSettings: { Ports?: Bindings | null } }>(
      "GET",
      `/containers/${segment(name)}/json`,
    );
    const ports = NetworkSettings.Ports ?? {};
    if (wanted !== undefined) {
      const bindings = ports[wanted.includes("/") ? wanted : `${wanted}/tcp`];
      if (!bindings) {
        throw new GantryError(
          "not-found",
          `Error: No public port '${wanted}' published for ${name}`,
        );
      }
      for (const binding of bindings) session.print(address(binding));
      return 0;
    }
    const lines = Object.entries(ports).flatMap(([port, bindings]) =>
      (bindings ?? []).map((binding) => `${port} -> ${address(binding)}`),
    );
    for (const line of lines.sort(natural)) session.print(line);
    return 0;
  },
});
export default command;

function address({ HostIp, HostPort }: { HostIp: string; HostPort: string }): string {
  return `${HostIp.includes(":") ? `[${HostIp}]` : HostIp}:${HostPort}`;
}

/** Numbers inside of text are compared as numbers. */
function natural(a: string, b: string): number {
  const left = a.match(/\d+|\D+/g) ?? [];
  const right = b.match(/\d+|\D+/g) ?? [];
  for (let at = 0; at < Math.min(left.length, right.length); at++) {
    const [one, other] = [left[at]!, right[at]!];
    const numbers = /^\d/.test(one) && /^\d/.test(other);
    if (numbers && Number(one) !== Number(other)) return Number(one) - Number(other);
    if (!numbers && one !== other) return one < other ? -1 : 1;
  }
  return left.length - right.length;
}
