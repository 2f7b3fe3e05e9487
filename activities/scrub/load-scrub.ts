import { loadScrub } from '../../src/database/scrub/scrubs.ts';
import type { SiteScrub } from '../../src/domain/replication.ts';
import type { Deps } from '../deps.ts';
import type { ScrubInput } from './scrub-slice.ts';

/** What the workflow of a site decides on about its scrub. */
export const createLoadScrub =
  (deps: Deps) =>
  ({ site }: ScrubInput): Promise<SiteScrub> =>
    loadScrub(deps.database, site);
