import assert from "node:assert/strict";
import { test } from "node:test";
import { remoteDriver, remoteDriverNames } from "./drivers.ts";

/** What dockerd 28.5 answers to `create`, as seen; undefined: it creates the container. */
const ANSWERS: [driver: string, options: string, answer: string | undefined][] = [
  ["syslog", "foo=bar", "unknown log opt 'foo' for syslog log driver"],
  ["syslog", "syslog-address=foo", "unsupported scheme: ''"],
  ["syslog", "syslog-address=foo://bar", "unsupported scheme: 'foo'"],
  [
    "syslog",
    "syslog-address=unix:///gantry-not-there",
    "stat /gantry-not-there: no such file or directory",
  ],
  [
    "syslog",
    "syslog-address=unixgram:///gantry-not-there",
    "stat /gantry-not-there: no such file or directory",
  ],
  ["syslog", "syslog-address=tcp://", undefined],
  ["syslog", "syslog-address=tcp://a:b:c", 'parse "tcp://a:b:c": invalid port ":c" after host'],
  ["syslog", "syslog-facility=foo", "invalid syslog facility"],
  ["syslog", "syslog-facility=24", "invalid syslog facility"],
  ["syslog", "syslog-facility=local7", undefined],
  ["syslog", "syslog-format=foo", "Invalid syslog format"],
  ["syslog", "syslog-format=rfc5424micro", undefined],
  ["syslog", "syslog-tls-ca-cert=/nosuch syslog-address=tcp+tls://127.0.0.1:1", undefined],
  ["gelf", "", "gelf-address is a required parameter"],
  ["gelf", "foo=bar", "gelf-address is a required parameter"],
  ["gelf", "gelf-address=foo", "gelf: endpoint needs to be TCP or UDP"],
  ["gelf", "gelf-address=http://x:1", "gelf: endpoint needs to be TCP or UDP"],
  ["gelf", "gelf-address=unix:///x", "gelf: endpoint needs to be TCP or UDP"],
  ["gelf", "gelf-address=udp://x", "gelf: please provide gelf-address as proto://host:port"],
  [
    "gelf",
    "gelf-address=udp://x:1 gelf-compression-type=foo",
    'unknown value "foo" for log opt "gelf-compression-type" for gelf log driver',
  ],
  [
    "gelf",
    "gelf-address=udp://x:1 gelf-compression-level=77",
    'unknown value "77" for log opt "gelf-compression-level" for gelf log driver',
  ],
  [
    "gelf",
    "gelf-address=udp://x:1 gelf-tcp-max-reconnect=7",
    '"gelf-tcp-max-reconnect" is only valid for TCP',
  ],
  [
    "gelf",
    "gelf-address=tcp://x:1 gelf-tcp-max-reconnect=a",
    '"gelf-tcp-max-reconnect" must be a positive integer',
  ],
  [
    "gelf",
    "gelf-address=tcp://x:1 gelf-tcp-reconnect-delay=-7",
    '"gelf-tcp-reconnect-delay" must be a positive integer',
  ],
  [
    "gelf",
    "gelf-address=tcp://x:1 gelf-compression-type=none",
    "compression is only supported on UDP",
  ],
  ["fluentd", "foo=bar", "unknown log opt 'foo' for fluentd log driver"],
  ["fluentd", "fluentd-address=foo", undefined],
  [
    "fluentd",
    "fluentd-address=foo:bar",
    'invalid fluentd-address (foo:bar): parse "tcp://foo:bar": invalid port ":bar" after host',
  ],
  [
    "fluentd",
    "fluentd-address=http://foo:1",
    "invalid fluentd-address (http://foo:1): unsupported scheme: 'http'",
  ],
  ["fluentd", "fluentd-address=tls://foo:1", undefined],
  [
    "fluentd",
    "fluentd-address=tcp://foo:1/path",
    "invalid fluentd-address (tcp://foo:1/path): should not contain a path element",
  ],
  ["fluentd", "fluentd-address=unix://", "invalid fluentd-address (unix://): path is empty"],
  [
    "fluentd",
    "fluentd-address=tcp://foo:99999",
    "invalid fluentd-address (tcp://foo:99999): invalid port: " +
      'strconv.ParseUint: parsing "99999": value out of range',
  ],
  ["fluentd", "fluentd-buffer-limit=foo", "invalid size: 'foo'"],
  ["fluentd", "fluentd-retry-wait=foo", 'time: invalid duration "foo"'],
  ["fluentd", "fluentd-retry-wait=1", 'time: missing unit in duration "1"'],
  ["fluentd", "fluentd-max-retries=-1", 'strconv.ParseUint: parsing "-1": invalid syntax'],
  [
    "fluentd",
    "fluentd-max-retries=99999999999999999999",
    'strconv.ParseUint: parsing "99999999999999999999": value out of range',
  ],
  ["fluentd", "fluentd-async=foo", 'strconv.ParseBool: parsing "foo": invalid syntax'],
  [
    "fluentd",
    "fluentd-async-connect=true",
    "unknown log opt 'fluentd-async-connect' for fluentd log driver",
  ],
  [
    "fluentd",
    "fluentd-async-reconnect-interval=foo",
    'invalid value for fluentd-async-reconnect-interval: time: invalid duration "foo"',
  ],
  [
    "fluentd",
    "fluentd-async-reconnect-interval=20s",
    'invalid value for fluentd-async-reconnect-interval: value ("20s") must be between 100ms and 10s',
  ],
  [
    "fluentd",
    "fluentd-write-timeout=foo",
    "invalid value for fluentd-write-timeout: value must be a duration: " +
      'time: invalid duration "foo"',
  ],
  [
    "fluentd",
    "fluentd-write-timeout=-1s",
    "invalid value for fluentd-write-timeout: value must be a duration that is non-negative",
  ],
  ["splunk", "", undefined],
  ["splunk", "foo=bar", "unknown log opt 'foo' for splunk log driver"],
  ["splunk", "splunk-url=foo splunk-gzip-level=77", undefined],
  ["awslogs", "", "must specify a value for log opt 'awslogs-group'"],
  ["awslogs", "foo=bar", "unknown log opt 'foo' for awslogs log driver"],
  [
    "awslogs",
    "awslogs-group=a awslogs-create-group=foo",
    "must specify valid value for log opt 'awslogs-create-group': " +
      'strconv.ParseBool: parsing "foo": invalid syntax',
  ],
  [
    "awslogs",
    "awslogs-group=a awslogs-datetime-format=%Y awslogs-multiline-pattern=x",
    "you cannot configure log opt 'awslogs-datetime-format' and 'awslogs-multiline-pattern' " +
      "at the same time",
  ],
  ["awslogs", "awslogs-group=a awslogs-multiline-pattern=(", undefined],
  [
    "awslogs",
    "awslogs-group=a awslogs-max-buffered-events=0",
    "must specify a positive integer for log opt 'awslogs-max-buffered-events': 0",
  ],
  ["awslogs", "awslogs-group=a awslogs-format=foo", "unsupported log format 'foo'"],
  ["awslogs", "awslogs-group=a awslogs-format=json/emf", undefined],
  [
    "awslogs",
    "awslogs-group=a awslogs-format=json/emf awslogs-multiline-pattern=x",
    "you cannot configure log opt 'awslogs-datetime-format' or 'awslogs-multiline-pattern' " +
      "when log opt 'awslogs-format' is set to 'json/emf'",
  ],
  ["journald", "foo=bar", "unknown log opt 'foo' for journald log driver"],
  ["journald", "tag=x", undefined],
  ["gcplogs", "foo=bar", '"foo" is not a valid option for the gcplogs driver'],
  ["gcplogs", "gcp-project=x gcp-log-cmd=true", undefined],
];

for (const [name, text, answer] of ANSWERS) {
  const what = `${name} with ${text || "no options"}`;
  test(answer === undefined ? `${what} is taken` : `${what} is refused in docker's words`, () => {
    const options = Object.fromEntries(
      text
        .split(" ")
        .filter((one) => one !== "")
        .map((one) => [one.slice(0, one.indexOf("=")), one.slice(one.indexOf("=") + 1)]),
    );
    const validate = () => remoteDriver(name)!.validate(options);
    if (answer === undefined) validate();
    else assert.throws(validate, { kind: "invalid", message: answer });
  });
}

test("docker's remote drivers are all there", () => {
  const names = ["awslogs", "fluentd", "gcplogs", "gelf", "journald", "splunk", "syslog"];
  assert.deepEqual(remoteDriverNames, names);
  assert.equal(remoteDriver("json-file"), undefined);
});
