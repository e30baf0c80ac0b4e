// A registry server on a port of its own in a folder of its own, and the few HTTP calls that tests
// of its protocol are made of.

import { mkdtemp, rm } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createRegistry,
  openFileStore,
  type RegistryOptions,
  type RegistryServer,
} from "../../src/registry/index.ts";
import { type Bytes, bytesOf, imageOf, OCI_MANIFEST } from "./registry-content.ts";

export interface Answer {
  status: number;
  headers: Headers;
  body: Buffer;
  /** Codes in an error's body. */
  codes: string[];
}

export class RegistryPlace implements AsyncDisposable {
  readonly root: string;
  readonly server: RegistryServer;
  readonly base: string;

  private constructor(root: string, server: RegistryServer, base: string) {
    this.root = root;
    this.server = server;
    this.base = base;
  }

  static async open(
    options: Partial<RegistryOptions> = {},
    given?: string,
  ): Promise<RegistryPlace> {
    const root = given ?? (await mkdtemp(join(tmpdir(), "gantry-registry-")));
    const store = await openFileStore(root);
    const server = createRegistry({ store, ...options });
    const { port } = (await server.listen({ host: "127.0.0.1", port: 0 })) as AddressInfo;
    return new RegistryPlace(root, server, `http://127.0.0.1:${port}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close({ deadlineMs: 100 });
    await rm(this.root, { recursive: true, force: true });
  }

  async ask(
    method: string,
    path: string,
    { headers = {}, body }: { headers?: Record<string, string>; body?: Buffer | string } = {},
  ): Promise<Answer> {
    const url = path.startsWith("http") ? path : this.base + path;
    const request = { method, headers, redirect: "manual" as const };
    const answer = await fetch(url, body === undefined ? request : { ...request, body });
    const bytes = Buffer.from(await answer.arrayBuffer());
    return { status: answer.status, headers: answer.headers, body: bytes, codes: codesIn(bytes) };
  }

  async startUpload(name: string): Promise<string> {
    return (await this.ask("POST", `/v2/${name}/blobs/uploads/`)).headers.get("location")!;
  }

  async pushBlob(name: string, { digest, data }: Bytes): Promise<Answer> {
    const location = await this.startUpload(name);
    return await this.ask("PUT", `${location}?digest=${digest}`, {
      body: data,
      headers: { "Content-Type": "application/octet-stream" },
    });
  }

  async putManifest(
    name: string,
    reference: string,
    manifest: Bytes,
    type = OCI_MANIFEST,
  ): Promise<Answer> {
    const headers = { "Content-Type": type };
    return await this.ask("PUT", `/v2/${name}/manifests/${reference}`, {
      headers,
      body: manifest.data,
    });
  }

  /** Pushes an image whole; returns its manifest. */
  async pushImage(name: string, tag: string, layers: Bytes[], extra: object = {}): Promise<Bytes> {
    const { config, manifest } = imageOf(layers, extra);
    for (const blob of [config, ...layers]) await this.pushBlob(name, blob);
    const { status, body } = await this.putManifest(name, tag, manifest);
    if (status !== 201) throw new Error(`${status} ${body}`);
    return manifest;
  }
}

export const someBlob = bytesOf("hello, registry");

function codesIn(body: Buffer): string[] {
  try {
    const { errors = [] } = JSON.parse(body.toString()) as { errors?: { code: string }[] };
    return errors.map(({ code }) => code);
  } catch {
    return [];
  }
}
