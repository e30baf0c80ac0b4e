// One container's whole life over a single kept-alive connection: create, start, wait, remove.

import { Agent, request } from "node:http";

export class ApiSequence {
  #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  #socket: string;

  constructor(socket: string) {
    this.#socket = socket;
  }

  async run(image: string): Promise<void> {
    const body = { Image: image, Cmd: ["true"], HostConfig: { NetworkMode: "none" } };
    const { Id } = JSON.parse(await this.call("POST", "/containers/create", 201, body));
    await this.call("POST", `/containers/${Id}/start`, 204);
    await this.call("POST", `/containers/${Id}/wait`, 200);
    await this.call("DELETE", `/containers/${Id}`, 204);
  }

  close(): void {
    this.#agent.destroy();
  }

  async call(method: string, path: string, expected: number, body?: object): Promise<string> {
    const data = body === undefined ? "" : JSON.stringify(body);
    return await new Promise((resolve, reject) => {
      const headers = { "Content-Type": "application/json", "Content-Length": data.length };
      const options = { socketPath: this.#socket, agent: this.#agent, method, path, headers };
      const call = request(options, (answer) => {
        let text = "";
        answer.setEncoding("utf8");
        answer.on("data", (chunk) => (text += chunk));
        answer.on("end", () => {
          if (answer.statusCode === expected) resolve(text);
          else reject(new Error(`${method} ${path}: ${answer.statusCode} ${text}`));
        });
      });
      call.on("error", reject);
      call.end(data);
    });
  }
}
