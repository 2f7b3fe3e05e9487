import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, constants, openSync } from 'node:fs';
import {
  chmod,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readlink,
  realpath,
  rename,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, beforeEach, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';

import type { Archive } from '../../src/archive/archive.ts';
import { createDirectoryArchive } from '../../src/archive/directory-archive.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import { parseRepoPath } from '../../src/domain/repo-path.ts';
import { refusesWith } from '../support/refuses-with.ts';
import { archiveContract, type ArchiveUnderTest, never, readAll } from './archive-contract.ts';

const LIMITS = { releaseBytes: 64 * 1024 };
const file = parseRepoPath('pool/hello.deb');

async function startFolder(): Promise<ArchiveUnderTest> {
  const root = join(await mkdtemp(join(tmpdir(), 'debgeo-directory-')), 'a folder%20');
  await mkdir(root);
  let clock = Date.UTC(2026, 0, 1) / 1000;
  return {
    archive: createDirectoryArchive({ url: pathToFileURL(root).href, limits: LIMITS }),
    releaseBytesMax: LIMITS.releaseBytes,
    async put(path, bytes) {
      const place = join(root, path);
      await mkdir(dirname(place), { recursive: true });
      await writeFile(place, bytes);
      clock += 1;
      await utimes(place, clock, clock);
    },
    async clear() {
      for (const name of await readdir(root)) await rm(join(root, name), { recursive: true });
    },
    close: () => rm(dirname(root), { recursive: true }),
  };
}

archiveContract('an archive in a folder', startFolder);

describe('an archive in a folder', () => {
  const folders: string[] = [];
  let folder: string;
  let root: string;
  let archive: Archive;
  const get = async (path = 'pool/hello.deb', sizeMax = 1000) =>
    readAll(await archive.open(parseRepoPath(path), sizeMax, never));
  const put = async (path: string, text = 'hello') => {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  };

  beforeEach(async () => {
    folder = await realpath(await mkdtemp(join(tmpdir(), 'debgeo-directory-')));
    folders.push(folder);
    root = join(folder, 'root');
    await mkdir(root);
    archive = createDirectoryArchive({ url: pathToFileURL(root).href, limits: LIMITS });
  });
  after(() => Promise.all(folders.map((one) => rm(one, { recursive: true }))));

  it('lacks what is a folder, lies below a file, or has a name that no file can have', async () => {
    await put('root/pool/hello.deb/deeper');
    await put('root/file');

    const answers = [await get(), await get('file/below'), await get('x'.repeat(300))];

    assert.deepEqual(answers, [null, null, null]);
  });

  it('says ARCHIVE_UNREACHABLE where the folder itself is missing or is a file', async () => {
    await rm(root, { recursive: true });
    await assert.rejects(get(), refusesWith('ARCHIVE_UNREACHABLE'));
    await assert.rejects(
      archive.fetchReleaseSet('dists/a', null, never),
      refusesWith('ARCHIVE_UNREACHABLE'),
    );

    await put('root');

    await assert.rejects(get(), refusesWith('ARCHIVE_UNREACHABLE'));
    await assert.rejects(
      archive.fetchReleaseSet('dists/a', null, never),
      refusesWith('ARCHIVE_UNREACHABLE'),
    );
  });

  it('is refused outside of the folder that archives lie in, whatever links say', async () => {
    await put('root/pool/hello.deb');
    await put('mirrors/ours/pool/hello.deb');
    await symlink(root, join(folder, 'mirrors', 'leading-out'));
    const at = (path: string, below: string | null) =>
      createDirectoryArchive({ url: pathToFileURL(join(folder, path)).href, below });
    const read = async (one: Archive) =>
      String(await readAll(await one.open(parseRepoPath('pool/hello.deb'), 1000, never)));
    const mirrors = join(folder, 'mirrors');

    assert.equal(await read(at('mirrors/ours', mirrors)), 'hello');
    for (const path of ['root', 'mirrors/../root', 'mirrors/leading-out', '.']) {
      await assert.rejects(read(at(path, mirrors)), refusesWith('REFERENCE_REFUSED'), path);
      await assert.rejects(
        at(path, mirrors).fetchReleaseSet('dists/a', null, never),
        refusesWith('REFERENCE_REFUSED'),
      );
    }
    assert.equal(await read(at('mirrors/leading-out', null)), 'hello', 'else it would be read');
  });

  it('says ARCHIVE_DENIED for what it may not read', async () => {
    await put('root/pool/hello.deb');
    await put('root/dists/a/InRelease');
    await chmod(folder, 0o755);
    for (const name of ['pool/hello.deb', 'dists/a']) await chmod(join(root, name), 0);
    const user = process.geteuid!();
    if (user === 0) process.seteuid!(65_534); // root may read everything

    try {
      await assert.rejects(get(), refusesWith('ARCHIVE_DENIED'));
      await assert.rejects(
        archive.fetchReleaseSet('dists/a', null, never),
        refusesWith('ARCHIVE_DENIED'),
      );
    } finally {
      process.seteuid!(user);
      await chmod(join(root, 'dists/a'), 0o755);
    }
  });

  it('says ARCHIVE_UNREACHABLE for links that go round', async () => {
    await symlink('two', join(root, 'one'));
    await symlink('one', join(root, 'two'));

    await assert.rejects(get('one'), refusesWith('ARCHIVE_UNREACHABLE'));
  });

  it('follows links inside the folder, a root that is a link, and a changing link', async () => {
    await put('root/snapshots/1/hello.deb', 'one');
    await put('root/snapshots/2/hello.deb', 'two');
    await symlink('snapshots/1', join(root, 'pool'));
    await symlink('root', join(folder, 'linked'));
    archive = createDirectoryArchive({ url: pathToFileURL(join(folder, 'linked')).href });

    const before = await get();
    await symlink('snapshots/2', join(root, 'pool.new'));
    await rename(join(root, 'pool.new'), join(root, 'pool'));
    const afterwards = await get();

    assert.deepEqual([String(before), String(afterwards)], ['one', 'two']);
  });

  for (const [what, link, path] of [
    ['a file outside', ['../secret', 'pool'], 'pool'],
    ['an absolute file', ['/etc/passwd', 'passwd'], 'passwd'],
    ['a folder outside', ['..', 'up'], 'up/secret'],
    ['a sibling whose name begins alike', ['../root-2/secret', 'sibling'], 'sibling'],
  ] as const) {
    it(`refuses a link to ${what}`, async () => {
      await put('secret');
      await put('root-2/secret');
      await symlink(link[0], join(root, link[1]));

      await assert.rejects(get(path), refusesWith('HOSTILE_PATH'));
    });
  }

  it('refuses an InRelease that is a link to outside', async () => {
    await put('secret');
    await mkdir(join(root, 'dists/a'), { recursive: true });
    await symlink('../../../secret', join(root, 'dists/a/InRelease'));

    await assert.rejects(
      archive.fetchReleaseSet('dists/a', null, never),
      refusesWith('HOSTILE_PATH'),
    );
  });

  it('never reads outside while a folder and a link to outside alternate at one name', async () => {
    await put('root/real/hello.deb', 'inside');
    await put('outside/hello.deb', 'outside');
    await symlink('real', join(root, 'pool'));
    let turning = true;
    const turns = (async () => {
      for (let turn = 0; turning; turn += 1) {
        await symlink(turn % 2 === 0 ? '../outside' : 'real', join(root, 'next'));
        await rename(join(root, 'next'), join(root, 'pool'));
      }
    })();

    const seen = new Set<string>();
    for (let reader = 0; reader < 300; reader += 1)
      await get().then(
        (bytes) => seen.add(String(bytes)),
        (error: unknown) => seen.add(error instanceof DebgeoError ? error.code : String(error)),
      );
    turning = false;
    await turns;

    assert.ok(seen.has('inside') && seen.has('HOSTILE_PATH'), [...seen].join());
    for (const one of seen)
      assert.ok(['inside', 'HOSTILE_PATH', 'ARCHIVE_CHANGING'].includes(one), one);
  });

  it('opens no pipe, and does not wait for a writer', async () => {
    await mkdir(join(root, 'pool'));
    execFileSync('mkfifo', [join(root, file)]);

    await assert.rejects(get(), refusesWith('HOSTILE_PATH'));
  });

  for (const [how, size] of [
    ['shorter', 100_000],
    ['longer', 300_000],
  ] as const) {
    it(`never takes a file that becomes ${how} while it is read for a whole one`, async () => {
      await put('root/pool/hello.deb', 'x'.repeat(200_000));

      const reading = (async () => {
        for await (const _ of (await archive.open(file, 1_000_000, never)) ?? [])
          await truncate(join(root, file), size);
      })();

      await assert.rejects(reading, refusesWith('ARCHIVE_CHANGING'));
    });
  }

  it('reads the old file to its end where another one takes its name meanwhile', async () => {
    await put('root/pool/hello.deb', 'a'.repeat(200_000));
    await put('root/next', 'b'.repeat(100));

    const chunks: Uint8Array[] = [];
    for await (const chunk of (await archive.open(file, 1_000_000, never)) ?? []) {
      if (chunks.length === 0) await rename(join(root, 'next'), join(root, file));
      chunks.push(chunk);
    }

    assert.equal(Buffer.concat(chunks).toString(), 'a'.repeat(200_000));
  });

  it('has another validator for another file of the same size and time', async () => {
    const release = async (text: string) => {
      await put('root/next', text);
      await utimes(join(root, 'next'), 1, 1);
      await mkdir(join(root, 'dists/a'), { recursive: true });
      await rename(join(root, 'next'), join(root, 'dists/a/InRelease'));
    };
    await release('one');
    const first = await archive.fetchReleaseSet('dists/a', null, never);
    await release('two');

    assert.ok(first !== 'unchanged');
    const second = await archive.fetchReleaseSet('dists/a', first.validator, never);

    assert.ok(second !== 'unchanged');
    assert.equal(String(second.releaseSet.inRelease), 'two');
    assert.equal(second.validator.lastModified, null);
  });

  it('closes a file that is unread, too large, unchanged, or whose reader went away', async () => {
    await put('root/pool/hello.deb', 'x'.repeat(200_000));
    await put('root/dists/a/InRelease');
    archive = createDirectoryArchive({ url: pathToFileURL(root).href, limits: { stallMs: 100 } });

    const unread = await archive.open(file, 1_000_000, never);
    const set = await archive.fetchReleaseSet('dists/a', null, never);
    await archive.fetchReleaseSet('dists/a', set === 'unchanged' ? null : set.validator, never);
    await assert.rejects(get('pool/hello.deb', 10), refusesWith('LIMIT_EXCEEDED'));
    for await (const _ of (await archive.open(file, 1_000_000, never)) ?? []) break;

    await until(async () => (await openFiles(root)) === 0);
    await assert.rejects(readAll(unread), refusesWith('ARCHIVE_UNREACHABLE'));
  });

  it('ends when the disk hangs in open or read, and at once when it is aborted', async () => {
    await put('root/pool/hello.deb', 'x'.repeat(200_000));
    archive = createDirectoryArchive({
      url: pathToFileURL(root).href,
      limits: { answerMs: 200, stallMs: 200 },
    });
    let release = (): void => {};
    const controller = new AbortController();
    const answers: Promise<void>[] = [];

    for await (const _ of (await archive.open(file, 1_000_000, never)) ?? []) {
      release = hangDisk(folder);
      answers.push(
        assert.rejects(archive.open(file, 1_000_000, never), refusesWith('ARCHIVE_UNREACHABLE')),
        assert.rejects(
          archive.fetchReleaseSet('dists/a', null, never),
          refusesWith('ARCHIVE_UNREACHABLE'),
        ),
        assert.rejects(archive.open(file, 1_000_000, controller.signal), { name: 'AbortError' }),
      );
      controller.abort();
      await Promise.all(answers);
      break;
    }
    release();
    const reading = (async () => {
      for await (const _ of (await archive.open(file, 1_000_000, never)) ?? [])
        release = hangDisk(folder);
    })();
    await assert.rejects(reading, refusesWith('ARCHIVE_UNREACHABLE')).finally(() => release());

    await until(async () => (await openFiles(root)) === 0);
  });

  for (const url of [
    '/srv/debian',
    'file:srv/debian',
    'file://host/srv',
    'file:///srv?x=1',
    'file:///srv#a',
    'file:///a%2fb',
    'http://x',
  ])
    it(`refuses ${url} as a folder`, () => {
      assert.throws(() => createDirectoryArchive({ url }), refusesWith('CONFIG_INVALID'));
    });
});

/**
 * Every thread that Node reads files with waits in the opening of a pipe, as it would wait for a
 * dead server. @returns what ends that
 */
function hangDisk(folder: string): () => void {
  const pipes = Array.from({ length: Number(process.env['UV_THREADPOOL_SIZE'] ?? 4) }, () =>
    join(folder, `pipe-${randomUUID()}`),
  );
  execFileSync('mkfifo', pipes);
  const waiting = pipes.map((pipe) => open(pipe, 'r'));
  return () => {
    const writers = pipes.map((pipe) => openSync(pipe, constants.O_RDWR));
    for (const one of waiting) void one.then((handle) => handle.close());
    void Promise.all(waiting).then(() => writers.forEach(closeSync));
  };
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await holds())) {
    assert.ok(Date.now() < deadline, 'not within 20 s');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function openFiles(root: string): Promise<number> {
  const links = await Promise.all(
    (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
  );
  return links.filter((place) => place.startsWith(root)).length;
}
