// Examples of the commands on images, builds and registries, as help shows them.

import type { Examples } from "./index.ts";

export const imageExamples: Examples = {
  "image bootstrap": ["gantry image bootstrap debian:trixie"],
  "image history": ["gantry history nginx", "gantry history --no-trunc --format json nginx"],
  "image import": [
    "gantry import rootfs.tar.gz mine:1",
    "gantry import -c 'CMD [\"/bin/sh\"]' -m 'from a tree' rootfs.tar mine:2",
    "cat rootfs.tar | gantry import - mine:3",
  ],
  "image inspect": [
    "gantry image inspect nginx",
    "gantry image inspect -f '{{json .Config.Env}}' nginx",
  ],
  "image load": ["gantry load -i images.tar", "zstd -dc images.tar.zst | gantry load"],
  "image ls": [
    "gantry images",
    "gantry images --tree",
    "gantry images -f dangling=true -q",
    "gantry images --digests 'registry.example.com/*'",
  ],
  "image prune": ["gantry image prune", "gantry image prune -af --filter until=240h"],
  "image pull": [
    "gantry pull nginx",
    "gantry pull --platform linux/arm64 nginx:1.27",
    "gantry pull -a registry.example.com/team/app",
  ],
  "image push": [
    "gantry push registry.example.com/team/app:1.2",
    "gantry push -a registry.example.com/team/app",
  ],
  "image referrers": ["gantry image referrers registry.example.com/team/app:1.2"],
  "image rm": ["gantry rmi nginx:1.26", "gantry rmi -f $(gantry images -qf dangling=true)"],
  "image save": [
    "gantry save -o images.tar nginx redis",
    "gantry save nginx | zstd > nginx.tar.zst",
  ],
  "image tag": ["gantry tag app registry.example.com/team/app:1.2"],
  "image verify": ["gantry image verify nginx", "gantry image verify --all"],
  "builder bake": [
    "gantry bake",
    "gantry bake --print web api",
    "gantry bake --set '*.platform=linux/arm64'",
  ],
  "builder build": [
    "gantry build -t app .",
    "gantry build -t app --target test --progress plain .",
    "gantry build --platform linux/amd64,linux/arm64 -t registry.example.com/app --push .",
    "gantry build --secret id=token,env=TOKEN --ssh default -t app .",
    "gantry build -o type=local,dest=out .",
    "gantry build -f docker/Dockerfile --build-arg VERSION=2 https://example.com/app.git#main",
  ],
  "builder cache-mount export": ["gantry buildx cache-mount export -o npm.tar npm"],
  "builder cache-mount import": ["gantry buildx cache-mount import npm npm.tar"],
  "builder cache-mount inspect": ["gantry buildx cache-mount inspect npm"],
  "builder cache-mount ls": ["gantry buildx cache-mount ls"],
  "builder cache-mount rm": ["gantry buildx cache-mount rm npm"],
  "builder dial-stdio": ["gantry buildx dial-stdio"],
  "builder du": ["gantry buildx du", "gantry buildx du --verbose"],
  "builder history inspect": ["gantry buildx history inspect"],
  "builder history inspect attachment": ["gantry buildx history inspect attachment"],
  "builder history logs": ["gantry buildx history logs"],
  "builder history ls": ["gantry buildx history ls"],
  "builder history rm": ["gantry buildx history rm --all"],
  "builder imagetools create": [
    "gantry buildx imagetools create -t example.com/app:1 example.com/app:amd64 example.com/app:arm64",
    "gantry buildx imagetools create -t example.com/app:arm -p linux/arm64 example.com/app:1",
  ],
  "builder imagetools inspect": ["gantry buildx imagetools inspect --raw nginx"],
  "builder inspect": ["gantry buildx inspect"],
  "builder ls": ["gantry buildx ls"],
  "builder prune": ["gantry builder prune", "gantry builder prune -af --filter until=48h"],
  "builder rm": ["gantry buildx rm --all-inactive"],
  "builder stop": ["gantry buildx stop"],
  "builder use": ["gantry buildx use default"],
  "builder version": ["gantry buildx version"],
  "manifest annotate": [
    "gantry manifest annotate --arch arm64 --os linux example.com/app:1 example.com/app:arm64",
  ],
  "manifest create": [
    "gantry manifest create example.com/app:1 example.com/app:amd64 example.com/app:arm64",
  ],
  "manifest inspect": ["gantry manifest inspect nginx", "gantry manifest inspect -v nginx"],
  "manifest push": ["gantry manifest push --purge example.com/app:1"],
  "manifest rm": ["gantry manifest rm example.com/app:1"],
  login: [
    "gantry login registry.example.com",
    "pass show registry | gantry login -u me --password-stdin registry.example.com",
  ],
  logout: ["gantry logout registry.example.com"],
  search: ["gantry search --limit 5 --filter is-official=true nginx"],
};
