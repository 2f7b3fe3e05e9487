import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { BlobHttp, Refused } from '../../src/site/blob-http.ts';
import { startAzuriteSite, type AzuriteSite } from './azurite-site.ts';

const NEVER = new AbortController().signal;
const NAMES = [
  'debian/pool/main/g/g++-12/libstdc++6_12.2.0-14+deb12u1_amd64.deb',
  'debian/pool/main/h/hello/hello_1:2.10~rc1_amd64.deb',
  "debian/pool/o/o'neil/(a)!*_1.deb",
  'debian/pool/p/percent/100%25_1.deb',
  'debian/pool/s/space/two words.deb',
  'debian/pool/ü/ünïcode_1.deb',
  'debian/pool/q/query?a=b&c#d_1.deb',
];

describe('BlobHttp', () => {
  let site: AzuriteSite;
  const agent = new http.Agent();
  before(async () => {
    site = await startAzuriteSite();
  });
  after(async () => {
    agent.destroy();
    await site.stop();
  });

  for (const name of NAMES) {
    it(`names and signs ${name} as the SDK does`, async () => {
      const container = await site.container();
      const direct = new BlobHttp(container.url, site.credential, agent);
      const target = direct.targetOf(name)!;
      const bytes = randomBytes(100);
      const headers = { 'content-length': '100', 'content-type': 'application/octet-stream', 'x-ms-blob-type': 'BlockBlob' };

      (await direct.send('PUT', target, headers, bytes, NEVER)).resume();
      const answer = await direct.send('GET', target, {}, null, NEVER);

      assert.equal(decodeURIComponent(target), decodeURIComponent(new URL(container.getBlobClient(name).url).pathname));
      assert.deepEqual(Buffer.concat(await Array.fromAsync(answer as AsyncIterable<Buffer>)), bytes);
      assert.deepEqual(await container.getBlobClient(name).downloadToBuffer(), bytes);
    });
  }

  it('signs an empty body', async () => {
    const container = await site.container();
    const direct = new BlobHttp(container.url, site.credential, agent);
    const headers = {
      'content-length': '0',
      'content-type': 'application/octet-stream',
      'x-ms-blob-type': 'BlockBlob',
      'if-none-match': '*',
    };

    (await direct.send('PUT', direct.targetOf('empty')!, headers, Buffer.alloc(0), NEVER)).resume();

    await assert.rejects(direct.send('PUT', direct.targetOf('empty')!, headers, Buffer.alloc(0), NEVER), Refused);
  });

  it('has no target for what is not one blob below the container', () => {
    const direct = new BlobHttp('https://a.blob.core.windows.net/c', site.credential, agent);

    for (const name of ['', '/', 'a//b', '../c2/a', 'a/../../c2/b', 'a/./b', 'a/', '/a', 'a/\ud800', '..\\b', 'a\nb'])
      assert.equal(direct.targetOf(name), null, name);
  });
});
