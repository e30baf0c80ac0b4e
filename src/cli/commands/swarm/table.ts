// The commands of docker's that need a swarm, as data: "group verb;usage;arguments;aliases;text",
// then the flags in the notation of docs/reference/facts/cli.tsv. There is no swarm mode: a command
// reads its flags, asks the daemon, and tells what a node in no swarm answers.

export const SWARM_COMMANDS = `
config create;[OPTIONS] CONFIG file|-;2;;Make a configuration of a file
  -l/--label:list --template-driver:string
config inspect;[OPTIONS] CONFIG [CONFIG...];1-;;Show details of configurations
  -f/--format:string --pretty
config ls;[OPTIONS];0;list;List configurations
  -f/--filter:filter --format:string -q/--quiet
config rm;CONFIG [CONFIG...];1-;remove;Remove configurations
node demote;NODE [NODE...];1-;;Make managers workers
node inspect;[OPTIONS] self|NODE [NODE...];1-;;Show details of nodes
  -f/--format:string --pretty
node ls;[OPTIONS];0;list;List nodes
  -f/--filter:filter --format:string -q/--quiet
node promote;NODE [NODE...];1-;;Make workers managers
node ps;[OPTIONS] [NODE...];0-;;List the tasks of nodes
  -f/--filter:filter --format:string --no-resolve --no-trunc -q/--quiet
node rm;[OPTIONS] NODE [NODE...];1-;remove;Remove nodes from the swarm
  -f/--force
node update;[OPTIONS] NODE;1;;Change a node
  --availability:string --label-add:list --label-rm:list --role:string
secret create;[OPTIONS] SECRET [file|-];1-2;;Make a secret of a file
  -d/--driver:string -l/--label:list --template-driver:string
secret inspect;[OPTIONS] SECRET [SECRET...];1-;;Show details of secrets
  -f/--format:string --pretty
secret ls;[OPTIONS];0;list;List secrets
  -f/--filter:filter --format:string -q/--quiet
secret rm;SECRET [SECRET...];1-;remove;Remove secrets
service create;[OPTIONS] IMAGE [COMMAND] [ARG...];1-;;Create a service
  --cap-add:list --cap-drop:list --config:config --constraint:list --container-label:list
  --credential-spec:credential-spec -d/--detach --dns:list --dns-option:list --dns-search:list
  --endpoint-mode:string=vip --entrypoint:command -e/--env:list --env-file:list
  --generic-resource:list --group:list --health-cmd:string --health-interval:duration
  --health-retries:int --health-start-interval:duration --health-start-period:duration
  --health-timeout:duration --host:list --hostname:string --init --isolation:string
  -l/--label:list --limit-cpu:decimal --limit-memory:bytes --limit-pids:int64 --log-driver:string
  --log-opt:list --max-concurrent:uint --memory-swap:bytes --memory-swappiness:int64=-1
  --mode:string=replicated --mount:mount --name:string --network:network --no-healthcheck
  --no-resolve-image --oom-score-adj:int64 --placement-pref:pref -p/--publish:port -q/--quiet
  --read-only --replicas:uint --replicas-max-per-node:uint64 --reserve-cpu:decimal
  --reserve-memory:bytes --restart-condition:string --restart-delay:duration
  --restart-max-attempts:uint --restart-window:duration --rollback-delay:duration=0s
  --rollback-failure-action:string --rollback-max-failure-ratio:float
  --rollback-monitor:duration=0s --rollback-order:string --rollback-parallelism:uint64=1
  --secret:secret --stop-grace-period:duration --stop-signal:string --sysctl:list -t/--tty
  --ulimit:ulimit --update-delay:duration=0s --update-failure-action:string
  --update-max-failure-ratio:float --update-monitor:duration=0s --update-order:string
  --update-parallelism:uint64=1 -u/--user:string --with-registry-auth -w/--workdir:string
service inspect;[OPTIONS] SERVICE [SERVICE...];1-;;Show details of services
  -f/--format:string --pretty
service logs;[OPTIONS] SERVICE|TASK;1;;Show the logs of a service or a task
  --details -f/--follow --no-resolve --no-task-ids --no-trunc --raw --since:string
  -n/--tail:string=all -t/--timestamps
service ls;[OPTIONS];0;list;List services
  -f/--filter:filter --format:string -q/--quiet
service ps;[OPTIONS] SERVICE [SERVICE...];1-;;List the tasks of services
  -f/--filter:filter --format:string --no-resolve --no-trunc -q/--quiet
service rm;SERVICE [SERVICE...];1-;remove;Remove services
service rollback;[OPTIONS] SERVICE;1;;Undo the last change of a service
  -d/--detach -q/--quiet
service scale;SERVICE=REPLICAS [SERVICE=REPLICAS...];1-;;Set how many tasks services have
  -d/--detach
service update;[OPTIONS] SERVICE;1;;Change a service
  --args:command --cap-add:list --cap-drop:list --config-add:config --config-rm:list
  --constraint-add:list --constraint-rm:list --container-label-add:list --container-label-rm:list
  --credential-spec:credential-spec -d/--detach --dns-add:list --dns-option-add:list
  --dns-option-rm:list --dns-rm:list --dns-search-add:list --dns-search-rm:list
  --endpoint-mode:string --entrypoint:command --env-add:list --env-rm:list --force
  --generic-resource-add:list --generic-resource-rm:list --group-add:list --group-rm:list
  --health-cmd:string --health-interval:duration --health-retries:int
  --health-start-interval:duration --health-start-period:duration --health-timeout:duration
  --host-add:list --host-rm:list --hostname:string --image:string --init --isolation:string
  --label-add:list --label-rm:list --limit-cpu:decimal --limit-memory:bytes --limit-pids:int64
  --log-driver:string --log-opt:list --max-concurrent:uint --memory-swap:bytes
  --memory-swappiness:int64=-1 --mount-add:mount --mount-rm:list --network-add:network
  --network-rm:list --no-healthcheck --no-resolve-image --oom-score-adj:int64
  --placement-pref-add:pref --placement-pref-rm:pref --publish-add:port --publish-rm:port
  -q/--quiet --read-only --replicas:uint --replicas-max-per-node:uint64 --reserve-cpu:decimal
  --reserve-memory:bytes --restart-condition:string --restart-delay:duration
  --restart-max-attempts:uint --restart-window:duration --rollback --rollback-delay:duration=0s
  --rollback-failure-action:string --rollback-max-failure-ratio:float
  --rollback-monitor:duration=0s --rollback-order:string --rollback-parallelism:uint64
  --secret-add:secret --secret-rm:list --stop-grace-period:duration --stop-signal:string
  --sysctl-add:list --sysctl-rm:list -t/--tty --ulimit-add:ulimit --ulimit-rm:list
  --update-delay:duration=0s --update-failure-action:string --update-max-failure-ratio:float
  --update-monitor:duration=0s --update-order:string --update-parallelism:uint64 -u/--user:string
  --with-registry-auth -w/--workdir:string
stack config;[OPTIONS];0;;Print the united configuration
  -c/--compose-file:stringSlice --skip-interpolation
stack deploy;[OPTIONS] STACK;1;up;Create or change a stack
  -c/--compose-file:stringSlice -d/--detach=true --prune -q/--quiet --resolve-image:string=always
  --with-registry-auth
stack ls;[OPTIONS];0;list;List stacks
  --format:string
stack ps;[OPTIONS] STACK;1;;List the tasks of a stack
  -f/--filter:filter --format:string --no-resolve --no-trunc -q/--quiet
stack rm;[OPTIONS] STACK [STACK...];1-;remove,down;Remove stacks
  -d/--detach=true
stack services;[OPTIONS] STACK;1;;List the services of a stack
  -f/--filter:filter --format:string -q/--quiet
swarm ca;[OPTIONS];0;;Show or rotate the swarm's root certificate
  --ca-cert:pem-file --ca-key:pem-file --cert-expiry:duration=2160h0m0s -d/--detach
  --external-ca:external-ca -q/--quiet --rotate
swarm init;[OPTIONS];0;;Begin a swarm
  --advertise-addr:string --autolock --availability:string=active --cert-expiry:duration=2160h0m0s
  --data-path-addr:string --data-path-port:uint32 --default-addr-pool:ipNetSlice
  --default-addr-pool-mask-length:uint32=24 --dispatcher-heartbeat:duration=5s
  --external-ca:external-ca --force-new-cluster --listen-addr:node-addr=0.0.0.0:2377
  --max-snapshots:uint64 --snapshot-interval:uint64=10000 --task-history-limit:int64=5
swarm join-token;[OPTIONS] (worker|manager);1;;Show how nodes may join
  -q/--quiet --rotate
swarm join;[OPTIONS] HOST:PORT;1;;Join a swarm
  --advertise-addr:string --availability:string=active --data-path-addr:string
  --listen-addr:node-addr=0.0.0.0:2377 --token:string
swarm leave;[OPTIONS];0;;Leave the swarm
  -f/--force
swarm unlock-key;[OPTIONS];0;;Show the key that unlocks managers
  -q/--quiet --rotate
swarm unlock;;0;;Unlock a manager
swarm update;[OPTIONS];0;;Change the swarm
  --autolock --cert-expiry:duration=2160h0m0s --dispatcher-heartbeat:duration=5s
  --external-ca:external-ca --max-snapshots:uint64 --snapshot-interval:uint64=10000
  --task-history-limit:int64=5
`;

export const SWARM_GROUPS = {
  config: "Manage configurations of a swarm's services",
  node: "Manage the nodes of a swarm",
  secret: "Manage secrets of a swarm's services",
  service: "Manage the services of a swarm",
  stack: "Manage the stacks of a swarm",
  swarm: "Manage a swarm",
} as const;
