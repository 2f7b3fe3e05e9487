/**
 * What all acts share, whichever archive they play on: the servers, the two sites, the command
 * line.
 */
import type { DistributionStatus } from '../database/views/status.ts';
import type { Client, ClientOptions } from '../witness/client.ts';
import type { CommandOptions, CommandResult } from './run-command.ts';

/** What of which archive is brought to both sites. */
export interface Replicated {
  /** The name of the distribution. */
  readonly distribution: string;
  readonly suite: string;
  readonly archiveUrl: string;
  /** Folder of the archive at each site. */
  readonly mount: string;
  /** Armored or binary; null: the archive is not signed, on purpose. */
  readonly keyring: Uint8Array | null;
  /** What else the configuration of the distribution says. */
  readonly settings: Readonly<Record<string, unknown>>;
}

export interface DemoSite {
  readonly name: string;
  /** Root of the archive at this site, for anybody: what stands in sources.list. */
  readonly url: string;
  /** Where the Azurite of this site keeps its files. */
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
  /** A client of a site with empty lists and a folder of its own. */
  client(site: DemoSite, reads: Omit<ClientOptions, 'url' | 'folder' | 'suite'>): Promise<Client>;
  /**
   * Runs `debgeo …` as a process of its own, and shows the command and what it prints, unless it is
   * to be quiet.
   */
  debgeo(
    args: readonly string[],
    options?: { readonly quiet?: boolean; readonly limitMs?: CommandOptions['limitMs'] },
  ): Promise<CommandResult>;
  /** What `debgeo status --json` says. */
  status(): Promise<DistributionStatus>;
  say(line: string): void;
}

/** The demo ends here, and says which promise did not hold. */
export function hold(condition: boolean, promise: string): asserts condition {
  if (!condition) throw new Error(`this did not hold: ${promise}`);
}
