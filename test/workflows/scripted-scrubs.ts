/** The scrubs of a scripted world: off unless a test says when they are due. */
import type { Activities } from '../../activities/index.ts';
import type { SiteScrub } from '../../src/domain/replication.ts';
import { HOUR, siteQueue } from './scripted-rows.ts';

type Names = 'confirmSite' | 'loadScrub' | 'scrubSlice' | 'recordScrubFailure';

export class ScriptedScrubs {
  readonly activities: Pick<Activities, Names>;
  /** What each slice of a site finds, from now on. */
  readonly rotten = new Map<string, readonly string[]>();
  readonly #rows = new Map<string, SiteScrub>();

  /** @param begin notes the call, and does what a test has scripted for it */
  constructor(
    begin: (activity: Names, at: { distribution: ''; site: string }) => Promise<unknown>,
  ) {
    const at = async (activity: Names, { site }: { site: string }): Promise<SiteScrub> => {
      await begin(activity, { distribution: '', site });
      return this.row(site);
    };
    this.activities = {
      confirmSite: async (input) => void (await at('confirmSite', input)),
      loadScrub: (input) => at('loadScrub', input),
      scrubSlice: async (input) => {
        const { files, filesTotal } = await at('scrubSlice', input);
        const isLast = files + 1 >= filesTotal;
        const ended = isLast ? { endedAt: Date.now(), nextAt: Date.now() + HOUR } : {};
        const row = this.row(input.site, { startedAt: 1, files: files + 1, ...ended });
        return { row, rotten: this.rotten.get(input.site) ?? [] };
      },
      recordScrubFailure: async (input) => {
        await at('recordScrubFailure', input);
        return this.row(input.site, { code: input.report.code, nextAt: Date.now() + 100 });
      },
    };
  }

  /** `change` as if an operator, or time, had written it. */
  row(site: string, change: Partial<SiteScrub> = {}): SiteScrub {
    const row = { ...(this.#rows.get(site) ?? newScrub(site)), ...change };
    this.#rows.set(site, row);
    return row;
  }
}

const newScrub = (site: string): SiteScrub => ({
  site,
  queue: siteQueue(site),
  nextAt: null,
  startedAt: null,
  endedAt: null,
  lastStartedAt: null,
  filesTotal: 0,
  bytesTotal: 0,
  files: 0,
  bytes: 0,
  wrong: 0,
  repaired: 0,
  code: null,
});
