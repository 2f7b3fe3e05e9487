# debgeo, run from its source. glibc is needed (Temporal's SDK is native), and ca-certificates for its TLS.
# With a read-only root file system, a worker needs a writable /tmp: it bundles its workflows there when it starts.
FROM node:24-bookworm-slim
RUN apt-get update \
  && apt-get install --yes --no-install-recommends ca-certificates \
  && rm -rf /var/lib/apt/lists/*
ENV NODE_ENV=production
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev && npm cache clean --force
COPY src ./src
COPY activities ./activities
COPY workflows ./workflows
USER node
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "src/main.ts"]
CMD ["--help"]
