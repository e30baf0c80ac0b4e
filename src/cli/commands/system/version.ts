import { GantryError } from "../../../base/index.ts";
import { API_VERSION, compareVersions } from "../../../client/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { objectFormat } from "../../format/object.ts";
import { STRUCTS } from "../../format/structs.ts";
import { alignTabs } from "../../format/tabwriter.ts";
import { FORMAT_OBJECT_USAGE } from "../../format/usage.ts";
import { type Session, VERSION } from "../../session.ts";

interface Component {
  Name: string;
  Version: string;
  Details?: Record<string, string> | null;
}
export interface ServerVersion {
  Platform?: { Name: string };
  Components?: Component[];
  Version: string;
  ApiVersion: string;
  MinAPIVersion?: string;
  GitCommit: string;
  GoVersion: string;
  Os: string;
  Arch: string;
  KernelVersion?: string;
  Experimental?: boolean;
  BuildTime?: string;
}

const command: Command = defineCommand({
  usage: "[OPTIONS]",
  short: "Show the versions of client and daemon",
  args: { min: 0, max: 0 },
  flags: { format: { type: "string", shorthand: "f", usage: FORMAT_OBJECT_USAGE } },
  async run(session, { values }) {
    const format = values.format
      ? await objectFormat(values.format, { name: "version", prefix: "" })
      : undefined;
    let server: ServerVersion | undefined;
    let failure: unknown;
    const client = await session.client().catch((error) => {
      failure = error;
      return undefined;
    });
    try {
      if (client) server = await client.json<ServerVersion>("GET", "/version");
    } catch (error) {
      failure = error;
    }
    const negotiated = client?.version ?? API_VERSION;
    if (server) normalize(server);
    const report = { Client: clientVersion(session, negotiated), Server: server ?? null };
    if (format) session.print(format(STRUCTS.version(report)));
    else session.io.stdout.write(versionText(report.Client, server));
    if (failure === undefined) return 0;
    if (failure instanceof GantryError) throw failure;
    throw failure;
  },
});
export default command;

/** Older daemons name no components: the engine is made one, as docker's client does. */
function normalize(server: ServerVersion): void {
  if (server.Components && server.Components.length > 0) {
    for (const { Name, Details } of server.Components) {
      if (Name === "Engine" && Details?.["BuildTime"]) {
        Details["BuildTime"] = showTime(Details["BuildTime"]);
      }
    }
    return;
  }
  server.Components = [
    {
      Name: "Engine",
      Version: server.Version,
      Details: {
        ApiVersion: server.ApiVersion,
        MinAPIVersion: server.MinAPIVersion ?? "",
        GitCommit: server.GitCommit,
        GoVersion: server.GoVersion,
        Os: server.Os,
        Arch: server.Arch,
        BuildTime: showTime(server.BuildTime ?? ""),
        Experimental: String(server.Experimental ?? false),
      },
    },
  ];
}

function clientVersion(session: Session, apiVersion: string) {
  return {
    Version: VERSION,
    ApiVersion: apiVersion,
    DefaultAPIVersion: API_VERSION,
    GitCommit: "",
    GoVersion: `node${process.versions.node}`,
    Os: "linux",
    Arch: process.arch === "x64" ? "amd64" : process.arch,
    BuildTime: "",
    Context: session.contextName,
  };
}

function showTime(text: string): string {
  const date = new Date(text);
  if (text === "" || Number.isNaN(date.getTime())) return text;
  const parts = date.toUTCString().match(/[A-Za-z0-9:]+/g) ?? [];
  const [day, dayOfMonth, month, year, time] = parts;
  return `${day} ${month} ${String(Number(dayOfMonth)).padStart(2)} ${time} ${year}`;
}

function versionText(client: ReturnType<typeof clientVersion>, server?: ServerVersion): string {
  const older = compareVersions(client.ApiVersion, client.DefaultAPIVersion) < 0;
  const downgraded = older ? ` (downgraded from ${client.DefaultAPIVersion})` : "";
  const lines = [
    "Client:",
    ` Version:\t${client.Version}`,
    ` API version:\t${client.ApiVersion}${downgraded}`,
    ` Node.js version:\t${client.GoVersion.replace(/^node/, "")}`,
    ` OS/Arch:\t${client.Os}/${client.Arch}`,
    ` Context:\t${client.Context}`,
  ];
  if (server) {
    const name = server.Platform?.Name;
    lines.push("", `Server:${name ? ` ${name}` : ""}`);
    for (const component of server.Components ?? []) lines.push(...componentLines(component));
  }
  return `${alignTabs(lines.join("\n"), { minWidth: 20, padding: 1 })}\n`;
}

function componentLines({ Name, Version, Details }: Component): string[] {
  const lines = [` ${Name}:`, `  Version:\t${Version}`];
  const details = { ...Details };
  if (Name !== "Engine") {
    for (const key of Object.keys(details).sort()) lines.push(`  ${key}:\t${details[key]}`);
    return lines;
  }
  lines.push(
    `  API version:\t${details["ApiVersion"]} (minimum version ${details["MinAPIVersion"]})`,
    `  Go version:\t${details["GoVersion"]}`,
    `  Git commit:\t${details["GitCommit"]}`,
    `  Built:\t${details["BuildTime"]}`,
    `  OS/Arch:\t${details["Os"]}/${details["Arch"]}`,
    `  Experimental:\t${details["Experimental"]}`,
  );
  return lines;
}
