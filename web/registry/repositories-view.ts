// All repositories, page by page, and what a search finds.

import { h } from "./dom.ts";
import { type Page, pages, repositoryAddress } from "./view.ts";

export async function showRepositories({ api }: Page): Promise<Node> {
  const first = await api.repositories();
  const names = h("ul", { class: "cards" });
  const more = pages(
    first,
    (page) => api.repositories(page),
    (found) => names.append(...found.map((name) => card(name))),
  );
  const empty = h(
    "p",
    { class: "notice" },
    "Nothing has been pushed yet. ",
    h("code", {}, `docker push ${location.host}/name:tag`),
  );
  const content = first.names.length === 0 && first.next === undefined ? empty : [names, more];
  return h("section", {}, h("h1", {}, "Repositories"), content);
}

export async function showSearch({ api }: Page, term: string): Promise<Node> {
  const found = await api.search(term);
  const amount = found.length === 1 ? "1 repository" : `${found.length} repositories`;
  return h(
    "section",
    {},
    h("h1", {}, `Search: ${term}`),
    h("p", { class: "quiet" }, amount),
    h(
      "ul",
      { class: "cards" },
      found.map(({ name, description }) => card(name, description)),
    ),
  );
}

function card(name: string, description = ""): Node {
  const slash = name.lastIndexOf("/") + 1;
  return h(
    "li",
    {},
    h(
      "a",
      { href: repositoryAddress(name) },
      h("span", { class: "quiet" }, name.slice(0, slash)),
      h("strong", {}, name.slice(slash)),
      description !== "" && h("span", { class: "description" }, description),
    ),
  );
}
