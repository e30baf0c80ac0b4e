// ADD: archives by their content, --unpack, and what it shares with COPY. URLs need a server: see
// the tests of builds.

import { buffer } from "node:stream/consumers";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { pack } from "tar-stream";
import { type Case, type ContextFile, FILE_TIME, lines } from "../case.ts";

async function archive(): Promise<Buffer> {
  const tar = pack();
  const entry = { mtime: FILE_TIME, uid: 3, gid: 4 };
  tar.entry({ ...entry, name: "in", type: "directory", mode: 0o750 });
  tar.entry({ ...entry, name: "in/file", mode: 0o640 }, "inside");
  tar.entry({ ...entry, name: "in/suid", mode: 0o4755 }, "s");
  tar.entry({ ...entry, name: "in/link", type: "symlink", linkname: "file" });
  tar.entry({ ...entry, name: "in/hard", type: "link", linkname: "in/file", mode: 0o640 });
  tar.entry({ ...entry, name: "deep/er/file" }, "no folder above");
  tar.finalize();
  return await buffer(tar);
}

const tar = await archive();
/** The same archive, packed with other programs: bzip2 -9 and xz -9 of the tar above. */
const BZIP2 =
  "QlpoOTFBWSZTWYjrgUgAAS9bkPOAQAD/hAQld23fAAQAEIgwAPgg0UAANGgANNBpoYAZNNBkMENMRowIpBGoxIHl" +
  "D1PU0DagFh1NecSPXsq4j/NYY3lwBAo7jCjIQnABcK4j3aGmFSUUGozGWddBztSXfGXTeXamQ8mBXLGJjMFYENRg" +
  "djaOcVTMeQ8J9RAUGDr2klCB2lhUbDlO7YZ8b8xmUGxS0i+1p0oRUYtphF43BEhuvGgyjjHAQx+R6e+m4Z4Q4Yaj" +
  "WAmZxi2AfSpOttDqloAmMieN6RqEgjBwP0goqSLhrTKeoAD8XckU4UJCI64FIA==";
const XZ =
  "/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4BX/ANtdADSbfBugolD5qn2nd3y9oR7ZoWpSunEaz/Z3y8QCDhnvLtG7" +
  "TYpY1Mp9uVft6h3U1fsHXknHkTYl0q4C+qa0wM/woc08QHNUuXqk2HDdlH5PB2/ETETgx58nGNJ6rr+ScDxO88ms" +
  "Pl92dwlcrhboGw/wVO1ow2rTiVR5sdg8LL4NLN69mY0BA3nt9MlVF+xWAcTmKI2EUqir+n9i1cgK+eri94h15gW8" +
  "FcK/7mHpcX/0R7iVlGOh885QvaYg7MaR348lwSaXntb4spsTYZL9Q0+yj04XrhYFakELoAAAC5RKSTrX484AAfcB" +
  "gCwAAHPdrCqxxGf7AgAAAAAEWVo=";
const FILES: Record<string, ContextFile> = {
  "a.tar": tar,
  "a.tgz": gzipSync(tar),
  "named-otherwise": gzipSync(tar),
  "a.tar.zst": zstdCompressSync(tar),
  "a.tar.bz2": Buffer.from(BZIP2, "base64"),
  "a.tar.xz": Buffer.from(XZ, "base64"),
  "not.tar": "no archive",
  "text.gz": gzipSync("text"),
  "cut.tgz": gzipSync(tar).subarray(0, 60),
  plain: "p",
  "d/one": "1",
  "d/in.tar": tar,
};
const of = (name: string, ...text: string[]): Case => ({
  name: `add-${name}`,
  files: FILES,
  dockerfile: lines("FROM base", ...text),
});
const failing = (name: string, ...text: string[]): Case => ({ ...of(name, ...text), fails: true });

export const add: Case[] = [
  of("file", "ADD plain /p", "ADD plain d /q/"),
  of("tar", "ADD a.tar /t"),
  of("tar-slash", "ADD a.tar /t/"),
  of("tar-gzip", "ADD a.tgz /t/"),
  of("tar-zstd", "ADD a.tar.zst /t/"),
  of("tar-bzip2", "ADD a.tar.bz2 /t/"),
  of("tar-xz", "ADD a.tar.xz /t/"),
  of("tar-by-content", "ADD named-otherwise /t/"),
  of("tar-existing", "ADD a.tar /full"),
  of("tar-to-link", "ADD a.tar /tofull/"),
  of("tar-several", "ADD a.tar plain a.tgz /t/"),
  of("tar-in-folder", "ADD d /t"),
  of("not-tar", "ADD not.tar text.gz /t/"),
  of("chown", "ADD --chown=5:6 a.tar /t", "ADD --chown=app plain /p"),
  of("chmod", "ADD --chmod=600 plain /p", "ADD --chmod=711 a.tar /t"),
  of("unpack-false", "ADD --unpack=false a.tgz /t/"),
  of("unpack-true", "ADD --unpack a.tgz /t/"),
  of("unpack-not-tar", "ADD --unpack=true plain /t/"),
  of("link", "ADD --link a.tar /l/"),
  of("exclude", "ADD --exclude=*.tar --exclude=one d /x"),
  of("exclude-archive", "ADD --exclude=in a.tar /x"),
  of("glob", "ADD *.tgz pl* /x/"),
  failing("checksum-local", `ADD --checksum=sha256:${"0".repeat(64)} plain /p`),
  failing("missing", "ADD nope /p"),
  failing("parents", "ADD --parents plain /p"),
  failing("from", "ADD --from=base /full /p"),
];
