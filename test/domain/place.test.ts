import assert from 'node:assert/strict';
import { test } from 'node:test';

import { isNested, placeOf, type SitePlace } from '../../src/domain/place.ts';

const GIVEN = 'https://a.blob.example.org';
const place = (account_url: string, rest: Partial<SitePlace> = {}): string =>
  placeOf({ account_url, container: 'apt', prefix: 'mirrors', ...rest });

for (const url of [
  'https://A.Blob.EXAMPLE.org',
  'http://a.blob.example.org',
  'https://a.blob.example.org:443',
  'http://a.blob.example.org:80',
  'http://a.blob.example.org:443',
  'https://a.blob.example.org/',
  'https://a.blob.example.org//',
  'https://a.blob.example.org.',
])
  test(`${url} is one place with ${GIVEN}`, () => assert.equal(place(url), place(GIVEN)));

test('an account in the path is the same however its letters are written', () => {
  const azurite = place('http://127.0.0.1:10000/devstoreaccount1');

  for (const url of [
    'http://127.1:10000/devstoreaccount1/',
    'http://0x7f000001:10000//%64evstoreaccount1',
  ])
    assert.equal(place(url), azurite);
  assert.notEqual(place('http://127.0.0.1:10001/devstoreaccount1'), azurite);
  assert.notEqual(place('http://127.0.0.1:10000/devstoreaccount2'), azurite);
});

test('a prefix lies in the container, and in no other of a similar name', () => {
  const root = place(GIVEN, { prefix: '' });

  assert.ok(isNested(place(GIVEN), root));
  assert.ok(isNested(root, place(GIVEN)));
  assert.ok(!isNested(place(GIVEN, { container: 'apt-2' }), root));
  assert.ok(!isNested(place(GIVEN), place(GIVEN, { prefix: 'mirrors-2' })));
  assert.ok(!isNested(place(GIVEN), place(GIVEN, { prefix: 'Mirrors' })), 'Azure tells case apart');
});
