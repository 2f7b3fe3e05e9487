/** What every Archive promises, whatever lies behind it. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';

import type { Archive } from '../../src/archive/archive.ts';
import { parseRepoPath } from '../../src/domain/repo-path.ts';
import { refusesWith } from '../support/refuses-with.ts';

export interface ArchiveUnderTest {
  readonly archive: Archive;
  /** At least this many bytes are too many for a file of the Release set. */
  readonly releaseBytesMax: number;
  /**
   * Replaces a file; paths are relative to the root of the archive. Every call is a later time than
   * the one before.
   */
  put(path: string, bytes: Uint8Array): void | Promise<void>;
  clear(): void | Promise<void>;
  close(): Promise<void>;
}

export const never = new AbortController().signal;

export async function readAll(bytes: AsyncIterable<Uint8Array> | null): Promise<Buffer | null> {
  return bytes === null ? null : Buffer.concat(await Array.fromAsync(bytes));
}

export function archiveContract(name: string, start: () => Promise<ArchiveUnderTest>): void {
  describe(`${name} keeps the contract of Archive`, () => {
    let under: ArchiveUnderTest;
    const hello = Buffer.from('hello');
    const deb = parseRepoPath('pool/main/h/hello_1_amd64.deb');
    before(async () => (under = await start()));
    after(() => under.close());
    beforeEach(() => under.clear());

    it('fetches the whole Release set', async () => {
      for (const file of ['InRelease', 'Release', 'Release.gpg'])
        await under.put(`dists/stable/updates/${file}`, Buffer.from(`this is ${file}`));

      const answer = await under.archive.fetchReleaseSet('dists/stable/updates', null, never);

      assert.ok(answer !== 'unchanged');
      assert.equal(String(answer.releaseSet.inRelease), 'this is InRelease');
      assert.equal(String(answer.releaseSet.release), 'this is Release');
      assert.equal(String(answer.releaseSet.releaseGpg), 'this is Release.gpg');
    });

    it('says which files of the Release set the archive lacks', async () => {
      await under.put('InRelease', hello);
      const inReleaseOnly = await under.archive.fetchReleaseSet('.', null, never);
      await under.clear();
      await under.put('sub/Release', hello);
      const releaseOnly = await under.archive.fetchReleaseSet('sub', null, never);

      assert.ok(inReleaseOnly !== 'unchanged' && releaseOnly !== 'unchanged');
      assert.deepEqual(inReleaseOnly.releaseSet, {
        inRelease: hello,
        release: null,
        releaseGpg: null,
      });
      assert.deepEqual(releaseOnly.releaseSet, {
        inRelease: null,
        release: hello,
        releaseGpg: null,
      });
    });

    it('refuses a folder with neither InRelease nor Release', async () => {
      await under.put('dists/stable/Release.gpg', hello);

      await assert.rejects(
        under.archive.fetchReleaseSet('dists/stable', null, never),
        refusesWith('RELEASE_MISSING'),
      );
    });

    it('refuses a file of the Release set that is too large', async () => {
      await under.put('dists/stable/InRelease', Buffer.alloc(under.releaseBytesMax + 1));

      await assert.rejects(
        under.archive.fetchReleaseSet('dists/stable', null, never),
        refusesWith('LIMIT_EXCEEDED'),
      );
    });

    for (const file of ['InRelease', 'Release']) {
      it(`answers unchanged for the same ${file}, and new bytes after a release`, async () => {
        await under.put(`dists/stable/${file}`, hello);
        const first = await under.archive.fetchReleaseSet('dists/stable', null, never);
        assert.ok(first !== 'unchanged');

        const second = await under.archive.fetchReleaseSet('dists/stable', first.validator, never);
        await under.put(`dists/stable/${file}`, Buffer.from('world'));
        const third = await under.archive.fetchReleaseSet('dists/stable', first.validator, never);

        assert.equal(second, 'unchanged');
        assert.ok(third !== 'unchanged');
        assert.equal(String(third.releaseSet.inRelease ?? third.releaseSet.release), 'world');
      });
    }

    it('opens a file, also one of no bytes', async () => {
      const large = Buffer.alloc(300_000, 'deb');
      await under.put(deb, large);
      await under.put('pool/empty', Buffer.alloc(0));

      const bytes = await readAll(await under.archive.open(deb, large.length, never));
      const none = await readAll(await under.archive.open(parseRepoPath('pool/empty'), 0, never));

      assert.deepEqual(bytes, large);
      assert.equal(none?.length, 0);
    });

    it('answers null for a file that the archive does not have', async () => {
      const answer = await under.archive.open(deb, 100, never);

      assert.equal(answer, null);
    });

    it('finds names with every character that Debian and third parties use', async () => {
      const path = parseRepoPath('pool/g/g++-12_1.2+dfsg~rc1%3a4:5 (copy)_ünïcode_amd64.deb');
      await under.put(path, hello);

      const bytes = await readAll(await under.archive.open(path, 100, never));

      assert.deepEqual(bytes, hello);
    });

    it('ends a file at the bound', async () => {
      await under.put(deb, Buffer.alloc(1000));

      await assert.rejects(
        (async () => readAll(await under.archive.open(deb, 999, never)))(),
        refusesWith('LIMIT_EXCEEDED'),
      );
    });

    it('ends with an AbortError when it is aborted before or while reading', async () => {
      await under.put(deb, Buffer.alloc(5_000_000));
      const controller = new AbortController();

      const reading = (async () => {
        for await (const _ of (await under.archive.open(deb, 5_000_000, controller.signal)) ?? [])
          controller.abort();
      })();
      await assert.rejects(reading, { name: 'AbortError' });

      await assert.rejects(under.archive.open(deb, 5_000_000, controller.signal), {
        name: 'AbortError',
      });
      await assert.rejects(under.archive.fetchReleaseSet('dists/stable', null, controller.signal), {
        name: 'AbortError',
      });
    });

    it('serves on after a reader went away in the middle', async () => {
      await under.put(deb, Buffer.alloc(5_000_000));

      for (let reader = 0; reader < 3; reader += 1) {
        for await (const _ of (await under.archive.open(deb, 5_000_000, never)) ?? []) break;
      }
      const bytes = await readAll(await under.archive.open(deb, 5_000_000, never));

      assert.equal(bytes?.length, 5_000_000);
    });
  });
}
