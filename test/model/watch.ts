/**
 * What is promised of a site, as checks on its bytes, on the history of what it served, and on what
 * the rows claim. Nothing here asks the program.
 */
import type { RepoPath } from '../../src/domain/repo-path.ts';
import type { Sha256 } from '../../src/domain/sha256.ts';
import { inReleasePath, SUITES, type Release, type Suite } from './releases.ts';
import type { Change, StoredBlob } from './stand-in.ts';

export const MOUNT = 'debian/';
export const at = (path: string): RepoPath => `${MOUNT}${path}` as RepoPath;

export type Blobs = ReadonlyMap<RepoPath, StoredBlob>;
type Known = ReadonlyMap<Sha256, Release>;

export interface Finding {
  /** The promise: an invariant of ARCHITECTURE.md, or R6 and R7, I6 and I7 of reliability.md. */
  readonly broken: string;
  readonly what: string;
}

/** A release that a site served, from when until when. */
export interface Served {
  readonly release: Release;
  readonly since: number;
  /** Infinity: it is visible. */
  until: number;
  /**
   * `kept`: debgeo published it and knows so. `grace`: an older copy of the container shows it, or
   * the database lost it; it has its grace and is not kept. `nothing`: rot shows it.
   */
  promised: 'kept' | 'grace' | 'nothing';
}

/** What one site showed and lost, and what rot has broken there that is not repaired. */
export class Watch {
  readonly site: string;
  /**
   * Paths that rot has changed since the program wrote them last, each with when it did. They
   * excuse that they are wrong, and a verification of before.
   */
  readonly rotten = new Map<RepoPath, number>();
  /** What a database that was restored says of blobs that are gone; see `isClaimExcused`. */
  readonly outdated = new Set<RepoPath>();
  /**
   * What only releases had that a restored database lost: nothing deletes a name that no Release
   * lists any more.
   */
  readonly strays = new Set<RepoPath>();
  /** What the rows hold in publications that are open, as the rows were before this command. */
  inFlight: readonly Release[] = [];
  served: Served[] = [];
  readonly findings: Finding[] = [];
  readonly #known: Known;
  readonly #blobs: Blobs;
  readonly #keeps: { readonly graceMs: number; readonly kept: number };
  readonly #now: () => number;

  constructor(
    site: string,
    blobs: Blobs,
    options: {
      readonly known: Known;
      readonly keeps: { readonly graceMs: number; readonly kept: number };
      readonly now: () => number;
    },
  ) {
    this.site = site;
    this.#blobs = blobs;
    this.#known = options.known;
    this.#keeps = options.keeps;
    this.#now = options.now;
  }

  /** Called before the program changes anything at the site. */
  changing(change: Change): void {
    const { path, before, after } = change;
    if (!path.startsWith(MOUNT) && !path.startsWith('.debgeo/'))
      this.#report('I7', `${path} is outside of the mount`);
    const suite = SUITES.find((one) => at(inReleasePath(one)) === path);
    if (suite !== undefined) this.#turn(suite, before, after);
    else if (after === undefined) this.#deleting(path, before!);
    this.rotten.delete(path);
    this.outdated.delete(path);
    this.strays.delete(path);
  }

  visible(suite: Suite): Release | null {
    const blob = this.#blobs.get(at(inReleasePath(suite)));
    return blob === undefined ? null : (this.#known.get(blob.sha256) ?? null);
  }

  /**
   * Rot, or a copy of the container, changed what is visible: from here on that counts, but for
   * what is not there now.
   */
  lookAgain(rotsAt: number, promised: 'grace' | 'nothing'): void {
    for (const suite of SUITES) {
      const release = this.visible(suite);
      const last = this.#lastOf(suite);
      if (release === last?.release) continue;
      if (last !== undefined) last.until = Math.min(last.until, this.#now());
      if (release !== null) this.#show(release, promised);
      for (const [path, sha256] of release?.members ?? [])
        if (this.#blobs.get(at(path))?.sha256 !== sha256) this.rotten.set(at(path), rotsAt);
    }
  }

  /** The site has what a schedule begins with. */
  servesFrom(): void {
    for (const suite of SUITES) {
      const release = this.visible(suite);
      if (release !== null) this.#show(release, 'kept');
    }
  }

  #lastOf = (suite: Suite): Served | undefined =>
    this.served.findLast(({ release }) => release.suite === suite);

  #show(release: Release, promised: Served['promised']): void {
    this.served.push({ release, since: this.#now(), until: Infinity, promised });
  }

  /** The database was restored, and knows of nothing else that was served. */
  loses(known: ReadonlySet<Served>): void {
    for (const one of this.served)
      if (one.promised === 'kept' && !known.has(one)) one.promised = 'grace';
  }

  /** What a database that was restored claims no more, it has to read before it claims it again. */
  excuseLess(claims: readonly Claimed[]): void {
    const claimed = new Set(
      claims.filter(({ site }) => site === this.site).map(({ path }) => path),
    );
    for (const place of this.outdated)
      if (!claimed.has(place.slice(MOUNT.length) as RepoPath)) this.outdated.delete(place);
  }

  /** I3: what is visible, or was so last, is never newer than what is written over it. */
  #turn(suite: Suite, before: StoredBlob | undefined, after: StoredBlob | undefined): void {
    const next = after === undefined ? null : this.#known.get(after.sha256);
    if (!next) return this.#report('I3', `InRelease of ${suite} becomes what was never released`);
    const last = this.#lastOf(suite);
    const seen = before === undefined ? undefined : this.#known.get(before.sha256);
    const newest = seen ?? last?.release;
    if (newest !== undefined && next.number < newest.number)
      this.#report('I3', `${suite} goes back from release ${newest.number} to ${next.number}`);
    if (last?.release === next && last.until === Infinity) return;
    if (last !== undefined) last.until = Math.min(last.until, this.#now());
    this.#show(next, 'kept');
  }

  /** I1 and what reliability.md calls I6 and I7: nothing goes that a reader may still ask for. */
  #deleting(path: RepoPath, before: StoredBlob): void {
    for (const suite of SUITES) {
      const visible = this.visible(suite);
      if (visible !== null && names(visible, path, before.sha256))
        this.#report('deleted while served', `${path}, of release ${visible.number} of ${suite}`);
      const history = this.served.filter(
        ({ release, promised }) => release.suite === suite && promised !== 'nothing',
      );
      const kept = history.filter(({ promised }) => promised === 'kept');
      const newest = new Set(kept.slice(-this.#keeps.kept));
      for (const one of history)
        if (names(one.release, path, before.sha256) && one.release !== visible) {
          const isInGrace = one.until > this.#now() - this.#keeps.graceMs;
          if (isInGrace) this.#report('R6', `${path}, of release ${one.release.number} in grace`);
          else if (newest.has(one)) this.#report('R7', `${path}, of a kept release`);
        }
    }
    for (const release of this.inFlight)
      if (names(release, path, before.sha256))
        this.#report('R6', `${path}, of a publication in flight`);
  }

  #report(broken: string, what: string): void {
    this.findings.push({ broken, what: `${this.site}: ${what}` });
  }
}

const names = (release: Release, path: RepoPath, sha256: Sha256): boolean =>
  release.members.get(path.slice(MOUNT.length) as RepoPath) === sha256;

/** I1: everything that a visible InRelease names is there with the right bytes. */
export function tornAt(watch: Watch, blobs: Blobs): Finding[] {
  const found: Finding[] = [];
  for (const suite of SUITES) {
    const release = watch.visible(suite);
    for (const [path, sha256] of release?.members ?? []) {
      const blob = blobs.get(at(path));
      if (blob?.sha256 === sha256 || watch.rotten.has(at(path))) continue;
      const is = blob === undefined ? 'gone' : 'other bytes';
      const what = `${watch.site}: ${path} of release ${release!.number} of ${suite} is ${is}`;
      found.push({ broken: 'I1', what });
    }
  }
  return found;
}

/** A row of the registry that says that a blob is at the site, and was read back right. */
export interface Claimed {
  readonly site: string;
  readonly path: RepoPath;
  readonly sha256: Sha256;
  /** By the same clock as rot; milliseconds. */
  readonly verifiedAt: number;
}

export const isClaimTrue = ({ path, sha256 }: Claimed, blobs: Blobs): boolean =>
  blobs.get(at(path))?.sha256 === sha256;

/** I2: verified is what the site has, but for what rotted since it was read. */
export const falseClaims = (claims: readonly Claimed[], watch: Watch, blobs: Blobs): Finding[] =>
  claims
    .filter((claim) => claim.site === watch.site && !isClaimTrue(claim, blobs))
    .filter(({ path, verifiedAt }) => verifiedAt > (watch.rotten.get(at(path)) ?? -Infinity))
    .filter(({ path }) => !watch.outdated.has(at(path)))
    .map(({ site, path }) => ({
      broken: 'I2',
      what: `${site}: ${path} is verified, and is not so`,
    }));

/** A lane as its row says it. */
export interface LaneRow {
  readonly suite: Suite;
  readonly site: string;
  readonly served: number;
  readonly state: string;
  readonly paused: boolean;
  readonly code: string | null;
  readonly status: string;
  /** Of the newest captured generation. */
  readonly newest: Sha256 | null;
}

/** I3 in the rows. */
export const backwards = (before: readonly LaneRow[], after: readonly LaneRow[]): Finding[] =>
  after.flatMap(({ suite, site, served }) => {
    const earlier = before.find((row) => row.suite === suite && row.site === site);
    if (earlier === undefined || earlier.served <= served) return [];
    return [{ broken: 'I3', what: `${suite} at ${site}: the row goes back to ${served}` }];
  });

/** I10 and I11: all is quiet, and the site is what the newest release says, no more and no less. */
export function differencesOf(
  watch: Watch,
  blobs: Blobs,
  newest: Release,
  row: LaneRow | undefined,
): Finding[] {
  const { suite, number } = newest;
  const where = `${suite} at ${watch.site}`;
  const found: string[] = [];
  if (row?.state !== 'synced' || row.status !== 'success')
    found.push(`state ${row?.state}, ${row?.code ?? 'no failure'}, status ${row?.status}`);
  const visible = watch.visible(suite);
  if (visible !== newest) found.push(`release ${visible?.number ?? 'none'}, not ${number}`);
  for (const [path, sha256] of [...newest.members, ...newest.names])
    if ((blobs.get(at(path))?.sha256 ?? null) !== sha256) found.push(`${path} is not as released`);
  const isStray = (path: RepoPath): boolean =>
    !newest.names.has(path.slice(MOUNT.length) as RepoPath) && !watch.strays.has(path);
  for (const path of blobs.keys())
    if (isNameOf(suite, path) && isStray(path))
      found.push(`${path} is a name that the release has not`);
  return found.map((what) => ({ broken: 'I10, I11', what: `${where}: ${what}` }));
}

const isNameOf = (suite: Suite, path: RepoPath): boolean =>
  path.startsWith(at(`dists/${suite}/`)) && !path.includes('/by-hash/');
