// What comes out of a build: images in the store, pushed to registries, archives and folders at the
// client, with their attestations. Each output of a job is one exporter, as BuildKit names them.

export { checkOutputs } from "./check.ts";
export { type ExportOptions, exportOutputs, type OutputPlace } from "./export.ts";
export { type BuildFacts, provenanceOf } from "./provenance.ts";
