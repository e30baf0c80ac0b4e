// The two questions that the page asks, as modal dialogs of the browser: they keep the focus, end
// with Escape and are read out by screen readers.

import { h } from "./dom.ts";
import { LoginNeeded, type RegistryApi } from "./registry-api.ts";

/** Whether somebody has logged in. */
export function askLogin(api: RegistryApi): Promise<boolean> {
  const user = h("input", {
    id: "login-user",
    name: "username",
    autocomplete: "username",
    required: true,
  });
  const password = h("input", {
    id: "login-password",
    type: "password",
    name: "password",
    autocomplete: "current-password",
    required: true,
  });
  const problem = h("p", { class: "problem", role: "alert" });
  const send = h("button", { type: "submit", class: "primary" }, "Log in");
  const cancel = h("button", { type: "button" }, "Cancel");
  const form = h(
    "form",
    {},
    h("h2", { id: "dialog-title" }, "Log in"),
    h("label", { for: "login-user" }, "User"),
    user,
    h("label", { for: "login-password" }, "Password"),
    password,
    problem,
    h("div", { class: "buttons" }, cancel, send),
  );
  return ask(form, cancel, async (done) => {
    send.disabled = true;
    problem.textContent = "";
    try {
      await api.logIn(user.value, password.value);
      done(true);
    } catch (error) {
      const wrong = error instanceof LoginNeeded;
      const message = error instanceof Error ? error.message : String(error);
      problem.textContent = wrong ? "Wrong user or password" : message;
      password.select();
    } finally {
      send.disabled = false;
    }
  });
}

/** Whether the answer was yes. */
export function askConfirmation(
  title: string,
  text: string,
  action: string,
  word?: string,
): Promise<boolean> {
  const cancel = h("button", { type: "button" }, "Cancel");
  const go = h("button", { type: "submit", class: "danger" }, action);
  const typed = h("input", { id: "confirm-word", autocomplete: "off" });
  if (word !== undefined) {
    go.disabled = true;
    typed.addEventListener("input", () => (go.disabled = typed.value !== word));
  }
  const form = h(
    "form",
    {},
    h("h2", { id: "dialog-title" }, title),
    h("p", {}, text),
    word !== undefined && [h("label", { for: "confirm-word" }, `Type ${word} to confirm`), typed],
    h("div", { class: "buttons" }, cancel, go),
  );
  return ask(form, cancel, async (done) => done(true));
}

function ask(
  form: HTMLFormElement,
  cancel: HTMLButtonElement,
  submit: (done: (answer: boolean) => void) => Promise<void>,
): Promise<boolean> {
  const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, form);
  document.body.append(dialog);
  return new Promise((resolve) => {
    let answer = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void submit((given) => {
        answer = given;
        dialog.close();
      });
    });
    cancel.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    dialog.showModal();
  });
}
