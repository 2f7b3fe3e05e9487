/** What `npm run fuzz` found once, and a slice of it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';

import { aptTakes } from '../archive/trust-apt.ts';
import { needsApt } from '../support/needs.ts';
import { ACCEPTED, caseOf, type Case, fromStored, fuzz, judge, type Stored } from './fuzz.ts';
import { keyrings } from './keys.ts';
import { ReleaseSets } from './release-sets.ts';

const CORPUS = join(import.meta.dirname, 'corpus');
const corpus = readdirSync(CORPUS).map((file): [string, Case] => [
  file,
  fromStored(JSON.parse(readFileSync(join(CORPUS, file), 'utf8')) as Stored),
]);
const needsJudges =
  spawnSync('gpgv', ['--version']).status === 0 ? needsApt : 'needs gpgv: apt-get install gpgv';

const folder = mkdtempSync(join(tmpdir(), 'debgeo-corpus-'));
after(() => rmSync(folder, { recursive: true, force: true }));

describe('what was found once', () => {
  for (const [file, one] of corpus)
    it(`is refused: ${file}`, async () => assert.notEqual(await judge(one), ACCEPTED));

  it('is refused by apt, too', { skip: needsApt }, async () => {
    const offered = corpus.flatMap(([, one]) =>
      one.kind === 'release-set'
        ? [{ set: one.set, keyring: keyrings[one.keyring]!, isArmored: false }]
        : [],
    );

    assert.ok(offered.length > 10);
    assert.deepEqual([...(await aptTakes(folder, offered))], []);
  });
});

describe('a slice of the fuzz', { skip: needsJudges }, () => {
  it('finds nothing', async () => {
    const report = await fuzz({ seed: 7, isEnough: (cases) => cases >= 256 });

    assert.deepEqual(report.findings, []);
    assert.ok(report.accepted > 20, `${report.accepted} of ${report.cases} accepted`);
    assert.ok(report.asked > report.accepted, 'apt is asked for refused ones, too');
  });

  it('would find a signature that is believed', async () => {
    const believing = async (one: Case): Promise<string> =>
      one.kind === 'index' ? judge(one) : ACCEPTED;
    const report = await fuzz({
      seed: 7,
      batch: 40,
      isEnough: (cases) => cases >= 40,
      judge: believing,
    });

    assert.ok(report.findings.length > 0);
  });

  it('comes again with its seed', async () => {
    const [one, again] = [new ReleaseSets(5), new ReleaseSets(5)];
    await caseOf(5, 3, one); // what came before makes no difference
    for (let index = 10; index < 30; index += 1)
      assert.deepEqual(await caseOf(5, index, one), await caseOf(5, index, again));
  });
});
