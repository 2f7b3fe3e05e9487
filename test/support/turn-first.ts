import { LIMITS } from '../../src/domain/limits.ts';
import { Pace } from '../../src/site/pace.ts';
import type { SiteStore } from '../../src/site/site-store.ts';

/**
 * A planted fault: stores of one site that take a turn before the bytes are there. As many turns as
 * 32 MiB, which a site once had for bytes in flight, are files of 8.
 */
export function turnFirst(): (store: SiteStore) => SiteStore {
  const pace = new Pace({ ...LIMITS, widthStart: 4, widthMax: 4 });
  return (store) => ({
    site: store.site,
    put: (path, content, expected, signal) =>
      pace.run('all', signal, () => store.put(path, content, expected, signal)),
    checksum: (path, signal, etag) =>
      pace.run('all', signal, () => store.checksum(path, signal, etag)),
    open: (path, signal) => store.open(path, signal),
    remove: (path, etag, signal) => store.remove(path, etag, signal),
  });
}
