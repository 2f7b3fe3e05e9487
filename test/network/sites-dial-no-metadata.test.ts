/**
 * A site, and where its readers read, may be in any network, and never at the metadata of a cloud:
 * what is asked of a site goes with a credential.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import { after, before, beforeEach, describe, it } from 'node:test';

import { StorageSharedKeyCredential } from '@azure/storage-blob';

import { DebgeoError } from '../../src/domain/errors.ts';
import { parseRepoPath } from '../../src/domain/repo-path.ts';
import { type Agents, guardedAgents } from '../../src/network/guarded-agents.ts';
import { createAzureSiteStore } from '../../src/site/azure-site-store.ts';
import { inspectAzureSite } from '../../src/site/inspect-site.ts';
import { readPublic } from '../../src/site/read-public.ts';
import { contentOf } from '../site/store-under-test.ts';
import { formsOfIPv4, LOOPBACK, METADATA } from './forms.ts';
import { startTripwire, type Tripwire } from './tripwire.ts';

const PATH = parseRepoPath('debian/dists/bookworm/InRelease');
const NEVER = new AbortController().signal;
const PATIENCE = { stallMs: 1_000, bytesPerSecondMin: 1_000 };

async function codeOf(work: Promise<unknown>): Promise<string | null> {
  try {
    await work;
    return null;
  } catch (error) {
    assert.ok(error instanceof DebgeoError, String(error));
    return error.code;
  }
}

describe('a site', () => {
  let tripwire: Tripwire;
  before(async () => {
    tripwire = await startTripwire();
  });
  beforeEach(() => {
    tripwire.reached = tripwire.dialled = 0;
  });
  after(() => tripwire.close());

  it('is not read at any form of the metadata of a cloud', async () => {
    const forms = METADATA.flatMap((address) => formsOfIPv4(address, tripwire.port));
    const ipv6 = ['fd00:ec2::254', 'fd20:ce::254', 'fe80::a9fe:a9fe'];
    const urls = [...forms.map(({ url }) => url), ...ipv6.map((one) => `http://[${one}]`)];
    assert.ok(urls.length >= 200);
    for (const url of urls)
      assert.equal(
        await codeOf(readPublic(url, PATH, 1_000, NEVER, PATIENCE)),
        'ADDRESS_REFUSED',
        JSON.stringify(url),
      );
    assert.equal(tripwire.dialled, 0);
  });

  it('is read in every network', async () => {
    for (const host of [...LOOPBACK, 'localhost']) {
      const read = await readPublic(`http://${host}:${tripwire.port}`, PATH, 1_000, NEVER);
      assert.equal(read?.size, 'reached'.length);
    }
    assert.ok(tripwire.reached > LOOPBACK.length);
    assert.ok(tripwire.dialled > LOOPBACK.length, 'what is dialled is seen');
  });

  for (const host of ['169.254.169.254', '2852039166', '[::ffff:168.63.129.16]', '[fd00:ec2::254]'])
    it(`is not asked at ${host}, by requests of ours or of the SDK`, async () => {
      const place = {
        name: 'fra',
        accountUrl: `http://${host}/account`,
        container: 'apt',
        prefix: '',
      };
      const key = randomBytes(64).toString('base64');
      const credential = new StorageSharedKeyCredential('account', key);
      const store = createAzureSiteStore(place, credential);
      const bytes = Buffer.from('x');

      for (const work of [
        store.put(PATH, contentOf(bytes), 'nothing', NEVER),
        store.checksum(PATH, NEVER),
        store.remove(PATH, '"1"', NEVER),
      ])
        assert.equal(await codeOf(work), 'ADDRESS_REFUSED');
      const facts = await inspectAzureSite(place, credential, PATH, NEVER);
      assert.deepEqual(Object.keys(facts.container), ['notSeen']);
      assert.equal(tripwire.dialled, 0);
    });

  /** What a request by these agents failed with. */
  const asked = (agents: Agents): Promise<unknown> =>
    new Promise((resolve) =>
      http
        .get(`http://site.example:${tripwire.port}`, { agent: agents('http:') }, (answer) =>
          resolve(answer.resume().statusCode),
        )
        .once('error', resolve),
    );

  it('is judged by what its name resolves to, and only by metadata', async () => {
    const named = (...addresses: string[]): Promise<unknown> =>
      asked(
        guardedAgents('site', (_hostname, _options, callback) =>
          callback(
            null,
            addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
          ),
        ),
      );

    assert.equal(await named('127.0.0.1'), 200);
    const [refused, mixed] = [
      await named('169.254.169.254'),
      await named('127.0.0.1', '::ffff:a9fe:a9fe'),
    ];
    for (const error of [refused, mixed])
      assert.ok(error instanceof DebgeoError && error.code === 'ADDRESS_REFUSED');
    assert.equal(tripwire.reached, 1);
  });
});
