// The text format of Prometheus (exposition format 0.0.4) for values that are read at each scrape.
// The library's gauges would keep, hash and clean up thousands of series that live for one answer.

type Labels = Readonly<Record<string, string>>;
type Kind = "counter" | "gauge";

export class Exposition {
  #families = new Map<string, { head: string; lines: string[] }>();

  /** Declares a family; one without values is left out of the text. */
  family(name: string, kind: Kind, help: string): void {
    const head = `# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n`;
    this.#families.set(name, { head, lines: [] });
  }

  /** `labels` as `renderLabels` gives them: a container's are the same in all families. */
  add(name: string, labels: string, value: number): void {
    const family = this.#families.get(name);
    if (family === undefined) throw new RangeError(`No metric ${name} was declared`);
    family.lines.push(`${name}{${labels}} ${value}\n`);
  }

  text(): string {
    return [...this.#families.values()]
      .filter(({ lines }) => lines.length > 0)
      .map(({ head, lines }) => head + lines.join(""))
      .join("");
  }
}

/** Names are ours, values are anybody's. */
export function renderLabels(labels: Labels): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${escaped(value)}"`)
    .join(",");
}

function escaped(value: string): string {
  if (!/[\\"\n]/.test(value)) return value;
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
