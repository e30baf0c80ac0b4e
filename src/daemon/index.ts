export { daemonFlags } from "./config.ts";
export { runDaemon } from "./main.ts";
