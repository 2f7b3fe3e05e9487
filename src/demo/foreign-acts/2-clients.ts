import { digest } from '../../witness/ask-as-apt.ts';
import type { Client, DownloadedFile } from '../../witness/client.ts';
import type { WalkedIndices } from '../../witness/walk-site.ts';
import { readsOf, walkIndicesAt, type Reader } from '../foreign-archive.ts';
import { hold, type DemoSite, type Stage } from '../stage.ts';

export const title = 'A client reads both sites.';

/** A sample for each site, so that an archive of any size takes minutes at most. */
const PACKAGES_MAX = 200;
const BYTES_MAX = 512 * 1024 * 1024;

export interface Reading {
  /** Downloaded from each site. */
  readonly packages: number;
  /** In the lists of a client of each site. */
  readonly listed: number;
}

export async function play(stage: Stage, reader: Reader): Promise<Reading> {
  const readings: Reading[] = [];
  for (const site of stage.sites) readings.push(await readSite(stage, reader, site));
  const [first] = readings;
  hold(
    first !== undefined && new Set(readings.map(({ listed }) => listed)).size === 1,
    'both sites list equally many packages',
  );
  return first;
}

async function readSite(stage: Stage, reader: Reader, site: DemoSite): Promise<Reading> {
  const walked = await walkIndicesAt(reader, site);
  hold(
    walked.faults.length === 0,
    `every index at ${site.name} is what its Release lists\n${walked.faults.join('\n')}`,
  );
  const reads = readsOf(reader, walked);
  const client = await stage.client(site, reads);

  const update = await client.update({ fresh: true });
  hold(update.exitCode === 0, `${client.name} updates from ${site.name}\n${update.output}`);
  const names = await client.packages();
  const sample = sampleOf(names, walked);
  const selection = [reads.architecture, ...reads.components].join(' ');
  stage.say(`${client.name} (${selection}) reads ${site.name}: ${names.length} packages`);
  if (sample.length === 0) return { packages: 0, listed: 0 };

  const download = await client.download(sample);
  hold(download.exitCode === 0, `${client.name} downloads from ${site.name}\n${download.output}`);
  hold(
    new Set(download.files.map((file) => file.package)).size === sample.length,
    `${site.name} has a file for each of ${sample.length} packages`,
  );
  assertListed(download.files, walked, site);
  const share = sample.length === names.length ? 'all' : sample.length;
  stage.say(`  downloaded ${share} of them, each with the size and SHA-256 of Packages`);
  await installAlone(stage, client, sample, walked, site);
  return { packages: sample.length, listed: names.length };
}

function assertListed(
  files: readonly DownloadedFile[],
  { packages }: WalkedIndices,
  site: DemoSite,
): void {
  for (const file of files)
    hold(
      packages.some(
        ({ name, size, sha256 }) =>
          name === file.package && size === file.size && sha256 === file.sha256,
      ),
      `${file.name} from ${site.name} has the size and SHA-256 of Packages`,
    );
}

/** Installs a package that depends on no other: dependencies may be in another archive. */
async function installAlone(
  stage: Stage,
  client: Client,
  sample: readonly string[],
  walked: WalkedIndices,
  site: DemoSite,
): Promise<void> {
  const needy = new Set(walked.packages.filter((one) => !one.standsAlone).map(({ name }) => name));
  const alone = sample.find(
    (name) => !needy.has(name) && walked.packages.some((one) => one.name === name),
  );
  if (alone === undefined)
    return stage.say('  each of them depends on another package: no installation is tried');
  const installed = await client.installDownloadOnly(alone);
  hold(
    installed.exitCode === 0,
    `${client.name} installs ${alone} (download only) from ${site.name}\n${installed.output}`,
  );
  hold(installed.files.length === 1, `${alone} comes alone from ${site.name}`);
  assertListed(installed.files, walked, site);
  stage.say(`  installed (download only) ${alone}, which needs no other package`);
}

/** All packages if they are few, else some from all over the alphabet, the same in every run. */
function sampleOf(names: readonly string[], { packages }: WalkedIndices): string[] {
  const sizes = new Map<string, number>();
  for (const { name, size } of packages) sizes.set(name, Math.max(size, sizes.get(name) ?? 0));
  const shuffled = names
    .map((name) => ({ name, place: digest('sha256', Buffer.from(name)) }))
    .toSorted((one, other) => (one.place < other.place ? -1 : 1));
  const sample: string[] = [];
  let bytes = 0;
  for (const { name } of shuffled) {
    bytes += sizes.get(name) ?? 0;
    if (sample.length === PACKAGES_MAX || (sample.length > 0 && bytes > BYTES_MAX)) break;
    sample.push(name);
  }
  return sample;
}
