// Where the stock plugins of the docker CLI are: a folder with `docker-buildx` and `docker-compose`
// (and perhaps a `docker` of the same age), named by GANTRY_TEST_DOCKER_PLUGINS; .ci/run unpacks
// them beneath the work tree. Tests that need one say so and skip where it is absent.

import { existsSync } from "node:fs";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const unpacked = fileURLToPath(new URL("../../.gantry-cache/docker-plugins", import.meta.url));

export const pluginFolder: string = process.env["GANTRY_TEST_DOCKER_PLUGINS"] || unpacked;

export type Plugin = "docker-buildx" | "docker-compose";

/** For a test's `skip`: false when the plugin is there. */
export function whyNoPlugin(plugin: Plugin): string | false {
  if (existsSync(join(pluginFolder, plugin))) return false;
  return `${plugin} is not in ${pluginFolder} (GANTRY_TEST_DOCKER_PLUGINS)`;
}

/** The docker CLI next to the plugins, else whichever is on the path. */
export function dockerCli(): string {
  const own = join(pluginFolder, "docker");
  return existsSync(own) ? own : "docker";
}

/** A DOCKER_CONFIG of the test's own in `folder`, with the plugins that are there. */
export async function dockerConfig(folder: string, config: object = {}): Promise<string> {
  const plugins = join(folder, "cli-plugins");
  await mkdir(plugins, { recursive: true });
  await writeFile(join(folder, "config.json"), JSON.stringify(config));
  for (const name of ["docker-buildx", "docker-compose"] as const) {
    if (!whyNoPlugin(name)) await symlink(join(pluginFolder, name), join(plugins, name));
  }
  return folder;
}
