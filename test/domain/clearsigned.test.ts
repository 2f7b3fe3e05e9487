import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { isSameText, splitClearsigned, splitSignatures } from '../../src/domain/clearsigned.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { refusesWith } from '../support/refuses-with.ts';

const SIGNATURE = '-----BEGIN PGP SIGNATURE-----\n\niQ==\n=deO1\n-----END PGP SIGNATURE-----\n';
const SIGNED = Buffer.from([0x89]);
const HEAD = '-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n';
const RELEASE = 'Origin: Debian\nSHA256:\n 00 1 main/Packages\n';

const split = (text: string) => splitClearsigned(Buffer.from(text));
const bodyOf = (text: string) => Buffer.from(split(text).body).toString();

describe('splitClearsigned', () => {
  it('gives Release byte for byte, and the signature', () => {
    const parts = split(HEAD + RELEASE + SIGNATURE);

    assert.equal(Buffer.from(parts.body).toString(), RELEASE);
    assert.deepEqual(parts.signatures, [SIGNED]);
  });

  it('accepts CRLF, blanks at line ends, no LF at the end, any armor header and none', () => {
    assert.equal(bodyOf((HEAD + RELEASE + SIGNATURE).replaceAll('\n', '\r\n')), RELEASE);
    assert.equal(bodyOf((HEAD + RELEASE + SIGNATURE).replaceAll('\n', ' \t\n')), RELEASE);
    assert.equal(bodyOf((HEAD + RELEASE + SIGNATURE).trimEnd()), RELEASE);
    assert.equal(bodyOf((HEAD + RELEASE + SIGNATURE).replace('Hash: SHA512\n', '')), RELEASE);
    assert.equal(
      bodyOf((HEAD + RELEASE + SIGNATURE).replace('Hash: SHA512', 'Charset: x')),
      RELEASE,
    );
  });

  it('keeps empty lines of the text', () => {
    assert.equal(bodyOf(`${HEAD}\nA: b\n\n${SIGNATURE}`), '\nA: b\n\n');
  });

  it('removes the escape of any line', () => {
    assert.equal(
      bodyOf(`${HEAD}- A: b\n- -dash\n- - twice\n${SIGNATURE}`),
      'A: b\n-dash\n- twice\n',
    );
  });

  it('accepts several signature blocks at the end', () => {
    const parts = split(HEAD + RELEASE + SIGNATURE + SIGNATURE);

    assert.deepEqual(parts.signatures, [SIGNED, SIGNED]);
  });

  const whole = HEAD + RELEASE + SIGNATURE;
  const refused: Record<string, string> = {
    'an empty file': '',
    'an unsigned Release': RELEASE,
    'an error page': '<!DOCTYPE html>\n<html>\n',
    'a line before': `\n${whole}`,
    'a byte order mark': `\ufeff${whole}`,
    'a blank before': ` ${whole}`,
    'unsigned text before': `Origin: evil\n${whole}`,
    'a line after': `${whole}Origin: evil\n`,
    'an empty line after': `${whole}\n`,
    'a line between signatures': `${whole}Origin: evil\n${SIGNATURE}`,
    'an empty line between signatures': `${whole}\n${SIGNATURE}`,
    'a second message': whole + whole,
    'a message in a message': HEAD + whole,
    'a dash that is not escaped': `${HEAD}-A: b\n${SIGNATURE}`,
    'an armor line of another kind in the text': `${HEAD}-----BEGIN PGP MESSAGE-----\n${SIGNATURE}`,
    'a signature with a wrong checksum': whole.replace('=deO1', '=abcd'),
    'a checksum of one character': whole.replace('=deO1', '=w'),
    'a checksum of three characters': whole.replace('=deO1', '=deO'),
    'a checksum of five characters': whole.replace('=deO1', '=deO1A'),
    'a checksum that is none of base64': whole.replace('=deO1', '=de&1'),
    'text behind the checksum': whole.replace('=deO1', '=deO1\niQ=='),
    'text behind half a checksum': whole.replace('=deO1', '=deO\n\nY'),
    'two checksums': whole.replace('=deO1', '=deO1\n=deO1'),
    'a checksum alone': whole.replace('iQ==\n', ''),
    'other characters than base64': whole.replace('iQ==', 'iQ!='),
    'a blank in the base64': whole.replace('iQ==', 'i Q=='),
    'an empty line in the armor': whole.replace('=deO1', '\n=deO1'),
    'padding within the base64': whole.replace('iQ==', 'iQ==\niQ=='),
    'base64 without its padding': whole.replace('iQ==', 'iQ'),
    'base64 with too much padding': whole.replace('iQ==', 'iQ==='),
    'an empty armor': whole.replace('iQ==\n=deO1\n', ''),
    'a signature without an empty line before it': HEAD + RELEASE + SIGNATURE.replace('\n\n', '\n'),
    'a header of the signature without a colon':
      HEAD + RELEASE + SIGNATURE.replace('\n\n', '\nhello\n\n'),
    'an armor header that begins with a dash': whole.replace('Hash: SHA512', '- Hash: SHA512'),
    'no empty line after the headers':
      '-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\nA: b\n' +
      '-----BEGIN PGP SIGNATURE-----\niQ==\n-----END PGP SIGNATURE-----\n',
    'no text': HEAD + SIGNATURE,
    'no signature': HEAD + RELEASE,
    'an unclosed signature': whole.replace('-----END PGP SIGNATURE-----\n', ''),
    'a dash in a signature': whole.replace('iQ==', '-Q=='),
    'a signature in a signature': whole.replace('iQ==', '-----BEGIN PGP SIGNATURE-----'),
    'a NUL': whole.replace('Debian', 'Deb\0ian'),
    'a CR inside a line': whole.replace('Debian', 'Debian\rOrigin: evil'),
  };
  for (const [what, text] of Object.entries(refused)) {
    it(`refuses ${what}`, () =>
      assert.throws(() => split(text), refusesWith('SIGNATURE_MALFORMED')));
  }

  it('refuses text that is not UTF-8', () => {
    assert.throws(
      () => splitClearsigned(Buffer.from(whole.replace('Debian', 'D\xe9bian'), 'latin1')),
      refusesWith('SIGNATURE_MALFORMED'),
    );
  });

  it('refuses every truncation', () => {
    for (let length = 0; length < whole.length - 1; length += 1)
      assert.throws(
        () => split(whole.slice(0, length)),
        refusesWith('SIGNATURE_MALFORMED'),
        `${length}`,
      );
  });
});

it('bounds the lines, before it makes any of them', () => {
  const lines = Buffer.alloc(LIMITS.releaseLines + 1, '\n');

  assert.throws(() => splitClearsigned(lines), refusesWith('LIMIT_EXCEEDED'));
  assert.throws(() => splitSignatures(lines), refusesWith('LIMIT_EXCEEDED'));
  assert.throws(() => splitSignatures(lines.subarray(2)), refusesWith('SIGNATURE_MALFORMED'));
});

describe('splitSignatures', () => {
  it('gives the blocks of a detached signature', () => {
    assert.deepEqual(splitSignatures(Buffer.from(SIGNATURE + SIGNATURE.replaceAll('\n', '\r\n'))), [
      SIGNED,
      SIGNED,
    ]);
  });

  it('refuses what GnuPG reads otherwise in a file that apt does not strip of blanks', () => {
    for (const text of [
      SIGNATURE.replace('\n\n', '\nComment:\t\n\n'),
      SIGNATURE.replace('-----\n', `-----${' '.repeat(LIMITS.signedLineBytes)}\n`),
    ]) {
      assert.equal(split(HEAD + RELEASE + text).signatures.length, 1);
      assert.throws(() => splitSignatures(Buffer.from(text)), refusesWith('SIGNATURE_MALFORMED'));
    }
  });

  it('refuses anything else, and binary signatures', () => {
    for (const text of [
      '',
      '\n',
      `x\n${SIGNATURE}`,
      `${SIGNATURE}\n`,
      SIGNATURE.slice(0, 40),
      '\u0088\u0001',
    ]) {
      assert.throws(
        () => splitSignatures(Buffer.from(text)),
        refusesWith('SIGNATURE_MALFORMED'),
        text,
      );
    }
    assert.throws(
      () => splitSignatures(Uint8Array.of(0x89, 0x02, 0x33)),
      refusesWith('SIGNATURE_MALFORMED'),
    );
  });
});

describe('isSameText', () => {
  const isSame = (one: string, other: string) => isSameText(Buffer.from(one), Buffer.from(other));

  it('passes over what a text signature passes over, and over nothing else', () => {
    assert.ok(isSame(RELEASE, RELEASE.replaceAll('\n', ' \t\r\n')));
    assert.ok(isSame(RELEASE, `${RELEASE}\n \n\n`));
    assert.ok(isSame(RELEASE, RELEASE.trimEnd()));
    assert.ok(!isSame(RELEASE, ` ${RELEASE}`));
    assert.ok(!isSame(RELEASE, `\n${RELEASE}`));
    assert.ok(!isSame(RELEASE, RELEASE.replace('Debian', 'Debian \v')));
    assert.ok(!isSame(RELEASE, RELEASE.replace('Origin: ', 'Origin:')));
    assert.ok(!isSame(RELEASE, `${RELEASE}x`));
    assert.ok(!isSame(RELEASE, ''));
  });

  it('ends soon for a text of blanks, which is not authenticated yet', () => {
    const began = performance.now();

    // A search that tries the blanks from each of them on takes minutes.
    assert.ok(!isSame(RELEASE, `${' '.repeat(200_000)}x`));

    assert.ok(performance.now() - began < 10_000);
  });
});
