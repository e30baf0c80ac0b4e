// The remote log drivers, by their names.

import type { LogDriver } from "./contract.ts";
import { awslogsDriver } from "./driver-awslogs.ts";
import { fluentdDriver } from "./driver-fluentd.ts";
import { gcplogsDriver } from "./driver-gcplogs.ts";
import { gelfDriver } from "./driver-gelf.ts";
import { journaldDriver } from "./driver-journald.ts";
import { splunkDriver } from "./driver-splunk.ts";
import { syslogDriver } from "./driver-syslog.ts";

const drivers: readonly LogDriver[] = [
  ...[awslogsDriver, fluentdDriver, gcplogsDriver, gelfDriver],
  ...[journaldDriver, splunkDriver, syslogDriver],
];

const byName = new Map(drivers.map((driver) => [driver.name, driver]));

/** Undefined for drivers that write here only, and for unknown ones. */
export function remoteDriver(name: string): LogDriver | undefined {
  return byName.get(name);
}

export const remoteDriverNames: readonly string[] = drivers.map(({ name }) => name);
