/** What SiteStore promises of names, reading and deleting. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { it } from 'node:test';

import { parseRepoPath, type RepoPath } from '../../src/domain/repo-path.ts';
import { sha256Of } from '../../src/domain/sha256.ts';
import { refusesWith } from '../support/refuses-with.ts';
import { assertBytes, contentOf, fresh, NEVER, written, type Under } from './store-under-test.ts';

/** Names arrive as they are spelled, and inside the prefix. */
export function names(under: Under): void {
  it('writes an empty file', async () => {
    const site = under();
    const { store } = site;
    const path = fresh();

    await store.put(path, contentOf(Buffer.alloc(0)), 'nothing', NEVER);

    assertBytes((await site.read(path))?.bytes, Buffer.alloc(0));
  });

  it('keeps the spelling of names with + ~ % : spaces and letters beyond ASCII', async () => {
    const site = under();
    const { store } = site;
    for (const name of [
      'g++_1.0+b1~rc_amd64.deb',
      'x_1%3a2.0_all.deb',
      'x_1:2.0_all.deb',
      'a b.deb',
      'grün.deb',
      "it's(1)!*.deb",
      '@&=;,$.deb',
    ]) {
      const path = parseRepoPath(`debian/pool/main/n/${name}`);
      const bytes = Buffer.from(name);

      await store.put(path, contentOf(bytes), 'nothing', NEVER);
      const read = await store.checksum(path, NEVER);

      assert.ok(read !== null && read !== 'changed');
      assert.equal(read.sha256, sha256Of(bytes));
      assertBytes((await site.read(path))?.bytes, bytes);
    }
  });

  it('requests nothing for a path that would leave the prefix', async () => {
    const { store, proxy } = under();
    const hostile = [
      '../other/x',
      '../../other/x',
      '../../../../x',
      'debian/../../x',
      'debian/./x',
      'debian/..',
      '..\\other\\x',
      './x',
      'a\\b',
    ];
    await proxy.clear();
    for (const text of hostile) {
      const path = text as RepoPath;

      await assert.rejects(
        store.put(path, contentOf(Buffer.from('EVIL')), 'nothing', NEVER),
        refusesWith('HOSTILE_PATH'),
        text,
      );
      await assert.rejects(store.checksum(path, NEVER), refusesWith('HOSTILE_PATH'), text);
      await assert.rejects(store.open(path, NEVER), refusesWith('HOSTILE_PATH'), text);
      await assert.rejects(store.remove(path, '"0x1"', NEVER), refusesWith('HOSTILE_PATH'), text);
    }
    assert.deepEqual(await proxy.requests(), []);
  });
}

/** Reading and deleting are bound to a version. */
export function readingAndDeleting(under: Under): void {
  it('hashes the bytes that are there, whatever headers and metadata claim', async () => {
    const site = under();
    const { store } = site;
    const path = fresh();
    await store.put(path, contentOf(Buffer.from('what was promised')), 'nothing', NEVER);
    await site.tamper(path, Buffer.from('what was promisec'));

    const read = await store.checksum(path, NEVER);

    assert.ok(read !== null && read !== 'changed');
    assert.equal(read.sha256, sha256Of(Buffer.from('what was promisec')));
  });

  it('says changed when another version is there, null when none is', async () => {
    const { store } = under();
    const path = fresh();
    const first = written(await store.put(path, contentOf(Buffer.from('one')), 'nothing', NEVER));
    const second = written(
      await store.put(path, contentOf(Buffer.from('two')), { etag: first.etag }, NEVER),
    );

    assert.equal(await store.checksum(path, NEVER, first.etag), 'changed');
    assert.equal(await store.remove(path, second.etag, NEVER), 'gone');
    assert.equal(await store.checksum(path, NEVER, second.etag), null);
    assert.equal(await store.checksum(path, NEVER), null);
    assert.equal(await store.open(path, NEVER), null);
  });

  it('opens one version for streaming', async () => {
    const { store } = under();
    const path = fresh();
    const bytes = randomBytes(300_000);
    const first = written(await store.put(path, contentOf(bytes), 'nothing', NEVER));

    const opened = await store.open(path, NEVER);

    assert.equal(opened?.etag, first.etag);
    assert.equal(opened?.size, bytes.length);
    assertBytes(Buffer.concat(await Array.fromAsync(opened!.bytes)), bytes);
  });

  it('deletes the version named and no other; gone stays gone', async () => {
    const site = under();
    const { store } = site;
    const path = fresh();
    const first = written(await store.put(path, contentOf(Buffer.from('one')), 'nothing', NEVER));
    const second = written(
      await store.put(path, contentOf(Buffer.from('two')), { etag: first.etag }, NEVER),
    );

    assert.equal(await store.remove(path, first.etag, NEVER), 'conflict');
    assertBytes((await site.read(path))?.bytes, Buffer.from('two'));
    assert.equal(await store.remove(path, second.etag, NEVER), 'gone');
    assert.equal(await store.remove(path, second.etag, NEVER), 'gone');
    assert.equal(await site.read(path), null);
  });
}
