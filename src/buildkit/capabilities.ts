// What clients may count on, by BuildKit's names. They leave out of a request what is not listed.

const FRONT_END = [
  ...["solve.base", "return", "importcaches", "proto.refarray", "reference.output"],
  ...["frontend.caps", "frontend.inputs", "gateway.evaluate", "gateway.solve.evaluate"],
];

const BUILD = [
  ...["platform", "exporter.multiple", "exporter.sourcedateepoch"],
  ...["exporter.image.annotations", "exporter.image.attestations"],
  ...["history.filter", "gc.freespacefilter"],
  ...["source.image", "source.image.resolvemode", "source.ocilayout"],
  ...["source.local", "source.local.sessionid", "source.local.includepatterns"],
  ...["source.local.followpaths", "source.local.excludepatterns", "source.local.sharedkeyhint"],
  ...["source.git", "source.git.keepgitdir", "source.git.subdir", "source.git.fullurl"],
  ...["source.http", "source.http.checksum"],
];

const enabled = (id: string) => ({ id, enabled: true });

export const frontEndCaps = FRONT_END.map(enabled);
export const llbCaps = BUILD.map(enabled);
