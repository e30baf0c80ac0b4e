// Elements from data. The only way by which anything gets into the page: attributes from a closed
// list, and text as text nodes, so that nothing a registry stores can become markup. (The page's
// Content-Security-Policy refuses everything that reads markup as a second wall.)

export type Child = Node | string | number | undefined | false | readonly Child[];

export interface Attributes {
  class?: string;
  id?: string;
  href?: string;
  title?: string;
  type?: string;
  name?: string;
  role?: string;
  for?: string;
  scope?: string;
  value?: string;
  autocomplete?: string;
  "aria-label"?: string;
  "aria-labelledby"?: string;
  "data-digest"?: string;
  colspan?: string;
  required?: boolean;
  open?: boolean;
  disabled?: boolean;
  tabindex?: string;
  onclick?: (event: MouseEvent) => void;
  onsubmit?: (event: SubmitEvent) => void;
}

/** Makes an element. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (typeof value === "function") {
      element.addEventListener(name.slice(2), value as (event: Event) => void);
    } else if (name === "href") element.setAttribute("href", safeAddress(String(value)));
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

export function append(parent: Element, children: Child): void {
  if (children === undefined || children === false) return;
  if (Array.isArray(children)) for (const child of children) append(parent, child);
  else if (children instanceof Node) parent.append(children);
  else parent.append(visible(String(children)));
}

/** Links lead within the page, or to the web; "javascript:" and its like lead nowhere. */
export function safeAddress(address: string): string {
  return /^(#|https?:\/\/)/i.test(address) ? address : "#";
}

/** Characters that would turn the reading order or hide text are shown as what they are. */
export function visible(text: string): string {
  return text.replace(
    /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`The page has no element ${id}`);
  return element as T;
}

/** Says something to whoever looks or listens. */
export function say(text: string): void {
  const status = byId("status");
  status.replaceChildren(text);
  status.classList.toggle("shown", text !== "");
  setTimeout(() => {
    if (status.textContent === text) status.classList.remove("shown");
  }, 4_000);
}

export function copyButton(text: string, what: string): HTMLButtonElement {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      copyBySelection(text); // no secure context: plain http from another machine
    }
    say(`${what} copied`);
  };
  return h(
    "button",
    {
      type: "button",
      class: "copy",
      "aria-label": `Copy ${what}`,
      title: "Copy",
      onclick: () => void copy(),
    },
    "Copy",
  );
}

function copyBySelection(text: string): void {
  const area = h("textarea", { class: "offscreen" });
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
