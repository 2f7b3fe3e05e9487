/** What every SiteStore promises. */
import { after, before, beforeEach, describe } from 'node:test';

import { callers, failures, slowSites, throttledSites } from './site-store-faults.ts';
import { names, readingAndDeleting } from './site-store-reads.ts';
import { conditionalWrites, lostAnswers, wrongBytes } from './site-store-writes.ts';
import type { StoreUnderTest } from './store-under-test.ts';

export function siteStoreContract(title: string, start: () => Promise<StoreUnderTest>): void {
  describe(title, () => {
    let site: StoreUnderTest;
    before(async () => (site = await start()));
    after(() => site?.stop());
    beforeEach(() => site.proxy.setRules([]));

    for (const promises of [
      conditionalWrites,
      wrongBytes,
      lostAnswers,
      names,
      readingAndDeleting,
      slowSites,
      throttledSites,
      failures,
      callers,
    ])
      promises(() => site);
  });
}
