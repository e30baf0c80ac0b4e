// Examples of the commands on containers, as help shows them.

import type { Examples } from "./index.ts";

export const containerExamples: Examples = {
  "container attach": ["gantry attach web", "gantry attach --detach-keys ctrl-x web"],
  "container commit": [
    "gantry commit web web:changed",
    "gantry commit -c 'CMD [\"nginx\"]' -m 'a new start' web web:2",
  ],
  "container cp": [
    "gantry cp web:/etc/nginx/nginx.conf .",
    "gantry cp ./site/. web:/usr/share/nginx/html",
    "gantry cp web:/var/log - | tar -t",
  ],
  "container create": ["gantry create --name web -p 8080:80 nginx"],
  "container diff": ["gantry diff web"],
  "container exec": [
    "gantry exec -it web sh",
    "gantry exec -u root -w /srv web ls -l",
    "gantry exec -d web nginx -s reload",
  ],
  "container export": ["gantry export -o web.tar web", "gantry export web | tar -t"],
  "container inspect": [
    "gantry container inspect web",
    "gantry container inspect -f '{{.State.Status}}' web",
    "gantry container inspect -s -f '{{.SizeRw}}' web",
  ],
  "container kill": ["gantry kill web", "gantry kill -s HUP web"],
  "container logs": [
    "gantry logs -f web",
    "gantry logs --since 10m -n 100 web",
    "gantry logs -t --until 2026-01-02T03:04:05 web",
  ],
  "container ls": [
    "gantry ps -a",
    "gantry ps --tree",
    "gantry ps -f status=exited -f label=team=web",
    "gantry ps --format 'table {{.Names}}\\t{{.Status}}\\t{{.Ports}}'",
    "gantry ps -q --no-trunc",
  ],
  "container pause": ["gantry pause web db"],
  "container port": ["gantry port web", "gantry port web 80/tcp"],
  "container prune": ["gantry container prune", "gantry container prune -f --filter until=24h"],
  "container rename": ["gantry rename web old-web"],
  "container restart": ["gantry restart web", "gantry restart -t 30 web db"],
  "container rm": ["gantry rm web", "gantry rm -fv web db"],
  "container run": [
    "gantry run -it --rm alpine sh",
    "gantry run -d --name web -p 8080:80 --restart unless-stopped nginx",
    'gantry run --rm -v "$PWD:/src" -w /src node:26 npm test',
    "gantry run -d -m 512m --cpus 1.5 --pids-limit 100 --read-only --tmpfs /tmp app",
    "gantry run --rm --network container:web alpine wget -qO- localhost",
    "gantry run --rm --env-file .env -e DEBUG=1 app",
    "gantry run --rm --mount type=image,source=data:1,target=/data,readonly app",
  ],
  "container start": ["gantry start web", "gantry start -ai job"],
  "container stats": [
    "gantry stats",
    "gantry stats --no-stream web db",
    "gantry stats --format '{{.Name}} {{.CPUPerc}}'",
  ],
  "container stop": ["gantry stop web", "gantry stop -t 60 db"],
  "container top": ["gantry top web", "gantry top web -o pid,rss,args"],
  "container unpause": ["gantry unpause web"],
  "container update": [
    "gantry update -m 1g --memory-swap 1g web",
    "gantry update --restart always web db",
  ],
  "container wait": ["gantry wait job"],
  "checkpoint create": ["gantry checkpoint create web before"],
  "checkpoint ls": ["gantry checkpoint ls web"],
  "checkpoint rm": ["gantry checkpoint rm web before"],
  cgls: ["gantry cgls", "gantry cgls web", "gantry cgls --format json"],
  cgtop: [
    "gantry cgtop",
    "gantry cgtop --sort memory",
    "gantry cgtop --no-stream --format json",
    "gantry cgtop -a --interval 5s web",
  ],
};
