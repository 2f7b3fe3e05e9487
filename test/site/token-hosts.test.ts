import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { Secrets } from '../../src/secrets/secrets.ts';
import { loadCredential } from '../../src/site/credentials.ts';
import { refusesWith } from '../support/refuses-with.ts';

const SAS = 'sp=racwd&sv=2026-06-06&sr=c&sig=c2VjcmV0%2Bcanary%3D';
const KEY = Buffer.alloc(64, 'canary').toString('base64');

const load = (what: 'sas' | 'key' | 'identity', accountUrl: string, hosts: string[] = []) => {
  const text = what === 'sas' ? SAS : `AccountName=debfra;AccountKey=${KEY}`;
  return loadCredential(
    what === 'identity' ? { identity: 'default' } : { env: 'DEBGEO_SITE' },
    accountUrl,
    { secrets: new Secrets({ DEBGEO_SITE: text }, null), storageHosts: hosts },
  );
};

describe('a SAS, and a token of an identity', () => {
  for (const accountUrl of [
    'https://debfra.blob.core.windows.net',
    'https://debfra-secondary.blob.core.windows.net',
    'https://debfra.privatelink.blob.core.windows.net',
    'https://debfra.blob.core.usgovcloudapi.net',
    'https://debfra.blob.core.chinacloudapi.cn',
    'https://debfra.z18.blob.storage.azure.net',
    'https://localhost:10000/debfra',
    'https://127.0.0.1:10000/debfra',
    'https://127.1:10000/debfra',
    'https://[::1]:10000/debfra',
  ])
    it(`goes to ${accountUrl}`, async () => {
      await load('sas', accountUrl);
      await load('identity', accountUrl);
    });

  for (const accountUrl of [
    'https://attacker.example.org',
    'https://debfra.blob.core.windows.net.example.org',
    'https://debfra.blob.core.windows.net:8443',
    'https://blob.core.windows.net.attacker.example.org',
    'https://xblob.core.windows.net',
    'https://debfra.file.core.windows.net',
    'https://debfra.zz.blob.storage.azure.net',
    'https://10.0.0.1/debfra',
    'https://127.0.0.1.example.org/debfra',
    'https://localhost.example.org/debfra',
  ])
    it(`does not go to ${accountUrl}, unless the worker lists it`, async () => {
      const refused = (error: unknown) =>
        refusesWith('SITE_HOST_UNLISTED', { found: new URL(accountUrl).origin })(error) &&
        !JSON.stringify(error.report).includes('canary');
      const { host, hostname } = new URL(accountUrl);

      for (const what of ['sas', 'identity'] as const) {
        await assert.rejects(load(what, accountUrl), refused);
        await assert.rejects(load(what, accountUrl, [`${hostname}:1`, `x${hostname}`]), refused);
        await load(what, accountUrl, ['other', hostname]);
        await load(what, accountUrl, [host === hostname ? `${host}:443` : host]);
      }
    });

  it('goes over http within this machine, or to a listed host: a SAS only', async () => {
    await load('sas', 'http://127.0.0.1:10000/debfra');
    await load('sas', 'http://azurite:10000/debfra', ['azurite:10000']);
    for (const accountUrl of ['http://azurite:10000/debfra', 'http://debfra.blob.core.windows.net'])
      await assert.rejects(load('sas', accountUrl), refusesWith('SITE_HOST_UNLISTED'));
    for (const accountUrl of ['http://127.0.0.1:10000/debfra', 'http://azurite:10000/debfra'])
      await assert.rejects(
        load('identity', accountUrl, ['azurite:10000']),
        refusesWith('CONFIG_INVALID'),
      );
  });

  it('is what is judged: a shared key signs, and is sent nowhere', async () => {
    for (const accountUrl of ['http://azurite:10000/x', 'https://cdn.example.org'])
      await load('key', accountUrl);
  });
});
