import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import { inspect } from 'node:util';

import { StorageSharedKeyCredential } from '@azure/storage-blob';

import type { DebgeoError } from '../../src/domain/errors.ts';
import {
  fingerprintOf,
  loadCredential,
  SasToken,
  type CredentialReference,
} from '../../src/site/credentials.ts';
import { refusesWith } from '../support/refuses-with.ts';
import { SOURCE } from '../support/secrets.ts';

const URL_OF_SITE = 'https://debfra.blob.core.windows.net';
const KEY = Buffer.alloc(64, 'canary').toString('base64');
const SAS = 'sp=racwd&st=2026-01-01&se=2027-01-01&sv=2026-06-06&sr=c&sig=c2VjcmV0%2Bcanary%3D';
const VARIABLE = 'DEBGEO_TEST_CREDENTIAL';

describe('loadCredential', () => {
  afterEach(() => {
    delete process.env[VARIABLE];
  });

  const load = (value: string, accountUrl = URL_OF_SITE) => {
    process.env[VARIABLE] = value;
    return loadCredential({ env: VARIABLE }, accountUrl, SOURCE);
  };

  it('tells a rotated secret from the one before, and does not show it', async () => {
    const other = Buffer.alloc(64, 'another').toString('base64');
    const secrets = [
      `AccountName=debfra;AccountKey=${KEY}`,
      `AccountName=debfra;AccountKey=${other}`,
      SAS,
      SAS.replace('2027', '2028'),
    ];

    const fingerprints = await Promise.all(
      secrets.map(async (secret) => fingerprintOf(await load(secret))),
    );

    assert.equal(new Set(fingerprints).size, secrets.length);
    assert.deepEqual(
      fingerprints,
      await Promise.all(secrets.map(async (secret) => fingerprintOf(await load(secret)))),
    );
    for (const fingerprint of fingerprints)
      assert.ok(!secrets.some((secret) => secret.includes(fingerprint)));
  });

  it('reads the account and its key from a connection string and from its two fields', async () => {
    for (const value of [
      'DefaultEndpointsProtocol=https;AccountName=debfra;' +
        `AccountKey=${KEY};EndpointSuffix=core.windows.net`,
      `AccountName=debfra;AccountKey=${KEY}`,
      ` AccountKey=${KEY};AccountName=debfra;\n`,
    ]) {
      const credential = await load(value);

      assert.ok(credential instanceof StorageSharedKeyCredential);
      assert.equal(credential.accountName, 'debfra');
      const signed = new StorageSharedKeyCredential('debfra', KEY).computeHMACSHA256('x');
      assert.equal(credential.computeHMACSHA256('x'), signed);
    }
  });

  it('reads a SAS token in any order, with and without ?, in a connection string', async () => {
    const reordered = `sv=2026-06-06&${SAS.replace('&sv=2026-06-06', '')}`;
    for (const [value, sas] of [
      [SAS, SAS],
      [`?${SAS}`, SAS],
      [reordered, reordered],
      [`?${reordered}`, reordered],
      [`BlobEndpoint=${URL_OF_SITE};SharedAccessSignature=${SAS}`, SAS],
    ] as const) {
      const credential = await load(value);

      assert.ok(credential instanceof SasToken);
      assert.equal(credential.appendTo('https://x/c'), `https://x/c?${sas}`);
    }
  });

  it('reads a file', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'debgeo-credential-'));
    try {
      await writeFile(join(folder, 'sas'), `${SAS}\n`);

      const credential = await loadCredential({ file: join(folder, 'sas') }, URL_OF_SITE, SOURCE);

      assert.ok(credential instanceof SasToken);
      assert.equal(credential.appendTo('u'), `u?${SAS}`);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('names the variable or file that is missing or empty', async () => {
    process.env[VARIABLE] = '  ';
    const references: CredentialReference[] = [
      { env: VARIABLE },
      { env: 'DEBGEO_TEST_NOT_SET' },
      { file: '/nonexistent/credential' },
    ];
    for (const reference of references) {
      const attempt = loadCredential(reference, URL_OF_SITE, SOURCE);

      await assert.rejects(attempt, (error) => {
        assert.ok(refusesWith('SITE_CREDENTIAL_MISSING')(error));
        return (error as DebgeoError).message.includes(Object.values(reference).join());
      });
    }
  });

  it('refuses what is no credential, or that of another account, and never shows it', async () => {
    const cases: [string, string][] = [
      ['canary', URL_OF_SITE],
      ['AccountName=debfra;AccountKey=not base64 canary', URL_OF_SITE],
      [`AccountKey=${KEY}`, URL_OF_SITE],
      ['sp=r&sv=2026-06-06&canary=1', URL_OF_SITE],
      [`AccountName=debsin;AccountKey=${KEY}`, URL_OF_SITE],
      [`AccountName=debsin;AccountKey=${KEY}`, 'http://127.0.0.1:10000/debfra'],
      [`AccountName=debsin;AccountKey=${KEY}`, 'http://localhost:10000/debfra/'],
    ];
    for (const [value, accountUrl] of cases) {
      await assert.rejects(load(value, accountUrl), (error) => {
        const shown = inspect(error, { depth: null, showHidden: true });
        return (
          refusesWith('CONFIG_INVALID')(error) && !shown.includes('canary') && !shown.includes(KEY)
        );
      });
    }
  });

  it('takes any account where the URL does not show one', async () => {
    for (const accountUrl of [
      'https://cdn.example.org',
      'https://debfra-secondary.blob.core.windows.net',
      'http://[::1]:10000/debfra',
    ]) {
      assert.ok(
        (await load(`AccountName=debfra;AccountKey=${KEY}`, accountUrl)) instanceof
          StorageSharedKeyCredential,
      );
    }
  });

  it('gives credentials that do not show themselves', async () => {
    const sas = await load(SAS);
    const key = await load(`AccountName=debfra;AccountKey=${KEY}`);

    for (const credential of [sas, key]) {
      const shown = inspect(credential, { depth: null }) + JSON.stringify(credential);
      const secrets = [
        KEY,
        'canary',
        Buffer.from(KEY, 'base64').toString('hex').slice(0, 12),
        '63 61 6e',
      ];
      for (const secret of secrets) assert.ok(!shown.includes(secret));
    }
  });
});
