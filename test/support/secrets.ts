import { Secrets } from '../../src/secrets/secrets.ts';
import type { CredentialSource } from '../../src/site/credentials.ts';

/** What a worker of this process would read: its variables, and any file. */
export const SECRETS = new Secrets(process.env, null);

/** The same for sites; no host is listed. */
export const SOURCE: CredentialSource = { secrets: SECRETS, storageHosts: [] };
