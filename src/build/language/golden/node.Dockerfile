# syntax=docker/dockerfile:1.7

ARG NODE_VERSION=22
ARG VARIANT=slim

# deps installs what the application needs
FROM node:${NODE_VERSION}-${VARIANT} AS deps
WORKDIR /app
COPY package.json package-lock.json* ./
RUN --mount=type=cache,target=/root/.npm \
    --mount=type=secret,id=npmrc,target=/root/.npmrc \
    npm ci --omit=dev

FROM deps AS build
ENV NODE_ENV=production \
    CI=1
COPY --chown=node:node . .
RUN npm run build && npm prune

FROM node:${NODE_VERSION}-${VARIANT}
LABEL org.opencontainers.image.title="The shop" \
      org.opencontainers.image.source='https://example.org/shop.git'
WORKDIR /srv
COPY --link --from=deps /app/node_modules ./node_modules
COPY --link --from=build /app/dist ./dist
USER node
EXPOSE 3000 9229/tcp
HEALTHCHECK --interval=30s --timeout=3s --start-period=5s --retries=3 \
  CMD node -e "fetch('http://localhost:3000/healthz').catch(() => process.exit(1))"
ENTRYPOINT ["node"]
CMD ["dist/server.js"]
