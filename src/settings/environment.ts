/**
 * The environment variables that debgeo reads, by itself or through Temporal's loader, as one
 * table; docs/configuration.md shows it.
 */
interface Variable {
  readonly form: string;
  /** What holds while it is unset or empty. */
  readonly unset: string;
  readonly meaning: string;
}

export const ENVIRONMENT: Readonly<Record<string, Variable>> = {
  DATABASE_URL: {
    form: '`postgresql://user:password@host:5432/database`',
    unset: 'required, but with `--demo` or `--dev`',
    meaning:
      'The database of debgeo, which is none of those of Temporal. Special characters of a password as `%40` and the like.',
  },
  TEMPORAL_ADDRESS: {
    form: '`host:port`',
    unset: '`127.0.0.1:7233`',
    meaning: 'The frontend of Temporal.',
  },
  TEMPORAL_NAMESPACE: {
    form: 'a name',
    unset: '`default`',
    meaning: 'The namespace of Temporal; it must exist.',
  },
  TEMPORAL_API_KEY: {
    form: 'a secret',
    unset: 'none',
    meaning: 'API key of Temporal Cloud; turns TLS on.',
  },
  TEMPORAL_TLS: {
    form: '`true` or `false`',
    unset: 'as the profile says',
    meaning: 'TLS to Temporal.',
  },
  TEMPORAL_TLS_CLIENT_CERT_PATH: {
    form: 'a path',
    unset: 'none',
    meaning: 'Certificate of the client (mTLS), PEM.',
  },
  TEMPORAL_TLS_CLIENT_CERT_DATA: { form: 'PEM', unset: 'none', meaning: 'The same, as text.' },
  TEMPORAL_TLS_CLIENT_KEY_PATH: {
    form: 'a path',
    unset: 'none',
    meaning: 'Key of the client (mTLS), PEM.',
  },
  TEMPORAL_TLS_CLIENT_KEY_DATA: {
    form: 'PEM, a secret',
    unset: 'none',
    meaning: 'The same, as text.',
  },
  TEMPORAL_TLS_SERVER_CA_CERT_PATH: {
    form: 'a path',
    unset: "the system's",
    meaning: 'Certificates that the server is checked with, PEM.',
  },
  TEMPORAL_TLS_SERVER_CA_CERT_DATA: {
    form: 'PEM',
    unset: "the system's",
    meaning: 'The same, as text.',
  },
  TEMPORAL_TLS_SERVER_NAME: {
    form: 'a host name',
    unset: 'that of the address',
    meaning: 'The name that the certificate of the server must have.',
  },
  TEMPORAL_GRPC_META_: {
    form: 'text',
    unset: 'none',
    meaning: 'The prefix of variables that each add one header to every call to Temporal.',
  },
  TEMPORAL_CONFIG_FILE: {
    form: 'a path',
    unset: "Temporal's usual place",
    meaning:
      "Temporal's configuration file (TOML) with profiles. The variables above go before it.",
  },
  TEMPORAL_PROFILE: { form: 'a name', unset: '`default`', meaning: 'The profile of that file.' },
  AZURE_TOKEN_CREDENTIALS: {
    form: '`ManagedIdentityCredential` or another name of `@azure/identity`',
    unset: 'all of its places are asked in turn',
    meaning:
      'Where a site with `credential: default` gets its tokens. All further variables of `@azure/identity` work, too.',
  },
  AZURE_CLIENT_ID: {
    form: 'an id',
    unset: 'the one identity of the system',
    meaning: 'The user-assigned managed identity, or the application of a service principal.',
  },
  AZURE_TENANT_ID: { form: 'an id', unset: 'none', meaning: 'The tenant of a service principal.' },
  AZURE_CLIENT_SECRET: {
    form: 'a secret',
    unset: 'none',
    meaning: 'The secret of a service principal.',
  },
  DEBGEO_LOG_LEVEL: {
    form: '`trace`, `debug`, `info`, `warn`, `error`, `fatal` or `silent`',
    unset: '`info`',
    meaning: 'What a worker logs: one JSON object per line, to stderr.',
  },
  DEBGEO_STOP_MS: {
    form: 'milliseconds',
    unset: '`5000`',
    meaning:
      'How long a worker that was told to stop (SIGTERM, SIGINT) lets activities work on; then it cuts them, commits what was copied and ends. Less than what waits before it kills: 10 s with Docker.',
  },
  DEBGEO_SLICE_MS: {
    form: 'milliseconds',
    unset: '`20000`',
    meaning:
      'How long one activity copies or checks before it commits and the next one begins. For tests.',
  },
  DEBGEO_SPOOL_DIR: {
    form: 'a path',
    unset: '`$XDG_CACHE_HOME/debgeo/spool`, else `~/.cache/debgeo/spool`',
    meaning:
      'Where a worker keeps what it read once for several sites, up to 8 GiB, on a disk and not in memory. Free again when it ends.',
  },
  DEBGEO_DATA_DIR: {
    form: 'a path',
    unset: '`.debgeo`',
    meaning: 'Where `npm run demo` and `npm run dev` keep their servers.',
  },
  DEBGEO_CACHE_DIR: {
    form: 'a path',
    unset: '`$XDG_CACHE_HOME/debgeo`, else `~/.cache/debgeo`',
    meaning:
      'Where the Temporal server of demo, dev and tests is kept once it was downloaded or built.',
  },
  DEBGEO_TEMPORAL_BINARY: {
    form: 'a path',
    unset: 'cache, `PATH`, download, build, in this order',
    meaning: 'The `temporal` program that demo, dev and tests start.',
  },
};
