/** What an archive asks for before it answers. Secrets are named here, and never written. */

import type { SecretReference } from './secret-reference.ts';

/**
 * One of four: Basic (RFC 7617), Bearer (RFC 6750), headers that an archive made up
 * (`Deploy-Token` of GitLab), or a certificate of the client and its key, both PEM.
 */
export type ArchiveLogin =
  | { readonly user: string; readonly password: SecretReference }
  | { readonly bearer: SecretReference }
  | { readonly headers: Readonly<Record<string, SecretReference>> }
  | { readonly client_certificate: SecretReference; readonly key: SecretReference };
