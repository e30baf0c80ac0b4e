# check=skip=SecretsUsedInArgOrEnv
FROM node:22 AS tools
ONBUILD COPY package.json /tools/
ONBUILD RUN <<EOT
echo "built on $(date)"
EOT

FROM tools AS workspace
WORKDIR /repo
COPY --parents ./packages/./*/package.json pnpm-lock.yaml ./
COPY --exclude=**/*.test.ts --exclude=docs packages packages

FROM workspace AS api
ARG SERVICE=api
ENV SERVICE=${SERVICE/a/A}
RUN --mount=from=shared,source=/cfg,target=/cfg,rw pnpm --filter $SERVICE build

FROM workspace AS web
RUN pnpm --filter web build

FROM nginx:alpine AS final
COPY --from=web /repo/packages/web/dist /usr/share/nginx/html
COPY --from=2 /repo/packages/api/openapi.json /usr/share/nginx/html/
COPY --from=shared nginx.conf /etc/nginx/
