/** Stores around a real one, for what a test wants to see or to go wrong. */
import type { Database } from '../../src/database/orm.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import { parseRepoPath, type RepoPath } from '../../src/domain/repo-path.ts';
import type { SiteStore } from '../../src/site/site-store.ts';

type Call = 'put' | 'checksum' | 'open' | 'remove';

/** Counts the writes that changed something, by path. */
export function counting(store: SiteStore): {
  store: SiteStore;
  writes: Map<string, number>;
  take(): Map<string, number>;
} {
  let writes = new Map<string, number>();
  const count = (path: string) => writes.set(path, (writes.get(path) ?? 0) + 1);
  const counted: SiteStore = {
    site: store.site,
    checksum: (...args) => store.checksum(...args),
    open: (...args) => store.open(...args),
    put: async (path, ...args) => {
      const written = await store.put(path, ...args);
      if (written !== 'conflict') count(path);
      return written;
    },
    remove: async (path, ...args) => {
      const removed = await store.remove(path, ...args);
      if (removed === 'gone') count(path);
      return removed;
    },
  };
  const take = () => {
    const taken = writes;
    writes = new Map();
    return taken;
  };
  return {
    store: counted,
    get writes() {
      return writes;
    },
    take,
  };
}

export class Killed extends Error {}

/**
 * A worker that is killed at its k-th call of the site, before the call has an effect or between
 * its effect and its answer. From then on nothing of it reaches the site or the database: no claim
 * is released, nothing is booked.
 */
export function mortal(
  real: { store: SiteStore; database: Database },
  kill: { at: number; when: 'before' | 'after' },
): { store: SiteStore; database: Database; calls(): number } {
  let calls = 0;
  let dead = false;
  const assertAlive = () => {
    if (dead) throw new Killed('killed');
  };
  const around = async <T>(effect: () => Promise<T>): Promise<T> => {
    assertAlive();
    calls += 1;
    if (calls === kill.at && kill.when === 'before') dead = true;
    assertAlive();
    const last = calls === kill.at;
    const answer = await effect();
    if (last) dead = true;
    assertAlive();
    return answer;
  };
  const { store, database } = real;
  return {
    calls: () => calls,
    store: {
      site: store.site,
      put: (...args) => around(() => store.put(...args)),
      checksum: (...args) => around(() => store.checksum(...args)),
      open: (...args) => around(() => store.open(...args)),
      remove: (...args) => around(() => store.remove(...args)),
    },
    database: {
      orm: database.orm,
      transaction: async (work) => {
        assertAlive();
        return database.transaction(async (tx) => {
          const result = await work(tx);
          assertAlive();
          return result;
        });
      },
      get read() {
        assertAlive();
        return database.read;
      },
      close: () => database.close(),
    },
  };
}

/** Does something of its own before a call that `matches`, once. */
export function meddling(
  store: SiteStore,
  matches: (call: Call, path: string) => boolean,
  meddle: () => Promise<unknown>,
): SiteStore {
  let done = false;
  const first = async (call: Call, path: string) => {
    if (done || !matches(call, path)) return;
    done = true;
    await meddle();
  };
  return {
    site: store.site,
    put: async (path, ...args) => (await first('put', path), store.put(path, ...args)),
    checksum: async (path, ...args) => (
      await first('checksum', path),
      store.checksum(path, ...args)
    ),
    open: async (path, ...args) => (await first('open', path), store.open(path, ...args)),
    remove: async (path, ...args) => (await first('remove', path), store.remove(path, ...args)),
  };
}

/** Keeps S where no other deployment looks for it. */
export function misplacingSite(store: SiteStore): SiteStore {
  const placeOf = (path: RepoPath): RepoPath =>
    path === '.debgeo/site.json' ? parseRepoPath('.debgeo/mine.json') : path;
  return {
    site: store.site,
    put: (path, ...args) => store.put(placeOf(path), ...args),
    checksum: (path, ...args) => store.checksum(placeOf(path), ...args),
    open: (path, ...args) => store.open(placeOf(path), ...args),
    remove: (path, ...args) => store.remove(placeOf(path), ...args),
  };
}

/** A site whose policy of immutability keeps these paths: they are neither deleted nor replaced. */
export function worm(
  store: SiteStore,
  isKept: (path: string) => boolean,
): { store: SiteStore; asked: string[] } {
  const asked: string[] = [];
  const refuse = (path: string): void => {
    asked.push(path);
    throw new DebgeoError('SITE_REFUSED', `cannot change ${path} at ${store.site}`, {
      found: '409 BlobImmutableDueToPolicy',
    });
  };
  return {
    asked,
    store: {
      site: store.site,
      checksum: (...args) => store.checksum(...args),
      open: (...args) => store.open(...args),
      put: async (path, content, expected, signal) => {
        if (isKept(path) && expected !== 'nothing') refuse(path);
        return store.put(path, content, expected, signal);
      },
      remove: async (path, ...args) => {
        if (isKept(path)) refuse(path);
        return store.remove(path, ...args);
      },
    },
  };
}
