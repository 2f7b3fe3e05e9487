/**
 * Somebody else's archive on the stage: what is replicated of it, and how a client reads that at a
 * site.
 */
import { readKeys } from 'openpgp';

import type { ClientOptions } from '../witness/client.ts';
import { walkIndices, walkSite, type SiteWalk, type WalkedIndices } from '../witness/walk-site.ts';
import type { ForeignArchive } from './parse-arguments.ts';
import { hold, type DemoSite, type Replicated } from './stage.ts';

/** Names of distributions become workflow ids. */
const NAME_MAX = 63;

export const replicatedOf = ({
  url,
  suite,
  keyring,
  components,
  architectures,
}: ForeignArchive): Replicated => ({
  distribution: nameOf(suite),
  suite,
  archiveUrl: url,
  mount: 'archive',
  keyring,
  // Looked at when the demo says so: what the acts count must not change meanwhile.
  settings: { components, architectures, poll: '1d' },
});

const nameOf = (suite: string): string =>
  suite
    .toLowerCase()
    .replaceAll(/[^a-z0-9.]+/g, '-')
    .slice(0, NAME_MAX)
    .replaceAll(/^[-.]+|[-.]+$/g, '') || 'flat';

const PGP_BLOCK =
  /-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n[^]*?\n-----END PGP PUBLIC KEY BLOCK-----/g;

/** Clients want a binary keyring; a file may have armored blocks. */
export async function binaryKeyring(keyring: Uint8Array | null): Promise<Uint8Array | null> {
  if (keyring === null || ((keyring[0] ?? 0) & 0x80) !== 0) return keyring;
  const keys = [];
  for (const [block] of Buffer.from(keyring).toString('latin1').matchAll(PGP_BLOCK))
    keys.push(...(await readKeys({ armoredKeys: block })));
  return Buffer.concat(keys.map((key) => key.write()));
}

interface Reader {
  readonly archive: ForeignArchive;
  readonly keyring: Uint8Array | null;
}

export const walkIndicesAt = (
  { archive, keyring }: Reader,
  site: DemoSite,
): Promise<WalkedIndices> => walkIndices({ url: site.url, suite: archive.suite, keyring });

export const walkAt = ({ archive, keyring }: Reader, site: DemoSite): Promise<SiteWalk> =>
  walkSite({ url: site.url, suite: archive.suite, keyring });

/** Architectures of Debian, by the names that Node has for machines. */
const MACHINES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/** What stands in sources.list of a client that reads all of the selection that one machine can. */
export function readsOf(
  { archive, keyring }: Reader,
  { release, indices }: WalkedIndices,
): Omit<ClientOptions, 'url' | 'folder' | 'suite'> {
  const selected = archive.architectures.length > 0 ? archive.architectures : release.architectures;
  const machines = selected.filter((one) => one !== 'all' && one !== 'source');
  const own = MACHINES[process.arch] ?? 'amd64';
  const architecture = machines.includes(own) || machines.length === 0 ? own : machines[0];
  hold(architecture !== undefined, 'there is an architecture that a client can have');
  const isFlat = archive.suite.endsWith('/');
  return {
    components: isFlat
      ? []
      : archive.components.length > 0
        ? archive.components
        : release.components,
    architecture,
    sources: indices.some((path) => /(^|\/)Sources(\.[a-z0-9]+)?$/.test(path)),
    keyring,
  };
}

export type { Reader };
