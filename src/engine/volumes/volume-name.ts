// What a volume of the local driver may be called, in dockerd's words.

import { GantryError } from "../../base/index.ts";

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
const NAME_LENGTH_MIN = 2;

/** Throws invalid. */
export function checkVolumeName(name: string): void {
  if (name.length < NAME_LENGTH_MIN) {
    throw new GantryError(
      "invalid",
      `create ${name}: volume name is too short, names should be at least two alphanumeric characters`,
    );
  }
  if (NAME.test(name)) return;
  throw new GantryError(
    "invalid",
    `create ${name}: ${JSON.stringify(name)} includes invalid characters for a local volume ` +
      'name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host ' +
      "directory, use absolute path",
  );
}
