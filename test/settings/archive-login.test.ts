/** What `apply` says of a login, of certificates, and of references to secrets. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';

import { DebgeoError } from '../../src/domain/errors.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { parseConfiguration } from '../../src/settings/configuration.ts';
import { makeAuthority } from '../support/certificates.ts';
import { NEEDS_OPENSSL } from '../support/needs.ts';

const folder = mkdtempSync(join(tmpdir(), 'debgeo-login-'));
test.after(() => rmSync(folder, { recursive: true }));

/** @param rest keys of an archive */
const parse = (url: string, rest: string) =>
  parseConfiguration(
    `archives:\n  a: { url: '${url}', unsigned: true, ${rest} }\n`,
    join(folder, 'debgeo.yaml'),
  ).archives['a']!;

/** `path: message` of each fault. */
function faultsOf(url: string, rest: string): string[] {
  try {
    parse(url, rest);
  } catch (error) {
    assert.ok(error instanceof DebgeoError && error.code === 'CONFIG_INVALID');
    return error.report.found!.split('\n').map((line) => line.replace(/^\S+ /, ''));
  }
  return [];
}

const HTTPS = 'https://archive.example.org/debian';
const HTTP = 'http://archive.example.org/debian';
const TOKEN = '{ env: DEBGEO_TOKEN }';
const BEARER = `login: { bearer: ${TOKEN} }`;

test('each kind of login is taken, as it stands', () => {
  for (const login of [
    { user: 'deploy', password: { env: 'DEBGEO_TOKEN' } },
    { bearer: { file: '/run/secrets/token' } },
    { headers: { 'Deploy-Token': { env: 'DEBGEO_TOKEN' } } },
    { client_certificate: { file: 'cert.pem' }, key: { file: 'key.pem' } },
  ])
    assert.deepEqual(parse(HTTPS, `login: ${JSON.stringify(login)}`).login, login);
});

const REFUSED: Readonly<Record<string, readonly [url: string, rest: string, fault: RegExp]>> = {
  'a login over http': [
    HTTP,
    BEARER,
    /^archives\.a\.login: .*https:.*private_network: true and insecure: true$/,
  ],
  'a login over http with one key of two': [
    HTTP,
    `${BEARER}, insecure: true`,
    /^archives\.a\.login: /,
  ],
  'a login over http with the other key': [
    HTTP,
    `${BEARER}, private_network: true`,
    /^archives\.a\.login: /,
  ],
  'a certificate over http, whatever is permitted': [
    'http://127.0.0.1',
    `login: { client_certificate: ${TOKEN}, key: ${TOKEN} }, private_network: true, insecure: true`,
    /^archives\.a\.login: a certificate is shown over https only/,
  ],
  'a path that PostgreSQL would not store': [
    HTTPS,
    'login: { bearer: { file: "a\\0b" } }',
    /^archives\.a\.login\.bearer\.file: text without control/,
  ],
  'a user that PostgreSQL would not store': [
    HTTPS,
    `login: { user: "\\ud800", password: ${TOKEN} }`,
    /^archives\.a\.login\.user: /,
  ],
  'a login for a folder': ['file:///srv/debian', BEARER, /^archives\.a\.login: a folder asks for/],
  'certificates of a folder': [
    'file:///srv/debian',
    'ca: ca.pem',
    /^archives\.a\.ca: a folder has/,
  ],
  'a password in the file': [
    HTTPS,
    'login: { user: deploy, password: hush }',
    /^archives\.a\.login: \{user, password\}/,
  ],
  'two kinds at once': [
    HTTPS,
    `login: { user: deploy, password: ${TOKEN}, bearer: ${TOKEN} }`,
    /^archives\.a\.login: /,
  ],
  'a user with a colon': [
    HTTPS,
    `login: { user: 'a:b', password: ${TOKEN} }`,
    /^archives\.a\.login\.user: a user has no colon/,
  ],
  'a variable of another name': [
    HTTPS,
    'login: { bearer: { env: DATABASE_URL } }',
    /^archives\.a\.login\.bearer\.env: .*begins with DEBGEO_: rename it/,
  ],
  'a variable of another name in a header': [
    HTTPS,
    'login: { headers: { X: { env: HOME } } }',
    /^archives\.a\.login\.headers\.X\.env: .*begins with DEBGEO_/,
  ],
  'no header at all': [HTTPS, 'login: { headers: {} }', /^archives\.a\.login\.headers: names no/],
  'the header Host': [
    HTTPS,
    `login: { headers: { Host: ${TOKEN} } }`,
    /^archives\.a\.login\.headers\.Host: is no header of a login/,
  ],
  'a header of two lines': [
    HTTPS,
    `login: { headers: { "X: y\\r\\nZ": ${TOKEN} } }`,
    /is not the name of a header/,
  ],
  'a header twice': [
    HTTPS,
    `login: { headers: { Token: ${TOKEN}, token: ${TOKEN} } }`,
    /^archives\.a\.login\.headers\.token: is named twice/,
  ],
  'certificates that are not there': [HTTPS, 'ca: gone.pem', /^archives\.a\.ca: gone\.pem cannot/],
  'a device as certificates': [HTTPS, 'ca: /dev/zero', /^archives\.a\.ca: is larger than/],
};

for (const [what, [url, rest, fault]] of Object.entries(REFUSED))
  test(`${what}: refused, and no secret shown`, () => {
    const faults = faultsOf(url, rest).join('\n');

    assert.match(faults, new RegExp(fault, 'm'));
    assert.doesNotMatch(faults, /hush/);
  });

test('a login over http is taken within this machine, and where two keys permit it', () => {
  for (const [url, rest] of [
    ['http://127.0.0.1:8080/debian', BEARER],
    ['http://localhost/debian', BEARER],
    [HTTP, `${BEARER}, private_network: true, insecure: true`],
  ] as const)
    assert.deepEqual(faultsOf(url, rest), []);
});

test('a site names a variable of debgeo, too', () => {
  const site = (credential: string) => `
sites:
  fra: { account_url: 'https://a.blob.core.windows.net', container: apt, credential: ${credential} }
`;
  const path = join(folder, 'debgeo.yaml');

  parseConfiguration(site('{ env: DEBGEO_FRA }'), path);
  assert.throws(
    () => parseConfiguration(site('{ env: AZURE_CLIENT_SECRET }'), path),
    (error) =>
      error instanceof DebgeoError &&
      /sites\.fra\.credential\.env: .*begins with DEBGEO_/.test(error.report.found!),
  );
});

test('certificates are read by apply, and judged', NEEDS_OPENSSL, () => {
  const { cert, key } = makeAuthority();
  const files = {
    'good.pem': `two of them\n${cert}\n${cert}`,
    'none.pem': 'no certificate',
    'key.pem': key,
    'broken.pem': cert + cert.replace(/\nMII/, '\nMIJ'),
    'large.pem': cert.repeat(Math.ceil(LIMITS.caBytes / cert.length) + 1),
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);

  assert.equal(Buffer.from(parse(HTTPS, 'ca: good.pem').ca!).toString(), files['good.pem']);
  for (const name of ['none.pem', 'key.pem', 'broken.pem'])
    assert.match(
      faultsOf(HTTPS, `ca: ${name}`).join(),
      /^archives\.a\.ca: has no certificate/,
      name,
    );
  assert.match(faultsOf(HTTPS, 'ca: large.pem').join(), /^archives\.a\.ca: is larger than/);
});
