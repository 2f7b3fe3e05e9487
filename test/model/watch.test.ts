/** Each check of the model sees what it is for, and nothing where nothing is. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';

import type { RepoPath } from '../../src/domain/repo-path.ts';
import { sha256Of } from '../../src/domain/sha256.ts';
import { inReleasePath, Releases, type Content, type Release } from './releases.ts';
import { SiteClock, StandIn, type StoredBlob } from './stand-in.ts';
import {
  at,
  backwards,
  differencesOf,
  falseClaims,
  tornAt,
  Watch,
  type Finding,
  type LaneRow,
} from './watch.ts';

const HOUR_MS = 60 * 60_000;
const HEADERS = { contentType: 'text/plain', cacheControl: 'no-cache' };
const IN_RELEASE = at(inReleasePath('stable'));

describe('the checks of the model', () => {
  let older: Release;
  let newer: Release;
  let other: Release;
  let releases: Releases;
  before(async () => {
    releases = await Releases.create();
    const content: Content = { suite: 'stable', packages: 3, shared: null, xz: 'there' };
    older = await releases.signed(content, 1);
    newer = await releases.signed({ ...content, packages: 1 }, 2);
    other = await releases.signed({ ...content, packages: 4, xz: 'unlisted' }, 3);
  });

  /** A site, and what its watch says when a program writes and deletes there. */
  function aSite() {
    const clock = new SiteClock(Date.now());
    const site: StandIn = new StandIn('fra', { clock });
    const keeps = { graceMs: HOUR_MS, kept: 2 };
    const watch = new Watch('fra', site.blobs, {
      known: releases.byDigest,
      keeps,
      now: () => clock.now,
    });
    const put = (path: RepoPath, bytes: Buffer): void => {
      const after: StoredBlob = site.versionOf(bytes, HEADERS);
      watch.changing({ path, before: site.blobs.get(path), after });
      site.blobs.set(path, after);
    };
    const remove = (path: RepoPath): void => {
      const before = site.blobs.get(path);
      watch.changing({ path, before, after: undefined });
      site.blobs.delete(path);
    };
    const publish = (release: Release): void => {
      for (const [path, bytes] of release.files) put(at(path), bytes);
    };
    const findings = (): string[] => kindsOf(watch.findings.splice(0));
    return { site, watch, clock, put, remove, publish, findings };
  }

  const kindsOf = (findings: readonly Finding[]): string[] => [
    ...new Set(findings.map(({ broken }) => broken)),
  ];
  const onlyOf = (release: Release, rest: Release): RepoPath =>
    at([...release.members.keys()].find((path) => !rest.members.has(path))!);

  it('say nothing of a site that goes forward', () => {
    const { watch, site, clock, publish, remove, findings } = aSite();
    publish(older);
    clock.tick(HOUR_MS);
    publish(newer);
    clock.tick(2 * HOUR_MS);
    publish(other);
    clock.tick(2 * HOUR_MS);
    remove(onlyOf(older, newer));

    assert.deepEqual([findings(), tornAt(watch, site.blobs)], [[], []]);
  });

  it('see a member that is gone or wrong (I1), but for what rotted', () => {
    for (const bytes of [null, Buffer.from('other')]) {
      const { watch, site, publish } = aSite();
      publish(older);
      const path = at([...older.members.keys()][0]!);
      if (bytes === null) site.blobs.delete(path);
      else site.blobs.set(path, site.versionOf(bytes, HEADERS));

      assert.deepEqual(kindsOf(tornAt(watch, site.blobs)), ['I1']);
      watch.rotten.set(path, 1);
      assert.deepEqual(tornAt(watch, site.blobs), []);
    }
  });

  it('see a claim that the site contradicts (I2), but for what rotted', () => {
    const { watch, site, publish } = aSite();
    publish(older);
    const path = [...older.members.keys()][0]!;
    const claim = { site: 'fra', path, sha256: sha256Of(Buffer.from('other')), verifiedAt: 1 };

    assert.deepEqual(kindsOf(falseClaims([claim], watch, site.blobs)), ['I2']);
    const right = { ...claim, sha256: older.members.get(path)! };
    assert.deepEqual(falseClaims([right], watch, site.blobs), []);
    watch.rotten.set(at(path), 1);
    assert.deepEqual(falseClaims([claim], watch, site.blobs), []);
    const later = { ...claim, verifiedAt: 2 };
    assert.deepEqual(kindsOf(falseClaims([later], watch, site.blobs)), ['I2']);
  });

  it('see a site that goes back, or shows what was never released (I3)', () => {
    const { publish, put, remove, findings } = aSite();
    publish(newer);
    publish(older);
    assert.deepEqual(findings(), ['I3']);
    put(IN_RELEASE, Buffer.from('never released'));
    assert.deepEqual(findings(), ['I3']);
    publish(newer);
    findings();
    remove(IN_RELEASE);
    assert.deepEqual(findings(), ['I3']);
  });

  it('see a row that goes back (I3)', () => {
    const row: LaneRow = {
      suite: 'stable',
      site: 'fra',
      served: 2,
      state: 'synced',
      paused: false,
      code: null,
      status: 'success',
      newest: null,
    };
    assert.deepEqual(kindsOf(backwards([row], [{ ...row, served: 1 }])), ['I3']);
    assert.deepEqual(backwards([row], [row]), []);
  });

  it('see what is written outside of the mount (I7)', () => {
    const { put, findings } = aSite();
    put('pool/evil' as RepoPath, Buffer.from('x'));
    assert.deepEqual(findings(), ['I7']);
  });

  it('see a deletion of what is served, in its grace, kept or in flight', () => {
    const { watch, clock, publish, remove, findings } = aSite();
    publish(older);
    publish(newer);
    remove(onlyOf(newer, older));
    assert.deepEqual(findings(), ['deleted while served']);
    remove(onlyOf(older, newer));
    assert.deepEqual(findings(), ['R6']);
    publish(older);
    findings();
    publish(newer);
    clock.tick(2 * HOUR_MS);
    remove(onlyOf(older, newer));
    assert.deepEqual(findings(), ['R7']);
    for (const [path, bytes] of other.files)
      watch.changing({
        path: at(path),
        before: undefined,
        after: new StandIn('x').versionOf(bytes, HEADERS),
      });
    findings();
    watch.served = [];
    watch.inFlight = [older];
    publish(newer);
    findings();
    const path = onlyOf(older, newer);
    const bytes = older.files.get(path.slice('debian/'.length) as RepoPath)!;
    watch.changing({ path, before: new StandIn('x').versionOf(bytes, HEADERS), after: undefined });
    assert.deepEqual(findings(), ['R6']);
  });

  it('claim the grace of what an older copy shows, or a database lost, and no more', () => {
    for (const isLost of [true, false]) {
      const { watch, site, clock, publish, remove, findings } = aSite();
      publish(older);
      if (isLost) watch.loses(new Set());
      else {
        watch.served = [];
        watch.lookAgain(1, 'grace');
      }
      publish(newer);
      const [early, late] = [...older.members.keys()].filter((path) => !newer.members.has(path));
      remove(at(early!));
      assert.deepEqual(findings(), ['R6']);
      clock.tick(2 * HOUR_MS);
      remove(at(late!));
      assert.deepEqual([findings(), tornAt(watch, site.blobs)], [[], []]);
    }
  });

  it('excuse what a database that was restored claims, until it claims that no more', () => {
    const { watch, site, publish } = aSite();
    publish(older);
    const path = [...older.members.keys()][0]!;
    const claim = { site: 'fra', path, sha256: sha256Of(Buffer.from('other')), verifiedAt: 1 };
    watch.outdated.add(at(path));

    for (const claims of [[claim], []]) {
      assert.deepEqual(falseClaims(claims, watch, site.blobs), []);
      watch.excuseLess(claims);
    }
    assert.deepEqual(kindsOf(falseClaims([claim], watch, site.blobs)), ['I2']);
  });

  it('see a site that does not become what was released (I10, I11)', () => {
    const row: LaneRow = {
      suite: 'stable',
      site: 'fra',
      served: 2,
      state: 'synced',
      paused: false,
      code: null,
      status: 'success',
      newest: newer.inRelease,
    };
    const { watch, site, publish } = aSite();
    publish(newer);
    const differences = (of: LaneRow | undefined, release = newer): number =>
      differencesOf(watch, site.blobs, release, of).length;

    assert.equal(differences(row), 0);
    assert.equal(differences(undefined), 1);
    assert.equal(differences({ ...row, status: 'failed' }), 1);
    assert.equal(differences({ ...row, state: 'failed' }), 1);
    assert.ok(differences(row, other) > 0);
    const stray = at('dists/stable/main/stray');
    site.blobs.set(stray, site.versionOf(Buffer.from('x'), HEADERS));
    assert.equal(differences(row), 1);
    watch.strays.add(stray);
    assert.equal(differences(row), 0);
  });
});
