import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { Deb822Parser, parseStanza } from '../../src/domain/deb822.ts';
import { refusesWith } from '../support/refuses-with.ts';
import { seeded } from '../support/seeded.ts';

const TEXT = Buffer.from(
  'Package: hello\nVersion: 1:2~3\nDescription: greets \n in two\n\tlines\n .\nMulti:Arch\n\n\n' +
    'Package: ü\r\nDescription:\r\n one\r\n\r\nOther: 1\n\nPackage:   last  ',
);
const STANZAS = [
  { package: 'hello', description: 'greets\nin two\nlines\n.' },
  { package: 'ü', description: '\none' },
  {},
  { package: 'last' },
];

function parse(
  chunks: Iterable<Uint8Array>,
  fields: readonly string[] | 'all' = ['package', 'DESCRIPTION'],
  limits?: { lineBytes: number; stanzaBytes: number },
) {
  const stanzas: Record<string, string>[] = [];
  const parser = new Deb822Parser(
    fields,
    (stanza) => stanzas.push(Object.fromEntries(stanza)),
    limits,
  );
  for (const chunk of chunks) parser.push(chunk);
  parser.end();
  return stanzas;
}

describe('Deb822Parser', () => {
  it('yields the wanted fields of each stanza, keys in lower case', () => {
    assert.deepEqual(parse([TEXT]), STANZAS);
  });

  it('yields the same wherever a chunk ends', () => {
    for (let at = 0; at <= TEXT.length; at += 1)
      assert.deepEqual(parse([TEXT.subarray(0, at), TEXT.subarray(at)]), STANZAS, `at ${at}`);
    assert.deepEqual(parse([...TEXT].map((byte) => Uint8Array.of(byte))), STANZAS);
  });

  it('yields the same for chunks of any sizes, also when the caller reuses its buffer', () => {
    const random = seeded(1);
    for (let round = 0; round < 200; round += 1) {
      const buffer = Buffer.alloc(16);
      const stanzas: Record<string, string>[] = [];
      const parser = new Deb822Parser(['Package', 'Description'], (stanza) =>
        stanzas.push(Object.fromEntries(stanza)),
      );
      for (let at = 0; at < TEXT.length;) {
        const size = TEXT.copy(buffer, 0, at, at + 1 + Math.floor(random() * 16));
        parser.push(buffer.subarray(0, size));
        buffer.fill(0);
        at += size;
      }
      parser.end();
      assert.deepEqual(stanzas, STANZAS);
    }
  });

  it('yields nothing for nothing', () => {
    assert.deepEqual(parse([]), []);
    assert.deepEqual(parse([Buffer.from('')]), []);
  });

  it('takes a line of blanks as continuation, as apt does', () => {
    assert.deepEqual(parse([Buffer.from('Package: a\n \nDescription: b\n')]), [
      { package: 'a\n', description: 'b' },
    ]);
  });

  it('refuses what is no control data', () => {
    for (const text of [
      '<html>\n',
      'Package\n',
      ' a: b\n',
      '\n a\n',
      ': a\n',
      'Package: a\n\n\tb\n',
      'Package: a\npackage: b\n',
      '\n',
      '\r\n',
      '\nPackage: a\n',
      'Package : a\n',
      'Package\t: a\n',
      'Package: a\n\rVersion: 1\n',
      'Package: a\n\vVersion: 1\n',
      'Package: a\n\fVersion: 1\n',
      'Package: a\n\0Version: 1\n',
      'Package: a\nVersiön: 1\n',
      'Package: a\n#Version: 1\n',
      'Package: a\n\r\r\nPackage: b\n',
    ]) {
      assert.throws(() => parse([Buffer.from(text)]), refusesWith('INDEX_MALFORMED'), text);
    }
  });

  it('refuses a line beyond the limit before it is complete', () => {
    const limits = { lineBytes: 20, stanzaBytes: 1000 };
    const endless = new Deb822Parser([], () => {}, limits);

    assert.equal(parse([Buffer.from(`Package: ${'a'.repeat(11)}\n`)], 'all', limits).length, 1);
    assert.throws(
      () => parse([Buffer.from(`Package: ${'a'.repeat(12)}\n`)], 'all', limits),
      refusesWith('LIMIT_EXCEEDED'),
    );
    assert.throws(() => {
      for (let pushed = 0; pushed < 30; pushed += 1) endless.push(Buffer.from('a'));
    }, refusesWith('LIMIT_EXCEEDED'));
  });

  it('refuses a stanza that never ends', () => {
    const lines = Buffer.from(`Files:\n${' 0123456789\n'.repeat(10)}`);

    assert.throws(
      () => parse([lines], ['Files'], { lineBytes: 100, stanzaBytes: 100 }),
      refusesWith('LIMIT_EXCEEDED'),
    );
    assert.throws(
      () => parse([lines], ['Package'], { lineBytes: 100, stanzaBytes: 100 }),
      refusesWith('LIMIT_EXCEEDED'),
      'fields that are not wanted fill the buffer of apt, too',
    );
  });
});

describe('parseStanza', () => {
  it('reads one stanza before empty lines', () => {
    assert.deepEqual(
      [...parseStanza('Origin: Debian\nSHA256:\n a 1 b\n\n')],
      [
        ['origin', 'Debian'],
        ['sha256', '\na 1 b'],
      ],
    );
  });

  it('refuses none and two', () => {
    assert.throws(() => parseStanza('\n'), refusesWith('INDEX_MALFORMED'));
    assert.throws(() => parseStanza('A: 1\n\nB: 2\n'), refusesWith('INDEX_MALFORMED'));
  });
});
