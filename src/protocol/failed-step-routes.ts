// The rows of a build's failed step (`gantry build --debug`): ours, docker's API has none.

import { defineRoutes } from "./route-table.ts";

export const failedStepRoutes = defineRoutes({
  failedStep: { method: "GET", path: "/gantry/builds/{ref}/failure", answer: "json" },
  failedStepRelease: { method: "DELETE", path: "/gantry/builds/{ref}/failure", answer: "empty" },
  /** As `POST /exec/{id}/start`: a terminal's bytes, or docker's frames. */
  failedStepShell: {
    method: "POST",
    path: "/gantry/builds/{ref}/shell",
    query: { cmd: "strings", tty: "bool", h: "int", w: "int" },
    answer: "hijack",
  },
  failedStepResize: {
    method: "POST",
    path: "/gantry/builds/{ref}/shell/resize",
    query: { h: "uint32", w: "uint32" },
    answer: "empty",
  },
});
