// What views share: the page they are on, links, tables, and lists that go on page by page.

import { type Child, copyButton, h } from "./dom.ts";
import { shortDigest } from "./format.ts";
import type { PageConfig, PageOf, RegistryApi } from "./registry-api.ts";

export interface Page {
  api: RegistryApi;
  config: PageConfig;
}
/** Makes what is shown; throws what the registry answered. */
export type View = (page: Page) => Promise<Node>;

export function repositoryAddress(name: string): string {
  return `#/r/${encodeURIComponent(name)}`;
}

export function manifestAddress(name: string, reference: string): string {
  return `${repositoryAddress(name)}/${encodeURIComponent(reference)}`;
}

export function digestText(digest: string, address?: string): Node {
  const short = h("code", { title: digest }, shortDigest(digest));
  return h(
    "span",
    { class: "digest", "data-digest": digest },
    address === undefined ? short : h("a", { href: address }, short),
    copyButton(digest, "digest"),
  );
}

export function table(headings: readonly string[], rows: readonly Node[]): Node {
  const cells = headings.map((heading) => h("th", { scope: "col" }, heading));
  const head = h("thead", {}, h("tr", {}, cells));
  return h("div", { class: "scroll" }, h("table", {}, head, h("tbody", {}, rows)));
}

export function row(...cells: Child[]): HTMLTableRowElement {
  return h(
    "tr",
    {},
    cells.map((cell) => h("td", {}, cell)),
  );
}

/** Names and values, as a definition list; empty values are left out. */
export function facts(entries: readonly (readonly [string, Child])[]): Node {
  const filled = entries.filter(([, value]) => value !== "" && value !== undefined);
  return h(
    "dl",
    {},
    filled.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
  );
}

export function section(title: string, ...content: Child[]): Node {
  return h("section", {}, h("h2", {}, title), content);
}

/** Shows the first page and, while there is more, a button that appends the next one. */
export function pages(
  first: PageOf,
  load: (page: string) => Promise<PageOf>,
  add: (names: readonly string[]) => void,
): Node {
  const holder = h("p", { class: "more" });
  const offer = (page: PageOf): void => {
    add(page.names);
    holder.replaceChildren();
    if (page.next === undefined) return;
    const address = page.next;
    const button = h("button", { type: "button" }, "Show more");
    button.addEventListener("click", () => {
      button.disabled = true;
      load(address).then(offer, (error: unknown) => {
        button.disabled = false;
        button.textContent = `Try again: ${error instanceof Error ? error.message : error}`;
      });
    });
    holder.replaceChildren(button);
  };
  offer(first);
  return holder;
}
