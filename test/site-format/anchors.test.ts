import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { LIMITS } from '../../src/domain/limits.ts';
import { parseRepoPath, sitePath } from '../../src/domain/repo-path.ts';
import { sha256Of, type Sha256 } from '../../src/domain/sha256.ts';
import {
  encodeHead,
  encodeRelease,
  encodeSite,
  type HeadAnchor,
  type ReleaseAnchor,
  type SiteAnchor,
} from '../../src/site-format/anchors.ts';
import { decodeHead, decodeRelease, decodeSite } from '../../src/site-format/decode.ts';
import { headPath, releasePath, segmentOf, SITE_PATH } from '../../src/site-format/paths.ts';
import { HOSTILE_STRINGS } from '../support/hostile-strings.ts';
import { refusesWith } from '../support/refuses-with.ts';
import { seeded } from '../support/seeded.ts';

const PLACE = parseRepoPath('.debgeo/x.json');
const deployment = { id: '6d1f7c56-3f44-4b0e-9d67-1d0f5b0a7c11', epoch: 2 };
const digest = (letter: string): Sha256 => sha256Of(Buffer.from(letter));

const SITE: SiteAnchor = { deployment, heads: [{ mount: 'debian', suite: 'sub/' }] };
const HEAD: HeadAnchor = { deployment, release: digest('b'), previous: digest('a'), pruned: 3 };
const RELEASE: ReleaseAnchor = {
  mount: 'debian',
  suite: 'bookworm',
  selection: { components: ['main'], architectures: ['amd64', 'all'] },
  releaseSet: {
    inRelease: Buffer.from('-----BEGIN PGP SIGNED MESSAGE-----\n\u00ff'),
    release: null,
    releaseGpg: Buffer.from([0, 255, 254]),
  },
  absent: [parseRepoPath('dists/bookworm/main/binary-all/Packages')],
  previous: null,
};
const READERS = { site: decodeSite, head: decodeHead, release: decodeRelease };
const ENCODED = {
  site: encodeSite(SITE).bytes,
  head: encodeHead(HEAD).bytes,
  release: encodeRelease(RELEASE).bytes,
};

describe('the objects below .debgeo/', () => {
  it('are read as they were written', () => {
    assert.deepEqual(decodeSite(ENCODED.site, PLACE), SITE);
    assert.deepEqual(decodeHead(ENCODED.head, PLACE), HEAD);
    assert.deepEqual(decodeRelease(ENCODED.release, PLACE), RELEASE);
  });

  it('are these bytes, in format 1', () => {
    const id = deployment.id;
    assert.equal(
      Buffer.from(ENCODED.site).toString(),
      `{"format":1,"deployment":"${id}","epoch":2,` +
        '"heads":[{"mount":"debian","suite":"sub/"}]}\n',
    );
    assert.equal(
      Buffer.from(ENCODED.head).toString(),
      `{"format":1,"deployment":"${id}","epoch":2,` +
        `"release":"${digest('b')}","previous":"${digest('a')}","pruned":3}\n`,
    );
    assert.equal(
      encodeRelease(RELEASE).sha256,
      '52389c2433a98a632fe0a98a5ab87ce0eee0e00bebb050a5048cb8d8e75c4f91',
    );
  });

  for (const [kind, read] of Object.entries(READERS)) {
    it(`${kind}: a newer format is refused with what to start`, () => {
      const newer = JSON.stringify({ format: 2, anything: ['else'] });
      assert.throws(
        () => read(Buffer.from(newer), PLACE),
        refusesWith('ANCHOR_UNREADABLE', { expected: 'format 1', found: 'format 2' }),
      );
    });

    it(`${kind}: a key more, a key less and another kind of value are refused`, () => {
      const fields = JSON.parse(Buffer.from(ENCODED[kind as keyof typeof ENCODED]).toString());
      const wrong = Object.keys(fields).flatMap((key) => [
        ...(key === 'pruned' ? [] : [{ ...fields, [key]: undefined }]),
        { ...fields, [key]: { deep: [] } },
        { ...fields, [key]: -1 },
        { ...fields, [key]: '../..' },
      ]);
      for (const one of [...wrong, { ...fields, more: 1 }, null, [], 'text', 1])
        assert.throws(
          () => read(Buffer.from(JSON.stringify(one)), PLACE),
          refusesWith('ANCHOR_UNREADABLE'),
          JSON.stringify(one),
        );
    });

    it(`${kind}: hostile bytes are refused, and never crash`, () => {
      const hostile = [
        ...Object.values(HOSTILE_STRINGS).flatMap((text) => [text, JSON.stringify(text)]),
        '['.repeat(1_000_000),
        '{"format":1,"__proto__":{"deployment":1}}',
        'x'.repeat(LIMITS.anchorBytes + 1),
      ].map((text) => Buffer.from(text));
      for (const bytes of [...hostile, Buffer.from([0xff, 0xfe]), Buffer.alloc(0)])
        assert.throws(() => read(bytes, PLACE), refusesWith('ANCHOR_UNREADABLE'));
    });

    it(`${kind}: of a thousand mutants each is refused, or read as another object`, () => {
      const bytes = ENCODED[kind as keyof typeof ENCODED];
      const random = seeded(1);
      for (let index = 0; index < 1_000; index += 1) {
        const mutant = Buffer.from(bytes);
        const at = Math.floor(random() * mutant.length);
        mutant[at] = Math.floor(random() * 256);
        try {
          read(mutant.subarray(0, random() < 0.2 ? at : undefined), PLACE);
        } catch (error) {
          assert.ok(refusesWith('ANCHOR_UNREADABLE')(error));
        }
      }
    });
  }

  it('a Release set that makes an object too long is refused before anything is written', () => {
    const releaseSet = { ...RELEASE.releaseSet, inRelease: Buffer.alloc(13 * 2 ** 20) };
    assert.throws(
      () => encodeRelease({ ...RELEASE, releaseSet }),
      refusesWith('LIMIT_EXCEEDED', { expected: `at most ${LIMITS.anchorBytes} bytes` }),
    );
  });
});

describe('their names', () => {
  it('are one segment for each mount and suite, and never the same for two', () => {
    const texts = ['debian', 'Debian', 'a/b', 'a=2fb', 'a-b', 'a_b', 'a.b', '/', 'sub/', 'ü', 'x.'];
    const long = ['x'.repeat(LIMITS.anchorSegment + 1), 'y'.repeat(LIMITS.anchorSegment + 1)];
    const segments = [...texts, ...long].map(segmentOf);

    assert.equal(new Set(segments).size, segments.length);
    for (const segment of segments) assert.match(segment, /^[\w=-]{1,150}$/);
    assert.equal(
      headPath({ mount: 'mirrors/debian', suite: 'bookworm-updates' }),
      '.debgeo/heads/mirrors=2fdebian/bookworm-updates.json',
    );
    assert.equal(
      releasePath({ mount: 'debian', suite: '/' }, digest('a')),
      `.debgeo/releases/debian/=2f/${digest('a')}.json`,
    );
  });

  it('have room behind the longest prefix', () => {
    const text = 'ü'.repeat(400);
    const name = releasePath({ mount: text, suite: text }, digest('a'));
    assert.ok(LIMITS.prefixBytes + 1 + name.length <= 1_024);
  });

  it('are never what a path of an archive becomes', () => {
    for (const path of ['.debgeo/site.json', 'x'])
      assert.ok(!sitePath('debian', parseRepoPath(path)).startsWith('.debgeo/'));
    assert.equal(SITE_PATH, '.debgeo/site.json');
  });
});
