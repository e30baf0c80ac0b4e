// The S3 client (AWS's own, decision 0033) as this store wants it: patient, with few surprises for
// servers that are not AWS's, and its errors in our kinds.

import { Agent } from "node:https";
import { rootCertificates } from "node:tls";
import { S3Client, type S3ClientConfig, S3ServiceException } from "@aws-sdk/client-s3";
import { type ErrorKind, errnoOf, GantryError, messageOf } from "../base/index.ts";
import type { S3Settings } from "./s3-options.ts";

const connectTimeoutMs = 10_000;
/** No byte for so long means that the connection is dead. */
const idleTimeoutMs = 60_000;
const socketsMax = 256;

export function createS3Client(settings: S3Settings, endpoint = settings.endpoint): S3Client {
  const { region, accessKeyId, secretAccessKey, sessionToken, ca } = settings;
  const agent = { keepAlive: true, maxSockets: socketsMax };
  const quiet = (): void => {};
  const config: S3ClientConfig = {
    // What it would print (about empty bodies, for one) is for programs that stream bodies.
    logger: { trace: quiet, debug: quiet, info: quiet, warn: quiet, error: quiet },
    // Servers that are not AWS's mostly take any; AWS's is known from profile or environment.
    ...(region ? { region } : endpoint ? { region: "us-east-1" } : {}),
    ...(endpoint ? { endpoint } : {}),
    forcePathStyle: settings.pathStyle ?? endpoint !== undefined,
    ...(accessKeyId && secretAccessKey
      ? { credentials: { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) } }
      : {}),
    maxAttempts: settings.attemptsMax,
    retryMode: "standard",
    // Bodies are signed with their SHA-256. Checksums in trailers are not understood everywhere.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: {
      connectionTimeout: connectTimeoutMs,
      socketTimeout: idleTimeoutMs,
      httpAgent: agent,
      httpsAgent: new Agent(ca ? { ...agent, ca: [...rootCertificates, ca] } : agent),
      socketAcquisitionWarningTimeout: idleTimeoutMs,
    },
  };
  return new S3Client(config);
}

const KINDS: Record<string, ErrorKind> = {
  InvalidRange: "invalid",
  EntityTooLarge: "invalid",
  // Somebody else has put other bytes in the place of ours.
  PreconditionFailed: "conflict",
  InvalidPart: "conflict",
};

/** Whether the server says that the object, or the upload, is not there. */
export function isMissing(error: unknown): boolean {
  if (!(error instanceof S3ServiceException)) return false;
  if (["NoSuchKey", "NotFound", "NoSuchUpload"].includes(error.name)) return true;
  return error.$metadata.httpStatusCode === 404 && error.name !== "NoSuchBucket";
}

/** Runs one request; throws not-found, invalid or unavailable. */
export async function s3Call<T>(what: string, request: () => Promise<T>): Promise<T> {
  try {
    return await request();
  } catch (error) {
    throw s3Error(what, error);
  }
}

export function s3Error(what: string, error: unknown): GantryError {
  if (error instanceof GantryError) return error;
  if (isMissing(error)) {
    return new GantryError("not-found", `${what}: no such object`, { cause: error });
  }
  const status = error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;
  const name = error instanceof Error ? error.name : "";
  const detail = { errno: errnoOf(error) ?? "", code: name, status: status ?? 0 };
  const message = `${what}: ${name && status ? `${name}: ` : ""}${messageOf(error)}`;
  const kind = KINDS[name] ?? "unavailable";
  return new GantryError(kind, message, { cause: error, detail });
}
