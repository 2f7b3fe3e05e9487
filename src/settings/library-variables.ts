/** Variables that libraries read themselves, as docs/configuration.md shows them. */

export interface Variable {
  readonly form: string;
  /** What holds while it is unset or empty. */
  readonly unset: string;
  readonly meaning: string;
}

const variable = (form: string, unset: string, meaning: string): Variable => ({
  form,
  unset,
  meaning,
});

/** `@temporalio/envconfig` reads these (servers.ts). */
export const OF_TEMPORAL: Readonly<Record<string, Variable>> = {
  TEMPORAL_ADDRESS: variable('`host:port`', '`127.0.0.1:7233`', 'The frontend of Temporal.'),
  TEMPORAL_NAMESPACE: variable('a name', '`default`', 'The namespace of Temporal; it must exist.'),
  TEMPORAL_API_KEY: variable('a secret', 'none', 'API key of Temporal Cloud; turns TLS on.'),
  TEMPORAL_TLS: variable('`true` or `false`', 'as the profile says', 'TLS to Temporal.'),
  TEMPORAL_TLS_CLIENT_CERT_PATH: variable(
    'a path',
    'none',
    'Certificate of the client (mTLS), PEM.',
  ),
  TEMPORAL_TLS_CLIENT_CERT_DATA: variable('PEM', 'none', 'The same, as text.'),
  TEMPORAL_TLS_CLIENT_KEY_PATH: variable('a path', 'none', 'Key of the client (mTLS), PEM.'),
  TEMPORAL_TLS_CLIENT_KEY_DATA: variable('PEM, a secret', 'none', 'The same, as text.'),
  TEMPORAL_TLS_SERVER_CA_CERT_PATH: variable(
    'a path',
    "the system's",
    'Certificates that the server is checked with, PEM.',
  ),
  TEMPORAL_TLS_SERVER_CA_CERT_DATA: variable('PEM', "the system's", 'The same, as text.'),
  TEMPORAL_TLS_SERVER_NAME: variable(
    'a host name',
    'that of the address',
    'The name that the certificate of the server must have.',
  ),
  TEMPORAL_GRPC_META_: variable(
    'text',
    'none',
    'A prefix: each variable that begins with it adds one header to every call.',
  ),
  TEMPORAL_CONFIG_FILE: variable(
    'a path',
    "Temporal's usual place",
    "Temporal's configuration file (TOML) with profiles. The variables above win over it.",
  ),
  TEMPORAL_PROFILE: variable('a name', '`default`', 'The profile of that file.'),
};

/** `@azure/identity` reads these. */
export const OF_AZURE: Readonly<Record<string, Variable>> = {
  AZURE_TOKEN_CREDENTIALS: variable(
    '`ManagedIdentityCredential` or another name of `@azure/identity`',
    'all of its places are asked in turn',
    'Where a site with `credential: default` gets its tokens. The other variables of' +
      ' `@azure/identity` work, too.',
  ),
  AZURE_CLIENT_ID: variable(
    'an id',
    'the one identity of the system',
    'The user-assigned managed identity, or the application of a service principal.',
  ),
  AZURE_TENANT_ID: variable('an id', 'none', 'The tenant of a service principal.'),
  AZURE_CLIENT_SECRET: variable('a secret', 'none', 'The secret of a service principal.'),
};
