/**
 * An archive whose key ends within 30 days is on record once, until the newest release is signed by
 * a key that lasts; the sites go on serving.
 */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import { applyConfiguration } from '../../src/database/configuration/apply-configuration.ts';
import { createSigningKey, type SigningKey } from '../../src/made-archive/signing-key.ts';
import { aConfiguration } from '../support/configuration.ts';
import { debgeo } from '../support/debgeo.ts';
import { forgetful } from '../support/forgetful.ts';
import { aPackage, aWorld, nudge, type Planted, type World } from '../support/world.ts';

const DAY_S = 86_400;
const POLL_MS = 500;

const printed = async (world: World, command: string): Promise<string> =>
  (await debgeo(world, command)).stdout;

async function pin(world: World, ...keys: SigningKey[]): Promise<void> {
  const keyring = Buffer.concat(keys.map(({ publicBinary }) => publicBinary));
  const { archives } = aConfiguration({
    archive: { url: world.archiveServer.url, keyring },
    sites: ['none'],
    distributions: [],
  });
  await applyConfiguration(world.database, { archives, sites: {}, distributions: {} }, false);
  await nudge(world);
}

async function promise(t: TestContext, planted?: Planted): Promise<void> {
  const world = await aWorld(t, { sites: ['fra'], planted });
  await world.tune({ pollMs: POLL_MS });
  const old = await createSigningKey('old', { validForSeconds: 20 * DAY_S });
  const next = await createSigningKey('next', { validForSeconds: 400 * DAY_S });
  await pin(world, old);
  await world.release([aPackage('hello', '1.0')], { key: old });
  await world.update();
  const before = await world.site('fra').contents();

  await world.until(
    ({ incidents }) => incidents.some(({ code, times }) => code === 'KEY_EXPIRES' && times >= 3),
    'polls find it, again and again',
    world.suite,
    planted && POLL_MS * 10,
  );
  const { status, failure, expiring, sites } = await world.status();
  assert.deepEqual(
    [status, failure, expiring?.code, sites[0]?.state],
    ['success', null, 'KEY_EXPIRES', 'synced'],
  );
  const day = new Date(Date.now() + 20 * DAY_S * 1_000).toISOString().slice(0, 10);
  const [incident] = await world.incidents('KEY_EXPIRES');
  assert.ok(
    incident?.found?.startsWith(`key ${old.fingerprint} expires ${day}`),
    `${incident?.found}`,
  );
  assert.equal((await world.incidents('KEY_EXPIRES')).length, 1, 'one end is one incident');
  assert.deepEqual(await world.site('fra').contents(), before, 'the site keeps serving');
  if (planted === undefined) {
    assert.match(await printed(world, 'status'), /archive: KEY_EXPIRES(.|\n)* do: /);
    assert.match(await printed(world, 'doctor'), /^wrong +keys of bookworm: KEY_EXPIRES/m);
  }

  await world.archiveServer.refuse();
  await world.until(({ failure: gone }) => gone !== null, 'the archive answers no more');
  assert.equal((await world.status()).expiring?.code, 'KEY_EXPIRES', 'it ends all the same');
  await world.archiveServer.accept();

  await pin(world, old, next);
  await world.until(({ failure: none }) => none === null, 'the archive answers again');
  const keys = await printed(world, 'keys bookworm');
  assert.match(keys, new RegExp(`^  ${old.fingerprint}  until ${day}, in 20 d  old <`, 'm'));
  assert.match(keys, new RegExp(`^  ${next.fingerprint}  until .*, in 400 d  next <`, 'm'));
  assert.match(keys, new RegExp(`^  generation 1 is signed by ${old.fingerprint}$`, 'm'));
  assert.match(keys, /KEY_EXPIRES/, 'a successor that does not sign ends nothing');

  await world.release([aPackage('hello', '2.0')], { key: next });
  await world.until(
    ({ expiring: none, sites: [fra] }) => none === null && fra?.served === 2,
    'a release by the successor ends it',
  );
  assert.deepEqual(
    (await world.incidents('KEY_EXPIRES')).map(({ resolved }) => resolved),
    [true],
  );
  const { signatures, expiring: ended } = JSON.parse(await printed(world, 'keys bookworm --json'));
  assert.deepEqual(
    signatures.map((one: { fingerprint: string }) => one.fingerprint),
    [next.fingerprint],
  );
  assert.equal(ended, null);
}

test('a key that expires is shown', { concurrency: true, timeout: 120_000 }, async (t) => {
  await Promise.all([
    t.test('once, by status, doctor and keys, until a successor signs', (t) => promise(t)),

    t.test('it would be seen if every look that is fine ended it', (t) => {
      return assert.rejects(promise(t, forgetful), /polls find it/);
    }),
  ]);
});
