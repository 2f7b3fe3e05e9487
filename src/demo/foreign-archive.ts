/** An archive of another owner: what is replicated of it, and how a client reads it at a site. */
import { readKeys } from 'openpgp';

import type { ClientOptions } from '../witness/client.ts';
import { walkIndices, walkSite, type SiteWalk, type WalkedIndices } from '../witness/walk-site.ts';
import type { ForeignArchive } from './parse-arguments.ts';
import { hold, type DemoSite, type Replicated } from './stage.ts';

/** Of the name of a distribution, which becomes a workflow id. */
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
  // The demo itself says when debgeo looks: what the acts count must not change meanwhile.
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

/** For clients, which take a binary keyring; the file may have armored blocks. */
export async function binaryKeyring(keyring: Uint8Array | null): Promise<Uint8Array | null> {
  if (keyring === null || ((keyring[0] ?? 0) & 0x80) !== 0) return keyring;
  const keys = [];
  for (const [block] of Buffer.from(keyring).toString('latin1').matchAll(PGP_BLOCK))
    keys.push(...(await readKeys({ armoredKeys: block })));
  return Buffer.concat(keys.map((key) => key.write()));
}

/** What a client needs to read the archive at a site. */
export interface Reader {
  readonly archive: ForeignArchive;
  readonly keyring: Uint8Array | null;
}

export const walkIndicesAt = (
  { archive, keyring }: Reader,
  site: DemoSite,
): Promise<WalkedIndices> => walkIndices({ url: site.url, suite: archive.suite, keyring });

export const walkAt = ({ archive, keyring }: Reader, site: DemoSite): Promise<SiteWalk> =>
  walkSite({ url: site.url, suite: archive.suite, keyring });

/** Debian's names of architectures, by Node's. */
const MACHINES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/** The sources.list of a client that reads as much of the selection as one machine can. */
export function readsOf(
  { archive, keyring }: Reader,
  { release, indices }: WalkedIndices,
): Omit<ClientOptions, 'url' | 'folder' | 'suite'> {
  const selected = archive.architectures.length > 0 ? archive.architectures : release.architectures;
  const machines = selected.filter((one) => one !== 'all' && one !== 'source');
  const own = MACHINES[process.arch] ?? 'amd64';
  const architecture = machines.includes(own) || machines.length === 0 ? own : machines[0];
  hold(architecture !== undefined, 'the selection has the architecture of a machine');
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
