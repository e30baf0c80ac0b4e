// The page's start: reads the address after "#", shows the view that it names, and asks for a login
// where the registry wants one. Addresses: #/ · #/?q=TERM · #/r/REPOSITORY and
// #/r/REPOSITORY/REFERENCE with each part percent-encoded, so that a view can be linked to and the
// browser's buttons work.

import { askLogin } from "./dialogs.ts";
import { byId, h, say } from "./dom.ts";
import { showManifest } from "./manifest-view.ts";
import { LoginNeeded, RegistryApi, RegistryFailure } from "./registry-api.ts";
import { showRepositories, showSearch } from "./repositories-view.ts";
import { showRepository } from "./repository-view.ts";
import type { Page, View } from "./view.ts";

const api = new RegistryApi();
const page: Page = {
  api,
  config: { title: "Registry", readOnly: false, canDelete: false, hasUsers: true },
};
let shown = 0;

function route(hash: string): View {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [first, ...parts] = path.split("/").map(decode);
  const [name, reference] = parts;
  if (first === "r" && name && reference) return (on) => showManifest(on, name, reference);
  if (first === "r" && name) return (on) => showRepository(on, name);
  const term = new URLSearchParams(query).get("q") ?? "";
  byId<HTMLInputElement>("term").value = term;
  return term === "" ? showRepositories : (on) => showSearch(on, term);
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Shows what the address names; a view that is overtaken by the next one is dropped. */
async function show(): Promise<void> {
  const turn = ++shown;
  const main = byId("main");
  main.setAttribute("aria-busy", "true");
  let content: Node;
  try {
    content = await route(location.hash)(page);
  } catch (error) {
    if (turn !== shown) return;
    content = failure(error);
    if (error instanceof LoginNeeded && (await askLogin(api))) return await show();
  }
  if (turn !== shown) return;
  main.replaceChildren(content);
  main.removeAttribute("aria-busy");
  const heading = main.querySelector("h1");
  document.title = `${heading?.textContent ?? ""} · ${page.config.title}`;
  heading?.setAttribute("tabindex", "-1");
  heading?.focus({ preventScroll: true });
  scrollTo(0, 0);
  showUser();
}

function failure(error: unknown): Node {
  if (error instanceof LoginNeeded) {
    return h("section", { class: "notice" }, h("h1", {}, "Log in"), loginHint());
  }
  const status = error instanceof RegistryFailure ? error.status : 0;
  const headings: Record<number, string> = { 403: "Not allowed", 404: "Not found" };
  const message = error instanceof Error ? error.message : String(error);
  return h(
    "section",
    { class: "notice" },
    h("h1", {}, headings[status] ?? "That did not work"),
    h("p", {}, message),
    h("p", {}, h("a", { href: "#/" }, "All repositories")),
  );
}

function loginHint(): Node {
  const log = h("button", { type: "button", onclick: () => void account() }, "Log in");
  return h("p", {}, "This registry shows this to users only. ", log);
}

async function account(): Promise<void> {
  if (api.user !== "") {
    api.logOut();
    say("Logged out");
  } else if (!(await askLogin(api))) return;
  showUser();
  await show();
}

function showUser(): void {
  byId("user").textContent = api.user;
  byId("account").textContent = api.user === "" ? "Log in" : "Log out";
}

function startTheme(): void {
  const stored = localStorage.getItem("theme");
  if (stored === "dark" || stored === "light") document.documentElement.dataset["theme"] = stored;
  byId("theme").addEventListener("click", () => {
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    const now = document.documentElement.dataset["theme"] ?? system;
    const wanted = now === "dark" ? "light" : "dark";
    document.documentElement.dataset["theme"] = wanted;
    localStorage.setItem("theme", wanted);
  });
}

function startSearch(): void {
  const term = byId<HTMLInputElement>("term");
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    const wanted = term.value.trim();
    location.hash = wanted === "" ? "#/" : `#/?q=${encodeURIComponent(wanted)}`;
  });
  document.addEventListener("keydown", (event) => {
    const typing = (event.target as Element).closest("input, textarea, dialog") !== null;
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    term.focus();
  });
}

startTheme();
startSearch();
byId("account").addEventListener("click", () => void account());
addEventListener("hashchange", () => void show());
page.config = await api.config().catch(() => page.config);
byId("title").textContent = page.config.title;
byId("account").hidden = !page.config.hasUsers;
await show();
