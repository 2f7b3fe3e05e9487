/**
 * An archive (or anything between it and a worker: an http hop, a captive portal) says once what
 * cannot be stored, sent or shown as it is. It is refused on record, and when the archive is right
 * again its next release reaches the sites.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { sql } from 'kysely';
import type { Logger } from 'pino';

import { failing } from '../../activities/failure.ts';
import { run } from '../../src/database/sql.ts';
import type { ErrorReport } from '../../src/domain/errors.ts';
import { createLog } from '../../src/log.ts';
import { workflowId } from '../../workflows/messages.ts';
import { debgeo } from '../support/debgeo.ts';
import {
  assertPrintable,
  HOSTILE_STRINGS,
  isPrintable,
  textsOf,
} from '../support/hostile-strings.ts';
import { assertWhole } from '../support/whole.ts';
import { aPackage, aWorld, PLANTED_MS, type Planted, type World } from '../support/world.ts';

const REFUSED = 3;
const IN_RELEASE = 'dists/bookworm/InRelease';
/** Character 200, where a quote ends, is half of a pair. */
const PORTAL = HOSTILE_STRINGS['half of a pair where a quote is cut']!;

/** A world that serves its first release. */
async function aServingWorld(
  t: TestContext,
  options: { planted?: Planted; log?: Logger } = {},
): Promise<World> {
  const world = await aWorld(t, { sites: ['fra'], archive: { releaseSet: 'inline' }, ...options });
  await world.release([aPackage('hello', '1.0')]);
  await world.update();
  return world;
}

const answer = (world: World, body: string | Buffer): Promise<void> =>
  writeFile(join(world.archiveFolder, IN_RELEASE), body);

/** The archive is right again and releases: what `debgeo update --wait` shows. */
async function assertNextReleaseArrives(world: World): Promise<void> {
  await world.release([aPackage('hello', '2.0')]);
  const generation = await inTime(world.update(), 'debgeo update is answered');
  assert.equal(generation, 2);
  const { status, failure } = await world.status();
  assert.deepEqual([status, failure], ['success', null]);
  await assertWhole(world, 'fra');
}

const inTime = <T>(work: Promise<T>, what: string): Promise<T> =>
  Promise.race([work, sleep(PLANTED_MS).then(() => assert.fail(`not in time: ${what}`))]);

/** Every text of the run's history and description; payloads are JSON in base64. */
async function assertTemporalPrintable(world: World): Promise<void> {
  await world.withTemporal(async (client) => {
    const handle = client.workflow.getHandle(workflowId(world.suite));
    const history = JSON.parse(historyToJSON(await handle.fetchHistory())) as unknown;
    const { raw } = await handle.describe();
    const details = await handle.query('__temporal_workflow_metadata');
    const seen = [
      ...textsOf(history),
      ...textsOf(JSON.parse(JSON.stringify(raw))),
      ...textsOf(details),
    ];
    assert.ok(
      seen.some((text) => text.includes('SIGNATURE_MALFORMED')),
      'the history says why',
    );
    for (const text of seen.flatMap((one) => [one, ...textsOf(decoded(one))]))
      assert.ok(isPrintable(text, '\n'), JSON.stringify(text.slice(0, 300)));
  });
}

function decoded(text: string): unknown {
  try {
    return JSON.parse(String(Buffer.from(text, 'base64')));
  } catch {
    return null;
  }
}

test('what cannot be stored is refused, and the next release of the archive arrives', async (t) => {
  const lines: string[] = [];
  const log = createLog({ level: 'info', into: { write: (line) => void lines.push(line) } });
  const world = await aServingWorld(t, { log });
  const answers = Object.entries(HOSTILE_STRINGS).filter(([, text]) => text !== '');

  for (const [name, text] of answers) {
    await answer(world, text);
    const found = await inTime(world.look(), `an answer after ${name}`);
    assert.deepEqual([found.outcome, found.report?.code], ['failed', 'SIGNATURE_MALFORMED'], name);
    assertPrintable(found.report, name);
    await answer(world, await world.key.signClear(`Suite: ${text}\nDate: ${text}\n`));
    const signed = await inTime(world.look(), `an answer after ${name}, signed`);
    assert.equal(signed.outcome, 'failed', name);
    assertPrintable(signed.report, name);
  }
  await answer(world, PORTAL);
  const updated = await debgeo(world, `update ${world.suite}`);
  const shown = await debgeo(world, 'status');
  const asJson = await debgeo(world, 'status --json');

  assert.equal(updated.exitCode, REFUSED, updated.stderr);
  assert.match(shown.stdout, /SIGNATURE_MALFORMED/);
  for (const { stdout, stderr } of [updated, shown, asJson])
    assert.ok(isPrintable(stdout + stderr, '\n'), stdout + stderr);
  assert.ok(lines.length >= answers.length);
  for (const line of lines) assert.ok(isPrintable(line, '\n'), JSON.stringify(line.slice(0, 300)));
  await assertTemporalPrintable(world);
  assert.ok((await world.incidents('SIGNATURE_MALFORMED')).length > 0, 'on record');
  await assertNextReleaseArrives(world);
});

/** Writes the report as PostgreSQL refuses it: half of a pair in its quote. */
const storeAsItWas =
  (world: World) =>
  async ({ report }: { readonly report: ErrorReport }): Promise<void> => {
    if (report.found === undefined) return;
    const asItWas = { ...report, found: PORTAL.slice(0, 200) };
    await run(
      world.database.read,
      sql`update debian_distributions set failure = ${JSON.stringify(asItWas)}::jsonb`,
    );
  };

test('a report that PostgreSQL refuses all the same is recorded by its code', async (t) => {
  const world = await aServingWorld(t, {
    planted: (real, itself) => ({
      ...real,
      recordCaptureFailure: failing(async (input) => {
        await storeAsItWas(itself)(input);
        return real.recordCaptureFailure(input);
      }),
    }),
  });

  await answer(world, PORTAL);
  const found = await inTime(world.look(), 'an answer');

  assert.deepEqual([found.outcome, found.report?.code], ['failed', 'SIGNATURE_MALFORMED']);
  const { failure } = await world.status();
  assert.deepEqual(failure, {
    code: 'SIGNATURE_MALFORMED',
    message: 'what it said could not be stored',
  });
  assert.equal((await world.incidents('SIGNATURE_MALFORMED')).length, 1);
  await assertNextReleaseArrives(world);
});

test('it would be seen if reports were quoted and recorded as they were', async (t) => {
  let isWrong = true;
  const world = await aServingWorld(t, {
    planted: (real, itself) => ({
      ...real,
      recordCaptureFailure: async (input) => {
        if (isWrong) await storeAsItWas(itself)(input);
        return real.recordCaptureFailure(input);
      },
    }),
  });

  await answer(world, PORTAL);
  const looks = [world.look()];
  await assert.rejects(inTime(looks[0]!, 'an answer'), /not in time: an answer/);
  assert.equal((await world.status()).failure, null, 'status knows of nothing');
  await world.release([aPackage('hello', '2.0')]);
  looks.push(world.look());
  await assert.rejects(inTime(looks[1]!, 'an answer'), /not in time: an answer/);

  // what it takes to be rid of it: the fix, and an operator who ends the run
  isWrong = false;
  await world.withTemporal((client) =>
    client.workflow.getHandle(workflowId(world.suite)).terminate(),
  );
  await Promise.all(looks);
});
