// Examples of the commands on networks, volumes, contexts and the daemon, as help shows them.

import type { Examples } from "./index.ts";

export const otherExamples: Examples = {
  "network connect": [
    "gantry network connect front web",
    "gantry network connect --alias db --ip 10.5.0.9 back postgres",
  ],
  "network create": [
    "gantry network create front",
    "gantry network create --subnet 10.5.0.0/24 --gateway 10.5.0.1 back",
    "gantry network create -d macvlan -o parent=eth0 --subnet 192.168.1.0/24 lan",
    "gantry network create --internal --ipv6 private",
  ],
  "network disconnect": ["gantry network disconnect front web"],
  "network explain": ["gantry network explain web 80"],
  "network inspect": [
    "gantry network inspect front",
    "gantry network inspect -f '{{range .Containers}}{{.Name}} {{end}}' front",
  ],
  "network ls": ["gantry network ls", "gantry network ls -f driver=bridge --format json"],
  "network prune": ["gantry network prune -f"],
  "network rm": ["gantry network rm front back"],
  "volume clone": ["gantry volume clone data data-copy"],
  "volume create": [
    "gantry volume create data",
    "gantry volume create -o type=nfs -o o=addr=nas,rw -o device=:/export data",
  ],
  "volume export": ["gantry volume export -o data.tar data"],
  "volume import": ["gantry volume import data data.tar"],
  "volume inspect": ["gantry volume inspect -f '{{.Mountpoint}}' data"],
  "volume ls": ["gantry volume ls -f dangling=true"],
  "volume prune": ["gantry volume prune", "gantry volume prune -af"],
  "volume rm": ["gantry volume rm data"],
  "volume update": ["gantry volume update -o size=20G data"],
  "context create": [
    "gantry context create server --docker host=ssh://me@server.example.com",
    "gantry context create tls --docker host=tcp://10.0.0.9:2376,ca=ca.pem,cert=cert.pem,key=key.pem",
    "gantry context create copy --from server --description 'the same again'",
  ],
  "context export": [
    "gantry context export server",
    "gantry context export server - | ssh host cat",
  ],
  "context import": ["gantry context import server server.dockercontext"],
  "context inspect": ["gantry context inspect -f '{{.Endpoints.docker.Host}}' server"],
  "context ls": ["gantry context ls"],
  "context rm": ["gantry context rm server"],
  "context show": ["gantry context show"],
  "context update": ["gantry context update --docker host=ssh://me@new.example.com server"],
  "context use": ["gantry context use server", "gantry context use default"],
  "system df": ["gantry system df", "gantry system df -v"],
  "system dial-stdio": ["gantry system dial-stdio"],
  "system events": [
    "gantry events",
    "gantry events --since 1h -f type=container -f event=die",
    "gantry events --format json",
  ],
  "system info": ["gantry info", "gantry info -f '{{.CgroupVersion}}'"],
  "system prune": ["gantry system prune", "gantry system prune -af --volumes"],
  completion: [
    "source <(gantry completion bash)",
    "gantry completion zsh > ~/.zfunc/_gantry",
    "gantry completion fish > ~/.config/fish/completions/gantry.fish",
  ],
  inspect: ["gantry inspect web", "gantry inspect --type volume data"],
  version: ["gantry version", "gantry version -f '{{.Server.Version}}'"],
};
