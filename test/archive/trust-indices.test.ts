/**
 * What debgeo copies for an index is what apt asks for, to the letter: its names, sizes and digests
 * beside those of the apt of this host. What only one of them reads is refused, with its reason.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';

import { PackagesReader, SourcesReader } from '../../src/domain/index-file.ts';
import { aptQuote } from '../../src/domain/repo-path.ts';
import { needsApt } from '../support/needs.ts';
import { refusesWith } from '../support/refuses-with.ts';
import { aptAsksFor, type Asked, type IndexKind } from './trust-apt.ts';
import { type IndexCase, packagesCases, sourcesCases } from './trust-cases/indices.ts';

const folder = mkdtempSync(join(tmpdir(), 'debgeo-indices-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function copied(kind: IndexKind, index: Uint8Array): Asked[] {
  const asked: Asked[] = [];
  const Reader = kind === 'Packages' ? PackagesReader : SourcesReader;
  const reader = new Reader('', ({ path, size, sha256 }) =>
    asked.push({ path: aptQuote(path), size: String(size), hash: `SHA256:${sha256}` }),
  );
  reader.push(index);
  reader.end();
  return asked;
}

for (const [kind, cases] of [
  ['Packages', packagesCases],
  ['Sources', sourcesCases],
] as const) {
  const sorted = (all: readonly Asked[]): Asked[] =>
    all.toSorted((one, other) => (one.path < other.path ? -1 : 1));

  describe(kind, () => {
    for (const { name, index, asks, code } of cases)
      it(asks === null ? `refuses ${name}` : `copies what apt asks for: ${name}`, () => {
        if (asks !== null)
          assert.deepEqual(
            copied(kind, index).map(({ path }) => path),
            asks,
          );
        else assert.throws(() => copied(kind, index), refusesWith(code ?? 'INDEX_MALFORMED'));
      });
  });

  describe(`apt on ${kind}`, { skip: needsApt }, async () => {
    const indices = cases.map(({ index }) => index);
    const asked = needsApt === false ? await aptAsksFor(join(folder, kind), kind, indices) : [];
    for (const [at, one] of cases.entries())
      it(nameOf(one), () => {
        const { asks, index, apt } = one;
        if (asks !== null) assert.deepEqual(sorted(asked[at] ?? []), sorted(copied(kind, index)));
        else assert.deepEqual(asked[at]?.map(({ path }) => path) ?? null, apt ?? null);
      });
  });
}

function nameOf({ name, asks, apt }: IndexCase): string {
  if (asks !== null) return `asks for the same: ${name}`;
  return apt === undefined ? `cannot read ${name}` : `asks for ${apt.join(', ')}: ${name}`;
}
