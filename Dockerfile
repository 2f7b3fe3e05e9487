# debgeo, run from its source. Temporal's SDK is native: it needs glibc, and for TLS
# ca-certificates.
# With a read-only root file system a worker needs a writable /tmp: it bundles its workflows there
# when it starts, and a capture writes there first what it fetches.
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
# Fills the compile cache that src/lean-node names: the first start is as lean as the next.
RUN src/lean-node --input-type=module --eval "await import('/app/src/cli/worker.ts')" \
  && src/lean-node src/main.ts --help > /dev/null
STOPSIGNAL SIGTERM
ENTRYPOINT ["src/lean-node", "src/main.ts"]
CMD ["--help"]
