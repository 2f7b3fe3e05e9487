/** What all acts share, on either kind of archive: the servers, two sites, the command line. */
import type { DistributionStatus } from '../database/views/status.ts';
import type { Client, ClientOptions } from '../witness/client.ts';
import type { CommandOptions, CommandResult } from './run-command.ts';

/** The distribution that both sites get, and its archive. */
export interface Replicated {
  /** The name of the distribution. */
  readonly distribution: string;
  readonly suite: string;
  readonly archiveUrl: string;
  /** The folder of the archive at each site. */
  readonly mount: string;
  /** Armored or binary; null: the archive is not signed. */
  readonly keyring: Uint8Array | null;
  /** Further keys of the archive in the configuration. */
  readonly access?: Readonly<Record<string, unknown>>;
  /** Further keys of the distribution in the configuration. */
  readonly settings: Readonly<Record<string, unknown>>;
}

export interface DemoSite {
  readonly name: string;
  /** The public root of the archive at this site, as in sources.list. */
  readonly url: string;
  /** In which the Azurite of this site keeps its files. */
  readonly blobFolder: string;
}

export interface Stage {
  readonly replicated: Replicated;
  readonly databaseUrl: string;
  readonly temporalUi: string;
  readonly configurationFile: string;
  readonly fra: DemoSite;
  readonly sin: DemoSite;
  readonly sites: readonly DemoSite[];
  /** `apt X.Y.Z`, or `built-in client` on a host without apt. */
  readonly clientName: string;
  /** A new client of a site, with empty lists and a folder of its own. */
  client(site: DemoSite, reads: Omit<ClientOptions, 'url' | 'folder' | 'suite'>): Promise<Client>;
  /** Runs `debgeo …` as a process, and unless `quiet` shows the command and what it prints. */
  debgeo(
    args: readonly string[],
    options?: { readonly quiet?: boolean; readonly limitMs?: CommandOptions['limitMs'] },
  ): Promise<CommandResult>;
  /** What `debgeo status --json` says. */
  status(): Promise<DistributionStatus>;
  say(line: string): void;
}

/** Ends the demo with the promise that did not hold. */
export function hold(condition: boolean, promise: string): asserts condition {
  if (!condition) throw new Error(`this did not hold: ${promise}`);
}
