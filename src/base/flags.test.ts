import assert from "node:assert/strict";
import { test } from "node:test";
import { formatDuration, humanDuration, parseDuration } from "./durations.ts";
import { splitCsv } from "./flag-types.ts";
import { defineFlags, parseFlags } from "./flags.ts";
import { humanBinarySize, humanSize, parseRamBytes } from "./sizes.ts";

const flags = defineFlags({
  interactive: { type: "bool", shorthand: "i" },
  tty: { type: "bool", shorthand: "t" },
  detach: { type: "bool", shorthand: "d" },
  publish: { type: "list", shorthand: "p" },
  name: { type: "string" },
  memory: { type: "bytes", shorthand: "m" },
  "stop-timeout": { type: "int" },
  network: { type: "string", aliases: ["net"] },
  interval: { type: "duration" },
  opt: { type: "stringSlice" },
  label: { type: "map" },
  pull: { type: "string", noOptionDefault: "always", default: "missing" },
  ip: { type: "custom", parse: (text: string) => ({ ip: text }) },
});

const errorOf = (...argv: string[]): string => {
  try {
    parseFlags(flags, argv);
  } catch (error) {
    return (error as Error).message;
  }
  return "";
};

test("flags are read in every spelling that pflag knows", () => {
  const { values, args, changed } = parseFlags(flags, [
    "-itd",
    "-p80:80",
    "-p=81:81",
    "--publish",
    "82:82",
    "--net=host",
    "-m",
    "1.5g",
    "--stop-timeout=0x10",
    "--interval=1m30s",
    "--opt=a,b",
    "--opt",
    "c",
    "--label=k=v=w",
    "--tty=false",
    "--pull",
    "image",
    "--",
    "-x",
  ]);
  assert.deepEqual([values.interactive, values.tty, values.detach], [true, false, true]);
  assert.deepEqual(values.publish, ["80:80", "81:81", "82:82"]);
  assert.equal(values.network, "host");
  assert.equal(values.memory, 1.5 * 2 ** 30);
  assert.equal(values["stop-timeout"], 16);
  assert.equal(values.interval, 90e9);
  assert.deepEqual(values.opt, ["a", "b", "c"]);
  assert.deepEqual(values.label, { k: "v=w" });
  assert.equal(values.pull, "always");
  assert.deepEqual(args, ["image", "-x"]);
  assert.ok(changed.has("network") && !changed.has("name"));
});

test("without interspersing the first argument ends the flags", () => {
  const { args, argsLengthAtDash } = parseFlags(flags, ["-i", "image", "-t", "--", "x"], {
    interspersed: false,
  });
  assert.deepEqual(args, ["image", "-t", "--", "x"]);
  assert.equal(argsLengthAtDash, -1);
  assert.equal(parseFlags(flags, ["a", "--", "b"]).argsLengthAtDash, 1);
});

test("errors are worded as pflag words them", () => {
  assert.equal(errorOf("--foo"), "unknown flag: --foo");
  assert.equal(errorOf("-itz"), "unknown shorthand flag: 'z' in -z");
  assert.equal(errorOf("-iz9"), "unknown shorthand flag: 'z' in -z9");
  assert.equal(errorOf("--name"), "flag needs an argument: --name");
  assert.equal(errorOf("-ip"), "flag needs an argument: 'p' in -p");
  assert.equal(errorOf("--=x"), "bad flag syntax: --=x");
  assert.equal(errorOf("---x"), "bad flag syntax: ---x");
  assert.equal(
    errorOf("--tty=maybe"),
    'invalid argument "maybe" for "-t, --tty" flag: ' +
      'strconv.ParseBool: parsing "maybe": invalid syntax',
  );
  assert.equal(
    errorOf("--stop-timeout", "x"),
    'invalid argument "x" for "--stop-timeout" flag: strconv.ParseInt: parsing "x": invalid syntax',
  );
  assert.equal(
    errorOf("--interval", "5"),
    'invalid argument "5" for "--interval" flag: time: missing unit in duration "5"',
  );
  assert.equal(
    errorOf("-m", "lots"),
    'invalid argument "lots" for "-m, --memory" flag: invalid size: \'lots\'',
  );
  assert.equal(errorOf("-h"), "pflag: help requested");
});

test("CSV values may be quoted", () => {
  assert.deepEqual(splitCsv('"a,b",c,"d""e",'), ["a,b", "c", 'd"e', ""]);
  assert.throws(() => splitCsv('"a'), /quoted-field/);
});

test("durations and sizes are read and printed as Go does", () => {
  assert.equal(parseDuration("-1.5h"), -5400e9);
  assert.equal(parseDuration("1h2m3s4ms5us6ns"), 3723004005006);
  for (const text of ["", "1", "1x", "h", ".s", "-", "1s2"])
    assert.throws(() => parseDuration(text));
  assert.deepEqual([90e9, 3600e9, 1500000, 0, 2.5e9].map(formatDuration), [
    "1m30s",
    "1h0m0s",
    "1.5ms",
    "0s",
    "2.5s",
  ]);
  assert.deepEqual(
    [
      0,
      1e3,
      45e3,
      61e3,
      300e3,
      3600e3,
      7200e3,
      49 * 3600e3,
      20 * 86400e3,
      100 * 86400e3,
      900 * 86400e3,
    ].map(humanDuration),
    [
      "Less than a second",
      "1 second",
      "45 seconds",
      "About a minute",
      "5 minutes",
      "About an hour",
      "2 hours",
      "2 days",
      "2 weeks",
      "3 months",
      "2 years",
    ],
  );
  assert.deepEqual(["64m", "1KiB", "10 kb", "0", "5b"].map(parseRamBytes), [
    64 << 20,
    1024,
    10240,
    0,
    5,
  ]);
  for (const text of ["5z", "1kk", "-1", "x5"]) assert.throws(() => parseRamBytes(text));
  assert.equal(humanSize(12_345_678), "12.35MB");
  assert.equal(humanSize(7_340_000, 3), "7.34MB");
  assert.equal(humanSize(999, 3), "999B");
  assert.equal(humanBinarySize(512 << 20), "512MiB");
  assert.equal(humanSize(0), "0B");
});
