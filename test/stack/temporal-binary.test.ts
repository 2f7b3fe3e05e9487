/**
 * The search, with small scripts in place of the Temporal CLI, of Go and of the download: what it
 * finds where, and what it leaves behind.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';

import { identify } from '../../src/stack/process-identity.ts';
import { findTemporalBinary } from '../../src/stack/temporal-binary.ts';
import { refusesWith } from '../support/refuses-with.ts';

const RIGHT = 'temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)';
const OTHER = 'temporal version 1.7.0 (Server 1.31.0, UI 2.45.0)';
/** Nothing listens on port 9 of this host. */
const NO_DOWNLOAD = 'http://127.0.0.1:9/';
const SYSTEM = '/usr/bin:/bin';

let place: string;
let cache: string;
let bin: string;
const before = { ...process.env };

beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'debgeo-binary-'));
  cache = join(place, 'cache');
  bin = join(place, 'bin');
  mkdirSync(bin);
  delete process.env['DEBGEO_TEMPORAL_BINARY'];
  process.env['DEBGEO_CACHE_DIR'] = cache;
  process.env['PATH'] = `${bin}:${SYSTEM}`;
});
afterEach(() => {
  process.env = { ...before };
  rmSync(place, { recursive: true });
});

test('the binary of DEBGEO_TEMPORAL_BINARY is used, and refused with another server', async () => {
  const right = script(join(place, 'right'), `echo '${RIGHT}'`);
  const other = script(join(place, 'other'), `echo '${OTHER}'`);

  process.env['DEBGEO_TEMPORAL_BINARY'] = right;
  assert.equal(await find(), right);
  process.env['DEBGEO_TEMPORAL_BINARY'] = other;
  await assert.rejects(find(), refusesWith('TEMPORAL_BINARY_MISSING'));
});

test('PATH counts only for a binary with the right server, and after the cache', async () => {
  const later = join(place, 'later');
  mkdirSync(later);
  process.env['PATH'] = `${bin}:${later}:${SYSTEM}`;
  script(join(bin, 'temporal'), `echo '${OTHER}'`);
  const inPath = script(join(later, 'temporal'), `echo '${RIGHT}'`);

  assert.equal(await find(), inPath);
  mkdirSync(join(cache, 'temporal-1.5.1'), { recursive: true });
  const cached = script(join(cache, 'temporal-1.5.1', 'temporal'), `echo '${RIGHT}'`);
  assert.equal(await find(), cached);
});

test('a download is unpacked into the cache, checked, and found there the next time', async () => {
  const packed = join(place, 'packed');
  mkdirSync(packed);
  script(join(packed, 'temporal'), `echo '${RIGHT}'`);
  const archive = execFileSync('tar', ['-czf', '-', '-C', packed, 'temporal']);
  const server = createServer((_, response) => response.end(archive));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  const downloadUrl = `http://127.0.0.1:${port}/?platform={platform}&arch={arch}`;

  const first = await find({ downloadUrl });
  server.close();

  assert.equal(first, join(cache, 'temporal-1.5.1', 'temporal'));
  assert.equal(await find(), first);
  assert.deepEqual(readdirSync(join(cache, 'temporal-1.5.1')), ['temporal']);
});

test('two builds at once end with the same binary and leave nothing else', async () => {
  fakeGo(`
    mkdir -p "$GOBIN"; echo . > "$GOCACHE-used"; sleep 0.2
    printf '#!/bin/sh\\necho "${RIGHT}"\\n' > "$GOBIN/temporal"; chmod +x "$GOBIN/temporal"`);

  const [left, right] = await Promise.all([find(), find()]);

  assert.equal(left, right);
  assert.deepEqual(readdirSync(join(cache, 'temporal-1.5.1')), ['temporal']);
});

test('a build that is aborted ends its processes and leaves nothing', async () => {
  const pidFile = join(place, 'pid');
  fakeGo(`echo $$ > ${pidFile}.partial; mv ${pidFile}.partial ${pidFile}; sleep 60 & wait`);
  const giveUp = new AbortController();

  const search = find({ signal: giveUp.signal });
  const rejected = assert.rejects(search);
  while (!existsSync(pidFile)) await wait(10);
  giveUp.abort();
  await rejected;

  assert.equal(identify(Number(readFileSync(pidFile, 'utf8'))), null);
  assert.deepEqual(readdirSync(join(cache, 'temporal-1.5.1')), []);
});

test('a build that fails and a host without Go are TEMPORAL_BINARY_MISSING', async () => {
  fakeGo('echo no such module >&2; exit 1');
  await assert.rejects(find(), refusesWith('TEMPORAL_BINARY_MISSING', { found: 'no such module' }));

  rmSync(join(bin, 'go'));
  process.env['PATH'] = bin;
  await assert.rejects(find(), refusesWith('TEMPORAL_BINARY_MISSING'));
});

const find = (over: { signal?: AbortSignal; downloadUrl?: string } = {}): Promise<string> =>
  findTemporalBinary({
    say: () => undefined,
    signal: new AbortController().signal,
    downloadUrl: NO_DOWNLOAD,
    ...over,
  });

function script(path: string, body: string): string {
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

const fakeGo = (install: string): string =>
  script(join(bin, 'go'), `case $1 in version|env) exit 0;; esac\n${install}`);
