/**
 * A byte of the signature goes wrong on the way: the release is refused, the sites serve on, and
 * what the archive answers next is taken, though its ETag is that of the damaged answer.
 */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import { sql } from 'kysely';

import type { Deps } from '../../activities/deps.ts';
import type { Activities } from '../../activities/index.ts';
import type { Archive } from '../../src/archive/archive.ts';
import { run } from '../../src/database/sql.ts';
import { NEEDS_APT } from '../support/needs.ts';
import { assertWhole } from '../support/whole.ts';
import { aPackage, aWorld, type Planted } from '../support/world.ts';

/** The tenth look forgets the ETag, and comes later than what a planted fault is waited for. */
const POLL_MS = 2_000;
const CHECKSUM = /\n=[^\n]{4}(?=\n-----END)/;

/** What lies between the archive and the worker. */
interface Line {
  damages: boolean;
  /** Of the answer that was damaged. */
  etag: string | null;
}

const overLine =
  (line: Line) =>
  (real: Deps): Deps => ({
    ...real,
    archiveOf: async (record) => damaged(await real.archiveOf(record), line),
  });

/** No apt takes an armor whose checksum is cut, OpenPGP.js does. */
const damaged = (archive: Archive, line: Line): Archive => ({
  open: (...asked) => archive.open(...asked),
  close: () => archive.close(),
  async fetchReleaseSet(...asked) {
    const answer = await archive.fetchReleaseSet(...asked);
    if (!line.damages || answer === 'unchanged') return answer;
    const { inRelease } = answer.releaseSet;
    const text = Buffer.from(inRelease ?? []).toString('latin1');
    assert.match(text, CHECKSUM);
    line.etag = answer.validator.etag;
    return {
      ...answer,
      releaseSet: {
        ...answer.releaseSet,
        inRelease: Buffer.from(text.replace(CHECKSUM, '\n=w'), 'latin1'),
      },
    };
  },
});

async function promise(t: TestContext, planted?: (line: Line) => Planted): Promise<void> {
  const line: Line = { damages: false, etag: null };
  const world = await aWorld(t, {
    sites: ['fra'],
    deps: overLine(line),
    planted: planted?.(line),
  });
  await world.release([aPackage('hello', '1.0')]);
  await world.update();
  const before = await world.site('fra').contents();

  line.damages = true;
  await world.release([aPackage('hello', '2.0')]);
  assert.equal((await world.look()).outcome, 'failed');
  assert.equal((await world.incidents('SIGNATURE_MALFORMED')).length, 1);
  assert.deepEqual(await world.site('fra').contents(), before, 'the site serves on');
  assert.equal(await world.site('fra').aptSees('hello', 'bookworm'), '1.0');

  line.damages = false;
  await world.tune({ pollMs: POLL_MS });
  await world.until(({ sites: [fra] }) => fra?.served === 2, 'the good answer is taken');
  assert.equal(await world.site('fra').aptSees('hello', 'bookworm'), '2.0');
  await assertWhole(world, 'fra');
}

test('a damaged signature', { ...NEEDS_APT, concurrency: true, timeout: 120_000 }, async (t) => {
  await Promise.all([
    t.test('is not taken, and the good one with the same ETag is', (t) => promise(t)),

    t.test('it would be seen if a refused release left its ETag', (t) => {
      const believing =
        (line: Line): Planted =>
        (real, world): Activities => ({
          ...real,
          captureSnapshot: async (input) => {
            try {
              return await real.captureSnapshot(input);
            } finally {
              if (line.damages)
                await run(
                  world.database.read,
                  sql`update debian_distributions set in_release_etag = ${line.etag}`,
                );
            }
          },
        });
      return assert.rejects(promise(t, believing), /the good answer is taken/);
    }),
  ]);
});
