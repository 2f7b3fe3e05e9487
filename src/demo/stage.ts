/** What all acts of the demo share: the servers, the archive, the two sites, the command line. */
import type { DistributionStatus } from '../database/status.ts';
import type { ArchiveServer } from './archive-server.ts';
import type { Client } from './client.ts';
import type { CommandResult } from './run-command.ts';
import type { Package } from './deb-package.ts';
import type { ReleaseContent, SignedArchive } from './signed-archive.ts';

/** The name of the distribution, and of its suite. */
export const DISTRIBUTION = 'stable';

export interface DemoSite {
  readonly name: string;
  /** Root of the archive at this site, for anybody: what stands in sources.list. */
  readonly url: string;
  /** Where the Azurite of this site keeps its files. */
  readonly blobFolder: string;
}

export interface Stage {
  readonly databaseUrl: string;
  readonly temporalUi: string;
  readonly archive: SignedArchive;
  readonly server: ArchiveServer;
  readonly fra: DemoSite;
  readonly sin: DemoSite;
  readonly sites: readonly DemoSite[];
  /** `apt X.Y.Z`, or `built-in client` on a host without apt. */
  readonly clientName: string;
  /** A client of a site with empty lists and a folder of its own. */
  client(site: DemoSite): Promise<Client>;
  /** The archive releases these packages; what it released ever is what clients may find. */
  release(packages: readonly Package[]): Promise<ReleaseContent>;
  /** What the archive released last under its own key. */
  packages(): readonly Package[];
  /** SHA-256 of a pool file by its name, as released. */
  readonly expected: (fileName: string) => string | undefined;
  /** The ETag of what the site serves as InRelease. */
  served(site: DemoSite): Promise<string>;
  /** Runs `debgeo …` as a process of its own, and shows the command and what it printed, unless it is to be quiet. */
  debgeo(args: readonly string[], options?: { readonly quiet?: boolean }): Promise<CommandResult>;
  /** What `debgeo status --json` says. */
  status(): Promise<DistributionStatus>;
  say(line: string): void;
}

/** The demo ends here, and says which promise did not hold. */
export function hold(condition: boolean, promise: string): asserts condition {
  if (!condition) throw new Error(`this did not hold: ${promise}`);
}

/** Updates with empty lists and downloads all packages; every file has the bytes that the archive released. @returns how many */
export async function fetchEverything(stage: Stage, site: DemoSite): Promise<number> {
  const client = await stage.client(site);
  const update = await client.update({ fresh: true });
  hold(update.exitCode === 0, `${client.name} updates from ${site.name}\n${update.output}`);
  const names = await client.packages();
  const download = await client.download(names);
  hold(download.exitCode === 0, `${client.name} downloads from ${site.name}\n${download.output}`);
  hold(names.length > 0 && download.files.length === names.length, `${site.name} serves a file for each of ${names.length} packages`);
  for (const file of download.files)
    hold(stage.expected(file.name) === file.sha256, `${file.name} from ${site.name} has the bytes that were released`);
  return names.length;
}
