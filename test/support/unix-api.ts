// GET of an API version that no client of ours speaks yet, over the daemon's socket.

import { request } from "node:http";

export function askApi<T>(socketPath: string, path: string): Promise<T> {
  return new Promise((resolve, reject) => {
    request({ socketPath, path }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk));
      answer.on("end", () => resolve(JSON.parse(Buffer.concat(chunks).toString())));
      answer.on("error", reject);
    })
      .on("error", reject)
      .end();
  });
}
