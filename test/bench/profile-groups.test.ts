import assert from 'node:assert/strict';
import { test } from 'node:test';

import { groupOf, summarize, type CpuProfile, type Frame } from '../../bench/profile-groups.ts';

const ROOT: Frame = { functionName: '(root)', url: '' };
const node = (functionName: string, module: string): Frame => ({
  functionName,
  url: `node:${module}`,
});
const ours = (functionName: string, file: string): Frame => ({
  functionName,
  url: `file:///srv/debgeo/${file}`,
});
const dependency = (functionName: string, file: string): Frame => ({
  functionName,
  url: `file:///srv/debgeo/node_modules/${file}`,
});

test('work of Node is charged to its caller', () => {
  assert.equal(
    groupOf([
      node('push', 'internal/streams/readable'),
      ours('readBody', 'src/archive/http-answer.ts'),
      ROOT,
    ]),
    'archive',
  );
  assert.equal(
    groupOf([
      node('writev', 'net'),
      dependency('sendRequest', '@typespec/ts-http-runtime/dist/x.js'),
      ROOT,
    ]),
    'SDK of the site',
  );
});

test('work of Node without a caller is charged to that part of Node', () => {
  assert.equal(
    groupOf([
      { functionName: 'writev', url: '' },
      node('onread', 'internal/stream_base_commons'),
      ROOT,
    ]),
    'Node: sockets',
  );
  assert.equal(
    groupOf([node('parserOnHeadersComplete', '_http_common'), ROOT]),
    'Node: HTTP, archive and site',
  );
});

test('hashing and garbage collection have groups of their own, wherever they happen', () => {
  const put = ours('#putWhole', 'src/site/azure-site-store.ts');
  assert.equal(groupOf([node('update', 'internal/crypto/hash'), put, ROOT]), 'hash');
  assert.equal(groupOf([{ functionName: '(garbage collector)', url: '' }, put, ROOT]), 'GC');
});

test('where the same files write and read back, the function tells which', () => {
  assert.equal(groupOf([ours('wholeOf', 'src/site/azure-site-store.ts'), ROOT]), 'site write');
  assert.equal(groupOf([ours('#bytesOf', 'src/site/azure-site-store.ts'), ROOT]), 'read-back');
  assert.equal(
    groupOf([ours('#request', 'src/site/azure-site-store.ts'), ROOT]),
    'site, write and read',
  );
  assert.equal(groupOf([ours('putHeaders', 'src/site/azure-headers.ts'), ROOT]), 'site write');
  assert.equal(groupOf([ours('headOf', 'src/site/azure-headers.ts'), ROOT]), 'read-back');
  assert.equal(groupOf([ours('send', 'src/site/blob-http.ts'), ROOT]), 'site, write and read');
});

test('the database is SQL of ours and its drivers; an unknown package is an other one', () => {
  assert.equal(groupOf([ours('claimBlobs', 'src/database/registry/claims.ts'), ROOT]), 'database');
  assert.equal(groupOf([dependency('parse', 'pg-protocol/dist/parser.js'), ROOT]), 'database');
  assert.equal(groupOf([dependency('x', 'somewhat/index.js'), ROOT]), 'other packages');
});

test('only samples within the window count, and idling is not work', () => {
  const frame = (functionName: string, url: string) => ({ functionName, url });
  const profile: CpuProfile = {
    startTime: 1_000,
    nodes: [
      { id: 1, callFrame: ROOT, children: [2, 3] },
      { id: 2, callFrame: frame('(idle)', '') },
      { id: 3, callFrame: ours('claimBlobs', 'src/database/registry/claims.ts'), children: [4] },
      { id: 4, callFrame: node('update', 'internal/crypto/hash') },
    ],
    samples: [3, 2, 3, 4, 3],
    timeDeltas: [500, 500, 1_000, 1_000, 5_000], // at 1500, 2000, 3000, 4000, 9000
  };
  const summary = summarize(profile, { from: 1_900, to: 5_000 });
  assert.deepEqual(summary.groups, [
    { name: 'database', seconds: 0.001 },
    { name: 'hash', seconds: 0.001 },
  ]);
  assert.equal(summary.idleSeconds, 0.0005);
  assert.equal(summary.busySeconds, 0.002);
  assert.deepEqual(
    summary.functions.map((one) => one.name),
    ['claimBlobs src/database/registry/claims.ts', 'update node:internal/crypto/hash'],
  );
});
