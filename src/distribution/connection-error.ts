// Why a request got no answer, in the words of Go's net/http, which people search for.

import { errnoOf, GantryError, messageOf } from "../base/index.ts";

/** Wraps what Node says; the kind of our own errors stays. */
export function connectionError(method: string, url: URL, error: Error): GantryError {
  const prefix = `${goVerb(method)} "${shown(url)}": `;
  const kind = error instanceof GantryError ? error.kind : "internal";
  const detail = { errno: errnoOf(error) ?? "", host: url.host, unreachable: true };
  return new GantryError(kind, prefix + reason(url, error), { cause: error, detail });
}

/** "Get", "Put": how Go's url.Error names methods. */
export const goVerb = (method: string): string => method[0]! + method.slice(1).toLowerCase();

/** Without a user's name and password; signatures of presigned URLs stay out too. */
export function shown(url: URL): string {
  const copy = new URL(url);
  copy.username = "";
  copy.password = "";
  for (const name of copy.searchParams.keys()) {
    if (/signature|credential|token|^sig$/i.test(name)) copy.searchParams.set(name, "xxxxx");
  }
  return copy.href;
}

function reason(url: URL, error: Error): string {
  if (error instanceof GantryError && error.message.startsWith("proxyconnect") && error.cause) {
    const cause = error.cause as NodeJS.ErrnoException;
    return errnoOf(cause) ? `proxyconnect tcp: ${dialReason(url, cause)}` : error.message;
  }
  if (error instanceof GantryError) return error.message;
  return dialReason(url, error);
}

type SystemError = NodeJS.ErrnoException & { address?: string; port?: number; hostname?: string };

function dialReason(url: URL, error: Error): string {
  const { code = "", address, port, hostname = url.hostname } = firstOf(error) as SystemError;
  const dialled = address?.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
  const target = address ? dialled : url.host;
  switch (code) {
    case "ECONNREFUSED":
      return `dial tcp ${target}: connect: connection refused`;
    case "EHOSTUNREACH":
      return `dial tcp ${target}: connect: no route to host`;
    case "ENETUNREACH":
      return `dial tcp ${target}: connect: network is unreachable`;
    case "ETIMEDOUT":
      return `dial tcp ${target}: i/o timeout`;
    case "ENOTFOUND":
      return `dial tcp: lookup ${hostname}: no such host`;
    case "EAI_AGAIN":
      return `dial tcp: lookup ${hostname}: Temporary failure in name resolution`;
    case "ECONNRESET":
      return "EOF";
    case "HPE_HEADER_OVERFLOW":
      return "net/http: server response headers exceeded the limit; aborted";
    case "HPE_INVALID_CONSTANT":
    case "HPE_INVALID_HEADER_TOKEN":
    case "HPE_INVALID_STATUS":
    case "HPE_INVALID_VERSION":
      return `net/http: HTTP/1.x transport connection broken: malformed HTTP response`;
  }
  return tlsReason(url, error, code) ?? messageOf(error);
}

/** Several addresses were tried: the first failure is the one Go tells. */
function firstOf(error: Error): Error {
  return error instanceof AggregateError ? (error.errors[0] as Error) : error;
}

function tlsReason(url: URL, error: Error, code: string): string | undefined {
  const unverified = (why: string): string => `tls: failed to verify certificate: x509: ${why}`;
  switch (code) {
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "CERT_SIGNATURE_FAILURE":
      return unverified("certificate signed by unknown authority");
    case "CERT_HAS_EXPIRED":
    case "CERT_NOT_YET_VALID":
      return unverified("certificate has expired or is not yet valid");
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return unverified(altNameReason(url, error));
    case "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED":
      return "remote error: tls: certificate required";
    case "ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE":
    case "ERR_SSL_TLSV1_ALERT_BAD_CERTIFICATE":
    case "ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE":
      return "remote error: tls: bad certificate";
    case "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA":
      return "remote error: tls: unknown certificate authority";
    case "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE":
    case "ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE":
      return "remote error: tls: handshake failure";
  }
  return isPlainAnswer(error) ? "http: server gave HTTP response to HTTPS client" : undefined;
}

function altNameReason({ hostname }: URL, error: Error): string {
  const { cert } = error as Error & { cert?: { subjectaltname?: string } };
  const names = (cert?.subjectaltname ?? "")
    .split(", ")
    .flatMap((name) => /^(?:DNS|IP Address):(.*)$/.exec(name)?.[1] ?? []);
  const isAddress = /^[\d.]+$|^\[/.test(hostname);
  const bare = hostname.replace(/^\[(.*)\]$/, "$1");
  if (names.length === 0 && isAddress) {
    return `cannot validate certificate for ${bare} because it doesn't contain any IP SANs`;
  }
  return `certificate is valid for ${names.join(", ") || "no names"}, not ${bare}`;
}

/** TLS spoke to something that answered in the clear. */
export function isPlainAnswer(error: unknown): boolean {
  const { code = "", message = "" } = error as NodeJS.ErrnoException;
  return /wrong[_ ]version[_ ]number|packet[_ ]length[_ ]too[_ ]long|http[_ ]request/i.test(
    `${code} ${message}`,
  );
}
