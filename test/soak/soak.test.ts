/** The soak in small, and that it can fail: what it must see is planted, and it sees it. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { NEEDS_APT } from '../support/needs.ts';
import { decisionsOf, type Decisions, type RotDecision } from './decisions.ts';
import { endSoak } from './ending.ts';
import { openJournal } from './journal.ts';
import { causeOf, type SoakDid } from './judge-failure.ts';
import { linesOf, verdictOf, type SoakReport } from './report.ts';
import { Soak, type SoakOptions } from './soak.ts';
import { openStage, type Stage } from './stage.ts';

/** Each of these once, in this order. */
const inTurn = <T>(...decisions: T[]) => {
  const left = Iterator.from(decisions);
  return (): T | null => left.next().value ?? null;
};
const NOTHING: Decisions = {
  release: () => null,
  kill: () => null,
  freeze: () => null,
  azurite: () => null,
  rot: () => null,
};
const WAITING: Decisions = {
  ...NOTHING,
  release: () => ({ afterMs: 1_000_000, suite: 'bookworm', changes: [] }),
};
const rot = (decision: Pick<RotDecision, 'site' | 'kind' | 'how'>): RotDecision => ({
  ...decision,
  ...{ afterMs: 300, newest: true, which: 0.5, where: 0.5 },
});
const ONE_OF_EACH: Decisions = {
  release: inTurn(
    { afterMs: 200, suite: 'bookworm', changes: [0] },
    { afterMs: 1_000, suite: 'bookworm-updates', changes: [1, 2] },
    { afterMs: 3_000, suite: 'bookworm', changes: [0, 3] },
  ),
  kill: inTurn(
    { afterMs: 500, victim: 'worker a' },
    { afterMs: 500, victim: 'Temporal' },
    { afterMs: 500, victim: 'PostgreSQL' },
    { afterMs: 500, victim: 'worker b' },
  ),
  freeze: inTurn({ afterMs: 200, worker: 'b', ms: 800 }),
  azurite: inTurn({ afterMs: 3_000, site: 'fra', downMs: 300 }),
  rot: inTurn(
    rot({ site: 'fra', kind: 'pool', how: 'bit flip' }),
    rot({ site: 'sin', kind: 'pool', how: 'deletion' }),
    rot({ site: 'sin', kind: 'by-hash', how: 'truncation' }),
  ),
};

describe('the soak in small', { ...NEEDS_APT, timeout: 280_000 }, () => {
  const given = new AbortController();
  let stage: Stage;
  before(async () => {
    stage = await openStage({ say: () => {}, scrubMs: 4_000, signal: given.signal });
  });
  after(async () => {
    await stage.close();
    rmSync(stage.logs, { recursive: true, force: true });
  });

  const soak = async (options: Partial<SoakOptions>): Promise<SoakReport> => {
    const journal = openJournal(join(stage.logs, 'events.jsonl'));
    const report = await new Soak(
      stage,
      {
        ...{ seed: 1, ms: 120_000, restores: 0, hotRestores: false, cyclesPerSecond: 3 },
        ...{ faults: true, script: NOTHING },
        end: { wholeWithinMs: 120_000, scrubs: true },
        signal: given.signal,
        ...options,
      },
      journal,
    ).run();
    assert.ok(linesOf(report, journal.file).length > 10);
    return report;
  };

  test('servers die, files rot, apt reads on, and all is counted and whole', async () => {
    const report = await soak({ script: ONE_OF_EACH });

    assert.deepEqual(verdictOf(report).faults, []);
    assert.equal(report.releases, 3);
    assert.deepEqual(report.kills, {
      'worker a': 1,
      Temporal: 1,
      PostgreSQL: 1,
      'worker b': 1,
    });
    assert.deepEqual([report.azuriteStops, report.freezes], [1, 1]);
    const { made, repaired, pruned, left } = report.corruptions;
    assert.ok(made > 0, 'the files were there');
    assert.deepEqual([repaired + pruned, left], [made, 0]);
    assert.ok(report.clients.cycles > 0 && report.clients.files > 0);
    assert.ok(report.walks.walks > 0);
    assert.equal(report.ending.places.length, 4);
  });

  test('it would be seen if status said another number than the walk', async () => {
    const end = { wholeWithinMs: 60_000, scrubs: false, signal: given.signal };
    const ending = await endSoak(stage, {
      ...end,
      status: (real) =>
        real.map((one) => ({
          ...one,
          sites: one.sites.map((site) => ({ ...site, verified: site.verified + 1 })),
        })),
    });

    assert.equal(ending.differences.length, 4, ending.differences.join('\n'));
    assert.equal(ending.wronglyVerified.length, 4);
  });

  test('it would be seen if a file was deleted, or other bytes were served', async () => {
    await stage.scrubEvery(null);
    const kept = (index: number): string => `pool/main/k/kept-${index}/kept-${index}_1.0_amd64.deb`;
    // No release comes, and so no lane looks: apt and the walks are alone with it.
    const report = await soak({
      ...{ ms: 8_000, faults: false, script: WAITING },
      end: { wholeWithinMs: 1_000, scrubs: false },
      plant: async () => {
        await stage.rot.plant('sin', kept(0), null);
        await stage.rot.plant('sin', kept(1), Buffer.from('other bytes'));
      },
    });

    const { torn, lost, deletedWhileServed, wronglyVerified, faults } = verdictOf(report);
    assert.ok(deletedWhileServed > 0 && torn > 0, faults.join('\n'));
    assert.ok(lost > 0 && wronglyVerified > 0, faults.join('\n'));
    assert.ok(
      faults.some((fault) => fault.includes('status differs')),
      faults.join('\n'),
    );
  });
});

test('the same seed decides the same, another one does not', () => {
  const decide = (seed: number) => {
    const decisions = decisionsOf(seed);
    const of = (actor: keyof Decisions) => Array.from({ length: 20 }, () => decisions[actor]());
    return (['rot', 'release', 'kill', 'azurite', 'freeze'] as const).map(of);
  };
  assert.deepEqual(decide(7), decide(7));
  assert.notDeepEqual(decide(7), decide(8));
});

test('a client that fails is explained by what the soak did, or is a finding', () => {
  const url = 'http://127.0.0.1:1/fra/c/debian';
  const quiet: SoakDid = { rotten: [], stopped: false, suite: 'bookworm' };
  const index = 'dists/bookworm/main/binary-amd64';
  const rotten = (path: string): SoakDid => ({ ...quiet, rotten: [{ path, kind: 'pool' }] });
  const failed = (path: string, reason: string) => `E: Failed to fetch ${url}/${path}  ${reason}`;
  const bad = `W: GPG error: ${url} bookworm InRelease: BADSIG`;
  const gone = failed('pool/a+b.deb', '404  Not Found');
  const cases: [string, SoakDid, string][] = [
    [gone, quiet, 'deleted while served'],
    [gone, rotten('pool/other.deb'), 'deleted while served'],
    [gone, rotten('pool/a+b.deb'), 'rot'],
    [failed('pool/a%2bb.deb', '404  Not Found'), rotten('pool/a+b.deb'), 'rot'],
    [failed('pool/a.deb', 'Hash Sum mismatch'), quiet, 'torn'],
    [`${gone}\n${failed('pool/c.deb', '404')}`, rotten('pool/c.deb'), 'deleted while served'],
    [failed(`${index}/Packages.xz`, 'mismatch'), rotten(`${index}/by-hash/SHA256/0`), 'rot'],
    [failed(`${index}/Packages.xz`, 'mismatch'), rotten('dists/bookworm/main/i18n/x'), 'torn'],
    [bad, quiet, 'torn'],
    [bad, rotten('dists/bookworm/InRelease'), 'rot'],
    [bad, rotten('dists/bookworm-updates/InRelease'), 'torn'],
    [failed('pool/a.deb', 'Could not connect'), quiet, 'torn'],
    [failed('pool/a.deb', 'Could not connect'), { ...quiet, stopped: true }, 'site stopped'],
    [failed('pool/a.deb', 'Hash Sum mismatch'), { ...quiet, stopped: true }, 'torn'],
    [
      `Err:1 ${url} bookworm InRelease\n${failed('dists/bookworm/InRelease', 'Could not connect')}`,
      { ...quiet, stopped: true },
      'site stopped',
    ],
    ['no package in the lists', rotten('pool/a+b.deb'), 'torn'],
  ];
  for (const [output, did, cause] of cases) assert.equal(causeOf(output, url, did), cause, output);
});
