// One repository: its tags, and what each of them points to. A tag's row is filled when it comes
// into view, a few requests at a time, so that thousands of tags cost no more than one looks at.

import { askConfirmation } from "./dialogs.ts";
import { copyButton, h, say } from "./dom.ts";
import { contentSize, kindOf, list, platform, record, size } from "./format.ts";
import type { ManifestAnswer } from "./registry-api.ts";
import { digestText, manifestAddress, type Page, pages, row, table } from "./view.ts";

const REQUESTS_AT_ONCE = 4;
const PLATFORMS_SHOWN = 4;

export async function showRepository(page: Page, name: string): Promise<Node> {
  const { api } = page;
  const [first, mayDelete] = await Promise.all([api.tags(name), deletable(page, name)]);
  const lazy = new LazyRows();
  const rows = (names: readonly string[]) =>
    names.map((tag) => {
      const made = tagRow(page, name, tag, mayDelete);
      lazy.add(made.element, made.fill);
      return made.element;
    });
  const headings = ["Tag", "Digest", "What", "Size", ""];
  const holder = table(headings, []);
  const body = (holder as HTMLElement).querySelector("tbody")!;
  const more = pages(
    first,
    (next) => api.tags(name, next),
    (tags) => body.append(...rows(tags)),
  );
  const command = `docker pull ${location.host}/${name}`;
  const none = h("p", { class: "notice" }, "No tags.");
  return h(
    "section",
    {},
    h("p", { class: "crumbs" }, h("a", { href: "#/" }, "Repositories")),
    h("h1", {}, name),
    h("p", { class: "command" }, h("code", {}, command), copyButton(command, "command")),
    first.names.length === 0 && first.next === undefined ? none : [holder, more],
  );
}

/** Whether a delete button is worth showing. */
export async function deletable({ api, config }: Page, name: string): Promise<boolean> {
  if (!config.canDelete || config.readOnly) return false;
  return await api.mayDelete(name).catch(() => false);
}

function tagRow(page: Page, name: string, tag: string, mayDelete: boolean) {
  const [digest, what, bytes] = [h("span"), h("span"), h("span")];
  const link = h("a", { href: manifestAddress(name, tag) }, h("strong", {}, tag));
  const remove = mayDelete && deleteButton(page, name, tag, () => element.remove());
  const element = row(link, digest, what, bytes, remove);
  const fill = async () => {
    try {
      const answer = await page.api.manifest(name, tag);
      digest.replaceChildren(digestText(answer.digest, manifestAddress(name, answer.digest)));
      what.textContent = describe(answer);
      const isIndex = kindOf(answer.manifest) === "index";
      bytes.textContent = isIndex ? "" : size(contentSize(answer.manifest));
    } catch (error) {
      what.textContent = error instanceof Error ? error.message : String(error);
    }
  };
  return { element, fill };
}

function describe({ manifest }: ManifestAnswer): string {
  const kind = kindOf(manifest);
  if (kind !== "index") return kind;
  const names = list(manifest["manifests"])
    .map((entry) => platform(record(entry)["platform"]))
    .filter((one) => one !== "" && !one.startsWith("unknown"));
  const rest = names.length - PLATFORMS_SHOWN;
  return names.slice(0, PLATFORMS_SHOWN).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}

/** A tag's own button: what it points to stays as long as another tag or digest needs it. */
export function deleteButton(
  page: Page,
  name: string,
  tag: string,
  done: () => void,
  label = "Delete",
): Node {
  const ask = async () => {
    const text = `The tag ${tag} of ${name} goes; what it points to stays until it is collected.`;
    if (!(await askConfirmation(`Delete the tag ${tag}?`, text, "Delete tag"))) return;
    try {
      await page.api.remove(name, tag);
      say(`Deleted ${name}:${tag}`);
      done();
    } catch (error) {
      say(`Not deleted: ${error instanceof Error ? error.message : error}`);
    }
  };
  const attributes = { type: "button", class: "danger", "aria-label": `Delete tag ${tag}` };
  return h("button", { ...attributes, onclick: () => void ask() }, label);
}

/** Runs a row's function once it is on the screen. */
class LazyRows {
  #fills = new Map<Element, () => Promise<void>>();
  #queue: (() => Promise<void>)[] = [];
  #running = 0;
  #observer = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      const fill = this.#fills.get(target);
      if (!isIntersecting || fill === undefined) continue;
      this.#observer.unobserve(target);
      this.#fills.delete(target);
      this.#queue.push(fill);
      this.#next();
    }
  });

  add(element: Element, fill: () => Promise<void>): void {
    this.#fills.set(element, fill);
    this.#observer.observe(element);
  }

  #next(): void {
    while (this.#running < REQUESTS_AT_ONCE) {
      const fill = this.#queue.shift();
      if (fill === undefined) return;
      this.#running++;
      void fill().finally(() => {
        this.#running--;
        this.#next();
      });
    }
  }
}
