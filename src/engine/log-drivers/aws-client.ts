// The few calls of CloudWatch Logs that the awslogs driver makes: AWS's JSON protocol 1.1, signed
// by AWS's own library, with the credentials that its tools find (environment, shared files,
// container endpoints, instance metadata). Loaded when first used: most daemons never need it.

import type { AwsCredentialIdentityProvider } from "@smithy/types";
import { GantryError, messageOf } from "../../base/index.ts";
import { HttpSender } from "./http-post.ts";

const TARGET = "Logs_20140328";
const ATTEMPTS = 3;

export interface AwsOptions {
  region: string;
  endpoint: string | undefined;
  /** Path at the container credentials' address. */
  credentialsPath: string | undefined;
}

/** An answer of the service that is an error, by AWS's name of it. */
export class AwsError extends Error {
  readonly code: string;
  readonly status: number;
  constructor(action: string, status: number, code: string, message: string) {
    super(
      `operation error CloudWatch Logs: ${action}, https response error StatusCode: ${status}, ` +
        `${code}: ${message}`,
    );
    this.code = code;
    this.status = status;
  }
}

export class AwsLogsClient {
  readonly #http = new HttpSender();
  readonly #url: URL;
  readonly #options: AwsOptions;
  #signer: Promise<Signer> | undefined;

  constructor(options: AwsOptions) {
    this.#options = options;
    const suffix = options.region.startsWith("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
    this.#url = new URL(options.endpoint || `https://logs.${options.region}.${suffix}`);
  }

  /** Throws AwsError for what the service refuses, unavailable where it does not answer. */
  async call(
    action: "CreateLogGroup" | "CreateLogStream" | "PutLogEvents",
    input: object,
    { signal, headers = {} }: { signal: AbortSignal; headers?: Record<string, string> },
  ): Promise<Record<string, unknown>> {
    const body = JSON.stringify(input);
    this.#signer ??= makeSigner(this.#options);
    const signer = await this.#signer;
    const request = {
      method: "POST" as const,
      protocol: this.#url.protocol,
      hostname: this.#url.hostname,
      ...(this.#url.port !== "" && { port: Number(this.#url.port) }),
      path: this.#url.pathname,
      query: {},
      headers: {
        host: this.#url.host,
        "content-type": "application/x-amz-json-1.1",
        "x-amz-target": `${TARGET}.${action}`,
        "user-agent": `Docker (${process.platform}) gantry`,
        ...headers,
      },
      body,
    };
    const signed = await signer.sign(request).catch((cause: unknown) => {
      const what = `operation error CloudWatch Logs: ${action}, get identity: get credentials`;
      throw new GantryError("unavailable", `${what}: ${messageOf(cause)}`, { cause });
    });
    const url = this.#url.href;
    const answer = await this.#http.call({ method: "POST", url, headers: signed, body, signal });
    const parsed = parse(answer.body.toString());
    if (answer.status === 200) return parsed;
    const type = String(parsed["__type"] ?? "UnknownError");
    const message = String(parsed["message"] ?? parsed["Message"] ?? answer.statusText);
    throw new AwsError(
      action,
      answer.status,
      type.replace(/^.*#/, "").replace(/:.*$/, ""),
      message,
    );
  }

  close(): void {
    this.#http.close();
  }
}

type Request = {
  method: "POST";
  protocol: string;
  hostname: string;
  path: string;
  query: Record<string, string>;
  headers: Record<string, string>;
  body: string;
};
type Signer = { sign(request: Request): Promise<Record<string, string>> };

async function makeSigner({ region, credentialsPath }: AwsOptions): Promise<Signer> {
  const { SignatureV4 } = await import("@smithy/signature-v4");
  const signature = new SignatureV4({
    service: "logs",
    region,
    credentials: await credentialsOf(credentialsPath),
    sha256: await sha256(),
  });
  return { sign: async (request) => (await signature.sign(request)).headers };
}

async function credentialsOf(path: string | undefined): Promise<AwsCredentialIdentityProvider> {
  if (path === undefined || path === "") {
    const { defaultProvider } = await import("@aws-sdk/credential-provider-node");
    return defaultProvider({ maxRetries: ATTEMPTS });
  }
  const { fromHttp } = await import("@aws-sdk/credential-provider-http");
  const { memoizeIdentity } = { memoizeIdentity: remember };
  return memoizeIdentity(
    fromHttp({ awsContainerCredentialsRelativeUri: path, maxRetries: ATTEMPTS }),
  );
}

const EXPIRY_MS = 5 * 60_000;

/** Asks again some minutes before what was answered is void. */
function remember(provider: AwsCredentialIdentityProvider): AwsCredentialIdentityProvider {
  let last: Awaited<ReturnType<AwsCredentialIdentityProvider>> | undefined;
  return async () => {
    const ends = last?.expiration?.getTime() ?? Number.POSITIVE_INFINITY;
    if (last === undefined || ends - Date.now() < EXPIRY_MS) last = await provider();
    return last;
  };
}

/** Node's own SHA-256 in the shape that the signer wants. */
async function sha256() {
  const { createHash, createHmac } = await import("node:crypto");
  type Source = string | ArrayBuffer | ArrayBufferView;
  const bytes = (data: Source) =>
    typeof data === "string"
      ? Buffer.from(data)
      : ArrayBuffer.isView(data)
        ? Buffer.from(data.buffer, data.byteOffset, data.byteLength)
        : Buffer.from(data);
  return class {
    #hash;
    constructor(secret?: Source) {
      this.#hash =
        secret === undefined ? createHash("sha256") : createHmac("sha256", bytes(secret));
    }
    update(data: Uint8Array): void {
      this.#hash.update(data);
    }
    async digest(): Promise<Uint8Array> {
      return this.#hash.digest();
    }
  };
}

function parse(text: string): Record<string, unknown> {
  try {
    const value = JSON.parse(text || "{}") as unknown;
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

const METADATA = "http://169.254.169.254";

/** The region of this instance by its metadata; throws where there is none. */
export async function instanceRegion(signal: AbortSignal): Promise<string> {
  const http = new HttpSender();
  const base = process.env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] || METADATA;
  const late = AbortSignal.any([signal, AbortSignal.timeout(5000)]);
  try {
    const token = await http.call({
      method: "PUT",
      url: new URL("/latest/api/token", base).href,
      headers: { "x-aws-ec2-metadata-token-ttl-seconds": "300" },
      signal: late,
    });
    const url = new URL("/latest/dynamic/instance-identity/document", base).href;
    const headers = { "x-aws-ec2-metadata-token": token.body.toString() };
    const answer = await http.call({ method: "GET", url, headers, signal: late });
    const { region } = parse(answer.body.toString());
    if (answer.status === 200 && typeof region === "string" && region !== "") return region;
    throw new Error(`${url} answers ${answer.statusText}`);
  } finally {
    http.close();
  }
}
