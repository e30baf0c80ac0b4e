// GET /v2/<name>/referrers/<digest> (distribution spec 1.1, end-12a and end-12b): never a 404; who
// has no referrers has an empty list.

import type { Exchange, Headers } from "../exchange.ts";
import { OCI_INDEX } from "../manifest-document.ts";
import type { TargetOf } from "../targets.ts";
import { nextPage, pageOf } from "./pages.ts";

export async function getReferrers(
  exchange: Exchange,
  { name, digest }: TargetOf<"referrers">,
): Promise<void> {
  const { limit, after = "" } = pageOf(exchange, exchange.limits.referrersPageMax);
  // A media type has no space: it was a "+" that the client did not encode.
  const wanted = exchange.query.get("artifactType")?.replaceAll(" ", "+");
  const all = await exchange.content.referrers(name, digest);
  const matching = all.filter(
    (entry) => entry.digest > after && (!wanted || entry.artifactType === wanted),
  );
  const manifests = limit === 0 ? [] : withinBytes(matching.slice(0, limit), exchange);
  const headers: Headers = { "Content-Type": OCI_INDEX };
  if (wanted) headers["OCI-Filters-Applied"] = "artifactType";
  const last = manifests.at(-1)?.digest;
  if (last !== undefined && manifests.length < matching.length) {
    const filter = wanted ? { artifactType: wanted } : {};
    const path = `/v2/${name}/referrers/${digest}`;
    Object.assign(headers, nextPage(path, { ...filter, last, n: limit }));
  }
  exchange.json(200, { schemaVersion: 2, mediaType: OCI_INDEX, manifests }, headers);
}

/** The answer is an index, and clients limit the size of one as the registry does. */
function withinBytes<T>(entries: T[], { limits }: Exchange): T[] {
  let bytes = 1_000;
  const fit = entries.findIndex((entry) => {
    bytes += JSON.stringify(entry).length;
    return bytes > limits.manifestBytesMax / 2;
  });
  return fit < 0 ? entries : entries.slice(0, Math.max(1, fit));
}
