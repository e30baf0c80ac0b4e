// What help says of the flags of swarm's commands; the same word means the same everywhere. Flags
// that end in "-add" and "-rm" are described by the one that they change.

const WORDS = `
advertise-addr;Address that other nodes are told
args;Arguments of the command
autolock;Lock managers when they start
availability;Whether tasks may be placed on the node (active, pause, drain)
ca-cert;File of the root certificate in PEM
ca-key;File of the root key in PEM
cap-add;Add a capability
cap-drop;Drop a capability
cert-expiry;How long certificates of nodes are valid
compose-file;File that describes the stack; - reads standard input
config;Configuration for the service
constraint;Where tasks may be placed
container-label;Label of the service's containers
credential-spec;Windows account of the service
data-path-addr;Address for the traffic of overlay networks
data-path-port;Port for the traffic of overlay networks
default-addr-pool;Addresses for overlay networks
default-addr-pool-mask-length;Size of each overlay network
detach;Do not wait for the change to be done
details;Show extra attributes of lines
dispatcher-heartbeat;How often nodes report
dns;Name server
dns-option;Option of the resolver
dns-search;Search domain
driver;Driver of the secret
endpoint-mode;How the service is found (vip, dnsrr)
entrypoint;Entrypoint in place of the image's
env;Environment variable
env-file;File of environment variables
external-ca;Further certificate authorities
filter;Show only what matches NAME=VALUE
follow;Go on with new lines
force;Do it even if something speaks against it
force-new-cluster;Begin anew with the present state
format;Print with a Go template, or as json
generic-resource;Resource that the user defines
group;Additional group of the container's user
health-cmd;Command that checks health
health-interval;Time between checks
health-retries;Failures that make a container unhealthy
health-start-interval;Time between checks in the start period
health-start-period;Time to start before failures count
health-timeout;How long a check may take
host;Line of the hosts file (host:ip)
hostname;Host name of the containers
image;Image of the service
init;Run an init in each container
isolation;Isolation of Windows containers
label;Label
limit-cpu;Most CPUs
limit-memory;Most memory
limit-pids;Most processes
listen-addr;Address that this node listens on
log-driver;Driver of the logs
log-opt;Option of the log driver
max-concurrent;Tasks of a job that run at once
max-snapshots;Further snapshots of the state to keep
memory-swap;Memory and swap together
memory-swappiness;How eagerly memory is swapped out (0 to 100)
mode;replicated, global, replicated-job or global-job
mount;Mount for the containers
name;Name of the service
network;Network to join
no-healthcheck;Leave the image's health check out
no-resolve;Show ids rather than names
no-resolve-image;Take the image's name as it is
no-task-ids;Leave the ids of tasks out
no-trunc;Show everything in full
oom-score-adj;Who is killed first when memory is out (-1000 to 1000)
placement-pref;Preferred placement
pretty;Print for people
prune;Remove services that are not described any more
publish;Port to publish
quiet;Print little
raw;Print the lines alone
read-only;Mount the root file system read-only
replicas;Number of tasks
replicas-max-per-node;Most tasks on one node
reserve-cpu;CPUs that a node must have free
reserve-memory;Memory that a node must have free
resolve-image;When names of images become digests (always, changed, never)
restart-condition;When tasks are restarted (none, on-failure, any)
restart-delay;Time before a restart
restart-max-attempts;Restarts before giving up
restart-window;Time in which restarts are counted
role;worker or manager
rollback;Go back to the definition before
rollback-delay;Time between tasks of a rollback
rollback-failure-action;When a rollback fails (pause, continue)
rollback-max-failure-ratio;Failures that a rollback may have
rollback-monitor;How long a task is watched in a rollback
rollback-order;Order of a rollback (start-first, stop-first)
rollback-parallelism;Tasks that are rolled back at once
rotate;Make a new one
secret;Secret for the service
since;Show lines from this time on
skip-interpolation;Leave variables as they are
snapshot-interval;Log entries between snapshots of the state
stop-grace-period;Time before a container is killed
stop-signal;Signal that stops a container
sysctl;Kernel parameter
tail;Number of lines from the end
task-history-limit;Ended tasks to keep
template-driver;Driver of the template
timestamps;Show the time of lines
token;Token that lets a node join
tty;Give the containers a terminal
ulimit;Resource limit
update-delay;Time between tasks of a change
update-failure-action;When a change fails (pause, continue, rollback)
update-max-failure-ratio;Failures that a change may have
update-monitor;How long a task is watched in a change
update-order;Order of a change (start-first, stop-first)
update-parallelism;Tasks that are changed at once
user;User of the containers
with-registry-auth;Send the credentials of the registry along
workdir;Working folder of the containers
`;

const words = new Map(
  WORDS.trim()
    .split("\n")
    .map((line) => line.split(";") as [string, string]),
);

/** The words for a flag; empty where there are none. */
export function flagWords(name: string): string {
  const own = words.get(name);
  if (own !== undefined) return own;
  const [, base = "", verb] = /^(.*)-(add|rm)$/.exec(name) ?? [];
  const subject = words.get(base);
  if (subject === undefined) return "";
  return `${verb === "add" ? "Add" : "Remove"}: ${subject.toLowerCase()}`;
}
