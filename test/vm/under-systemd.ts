// A command in a machine beneath systemd: the first process of a pid namespace of its own, with the
// message bus, the manager of all cgroups. Only what the tests need of it is started.

const UNITS: Readonly<Record<string, string>> = {
  "dbus.socket": `[Unit]
DefaultDependencies=no
[Socket]
ListenStream=/run/dbus/system_bus_socket
`,
  "dbus.service": `[Unit]
DefaultDependencies=no
Requires=dbus.socket
[Service]
Type=notify
NotifyAccess=main
ExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation --syslog-only
`,
  // The manager is on the bus a moment after the bus is.
  "gantry-ready.service": `[Unit]
DefaultDependencies=no
After=dbus.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'until busctl status org.freedesktop.systemd1; do sleep 0.2; done; echo >/run/gantry-ready'
`,
  "gantry.target": `[Unit]
DefaultDependencies=no
Wants=dbus.service gantry-ready.service
AllowIsolate=yes
`,
};

/** For /bin/sh in the guest; ends as the command does. */
export function underSystemd(command: string): string {
  const folder = "/run/systemd/system";
  const files = Object.entries(UNITS).map(
    ([name, text]) => `cat >${folder}/${name} <<'END'\n${text}END`,
  );
  const start =
    "exec /lib/systemd/systemd --system --unit=gantry.target --show-status=0 " +
    "--log-target=console --log-level=warning";
  return [
    `mkdir -p ${folder}`,
    ...files,
    "mkfifo /run/gantry-ready",
    // It tells of itself by this variable that it is in a container, and leaves devices alone.
    `container=gantry unshare --pid --fork --mount --propagation unchanged --mount-proc \\
  /bin/sh -c '${start}' </dev/null >/run/gantry-systemd 2>&1 &`,
    "unshare=$!",
    "read -r ready </run/gantry-ready",
    "read -r manager rest </proc/$unshare/task/$unshare/children",
    `cat >/run/gantry-command <<'END'\n${command}\nEND`,
    'nsenter -t "$manager" -p -m /bin/sh /run/gantry-command',
    "code=$?",
    '[ "$code" = 0 ] || cat /run/gantry-systemd',
    "exit $code",
  ].join("\n");
}
