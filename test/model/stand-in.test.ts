/** The site of the model keeps the contract that the real ones keep. */

import { siteStoreContract } from '../site/site-store-contract.ts';
import type { StoreUnderTest } from '../site/store-under-test.ts';
import { StandIn } from './stand-in.ts';
import { RulesProxy } from './wire-of-rules.ts';

const PUT_BYTES = 100_000;

function start(): Promise<StoreUnderTest> {
  const proxy = new RulesProxy();
  const site = new StandIn('memory', { wire: proxy.wire, putBytes: PUT_BYTES });
  return Promise.resolve({
    store: site.store,
    proxy,
    putBytes: PUT_BYTES,
    read: (path) => Promise.resolve(site.blobs.get(path) ?? null),
    tamper: (path, bytes) => {
      const { md5, ...blob } = site.blobs.get(path)!;
      const tampered = site.versionOf(bytes, blob);
      site.blobs.set(path, { ...tampered, md5 });
      return Promise.resolve();
    },
    stop: () => Promise.resolve(),
  });
}

siteStoreContract('the site of the model', start);
