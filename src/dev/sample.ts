/**
 * What `npm run dev` prepares: a public container at each Azurite, and a configuration file that
 * `debgeo apply` takes as it is.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { BlobServiceClient, StorageSharedKeyCredential } from '@azure/storage-blob';

import type { BlobServer } from '../settings/stack-file.ts';

/** Small and signed; the archive releases it nearly every day. */
export const SAMPLE_DISTRIBUTION = 'bookworm-updates';

const CONTAINER = 'apt';

/**
 * @returns the path of the file. A file that is there already stays: the developer may have edited
 *   it.
 */
export async function writeSample(folder: string, blobs: readonly BlobServer[]): Promise<string> {
  await Promise.all(blobs.map(openContainer));
  for (const server of blobs)
    writeFileSync(
      credentialFile(folder, server),
      `AccountName=${server.account};AccountKey=${server.key}\n`,
      { mode: 0o600 },
    );
  const file = join(folder, 'sample.yaml');
  if (!existsSync(file)) writeFileSync(file, sampleOf(folder, blobs));
  return file;
}

/** Its blobs can be read anonymously, as those of a public site. */
async function openContainer({ url, account, key }: BlobServer): Promise<void> {
  const service = new BlobServiceClient(url, new StorageSharedKeyCredential(account, key));
  await service.getContainerClient(CONTAINER).createIfNotExists({ access: 'blob' });
}

const credentialFile = (folder: string, { name }: BlobServer): string =>
  join(folder, `${name}.credential`);

const sampleOf = (
  folder: string,
  blobs: readonly BlobServer[],
): string => `# Written by npm run dev; edit it, or write your own.
# Apply with: npm run -s debgeo -- apply FILE --dev
archives:
  debian:
    url: http://deb.debian.org/debian
    keyring: /usr/share/keyrings/debian-archive-keyring.gpg # of the package debian-archive-keyring
sites:
${blobs
  .map(
    (server) => `  ${server.name}:
    account_url: ${JSON.stringify(server.url)}
    container: ${CONTAINER}
    credential: { file: ${JSON.stringify(credentialFile(folder, server))} }
`,
  )
  .join('')}distributions:
  ${SAMPLE_DISTRIBUTION}:
    archive: debian
    suite: ${SAMPLE_DISTRIBUTION}
    components: [main]
    architectures: [amd64, all]
    sites: [${blobs.map(({ name }) => name).join(', ')}]
`;
