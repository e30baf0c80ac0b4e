import { messageOf } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { printRows, type RowType } from "../../format/table.ts";
import { ellipsis } from "../../format/text.ts";
import { FORMAT_USAGE } from "../../format/usage.ts";
import { DEFAULT_DESCRIPTION, defaultMeta, hostOverrides } from "./shared.ts";

interface Line {
  name: string;
  current: boolean;
  description: string;
  endpoint: string;
  error: string;
}
const TABLE =
  "table {{.Name}}{{if .Current}} *{{end}}\\t{{.Description}}\\t{{.DockerEndpoint}}\\t{{.Error}}";
const DESCRIPTION_COLUMNS = 42;

const command: Command = defineCommand({
  usage: "[OPTIONS]",
  short: "List contexts",
  spellings: ["context ls", "context list"],
  args: { min: 0, max: 0 },
  flags: {
    format: { type: "string", usage: FORMAT_USAGE },
    quiet: { type: "bool", shorthand: "q", usage: "Print names only" },
  },
  async run(session, { values }) {
    const current = session.contextName;
    const ours = defaultMeta(session);
    const lines: Line[] = [
      {
        name: "default",
        current: current === "default",
        description: DEFAULT_DESCRIPTION,
        endpoint: ours.Endpoints.docker!.Host!,
        error: "",
      },
      ...session.contexts.list().map((meta) => ({
        name: meta.Name,
        current: current === meta.Name,
        description: meta.Metadata.Description ?? "",
        endpoint: meta.Endpoints.docker?.Host ?? "",
        error: "",
      })),
    ];
    lines.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
    if (!lines.some((line) => line.current)) {
      let error = "";
      try {
        session.contexts.get(current);
      } catch (failure) {
        error = messageOf(failure);
      }
      lines.push({ name: current, current: true, description: "", endpoint: "", error });
    }
    const format = values.format === "" || values.format === "table" ? TABLE : values.format;
    await printRows(session.io.stdout, row, lines, values.quiet ? "{{.Name}}" : format);
    if (session.io.env["DOCKER_HOST"]) session.warn(hostOverrides("a context"));
    return 0;
  },
});
export default command;

const row: RowType<Line> = {
  goType: "*formatter.clientContextContext",
  columns: {
    Current: { header: "", value: ({ current }) => current },
    Name: { header: "NAME", value: ({ name }) => name },
    Description: {
      header: "DESCRIPTION",
      value: ({ description }) => ellipsis(description, DESCRIPTION_COLUMNS),
    },
    DockerEndpoint: { header: "DOCKER ENDPOINT", value: ({ endpoint }) => endpoint },
    Error: { header: "ERROR", value: ({ error }) => ellipsis(error, DESCRIPTION_COLUMNS) },
  },
};
