import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';

import { DebgeoError } from '../../src/domain/errors.ts';
import { parseConfiguration, type Configuration } from '../../src/settings/configuration.ts';

const folder = mkdtempSync(join(tmpdir(), 'debgeo-configuration-'));
test.after(() => rmSync(folder, { recursive: true }));
writeFileSync(join(folder, 'key.asc'), 'a keyring');

const GOOD = `
archives:
  debian: { url: 'http://archive.example.org/debian/', keyring: key.asc }
sites:
  fra: { account_url: 'https://a.blob.example.org', container: apt, credential: { env: FRA } }
  sin:
    { account_url: 'https://b.blob.example.org', container: apt, prefix: some/place,
      public_url: 'https://apt.example.org', credential: { file: /run/sin } }
distributions:
  bookworm:
    { archive: debian, suite: bookworm, components: [main], architectures: [amd64],
      sites: [fra, sin] }
`;

const parse = (text: string): Configuration =>
  parseConfiguration(text, join(folder, 'debgeo.yaml'));

/** `line:column path: message` of each fault, without the name of the file. */
const faultsOf = (text: string): string[] => {
  try {
    parse(text);
  } catch (error) {
    assert.ok(error instanceof DebgeoError);
    assert.equal(error.code, 'CONFIG_INVALID');
    return error.report
      .found!.split('\n')
      .map((line) => line.slice(join(folder, 'debgeo.yaml:').length));
  }
  return [];
};

test('a file that says little gets the rest by default', () => {
  const { archives, sites, distributions } = parse(GOOD);

  assert.equal(archives['debian']!.mount, 'debian');
  assert.equal(archives['debian']!.url, 'http://archive.example.org/debian');
  assert.deepEqual(Buffer.from(archives['debian']!.keyring!).toString(), 'a keyring');
  assert.equal(sites['fra']!.public_url, 'https://a.blob.example.org/apt');
  assert.equal(sites['sin']!.public_url, 'https://apt.example.org');
  assert.equal(distributions['bookworm']!.primary, 'fra');
  assert.equal(distributions['bookworm']!.poll, 600_000);
});

test('a credential may be the default identity', () => {
  assert.deepEqual(parse(GOOD.replace('{ env: FRA }', 'default')).sites['fra']!.credential, {
    identity: 'default',
  });
});

test('an archive may be a folder, and flat', () => {
  const text = GOOD.replace(
    'http://archive.example.org/debian/',
    'file:///srv/my%20mirror/',
  ).replace('suite: bookworm, components: [main]', 'suite: /');

  const { archives, distributions } = parse(text);

  assert.equal(archives['debian']!.url, 'file:///srv/my%20mirror');
  assert.equal(distributions['bookworm']!.suite, '/');
});

test('every fault is told at once, each with its line and column', () => {
  const faults = faultsOf(`
archives:
  debian: { url: 'ftp://x', keyring: none.asc }
sites:
  Fra: { account_url: 'https://a.example.org', container: apt, credential: { env: FRA } }
  sin: { account_url: 'https://b.example.org', container: apt, credentials: { env: SIN } }
distributions:
  bookworm: { archive: debian, suite: bookworm, sites: [] }
`);

  assert.deepEqual(
    faults.map((fault) => /^(\d+:\d+) (\S+):/.exec(fault)!.slice(1).join(' ')),
    [
      '3:13 archives.debian.url',
      '5:3 sites.Fra',
      '6:3 sites.sin.credential',
      '6:64 sites.sin.credentials',
      '8:49 distributions.bookworm.sites',
    ],
  );
});

for (const [what, change, where] of [
  [
    'an archive without a keyring that is not unsigned on purpose',
    [/, keyring: key.asc/, ''],
    'archives.debian',
  ],
  ['a keyring that cannot be read', [/key\.asc/, 'gone.asc'], 'archives.debian.keyring'],
  [
    'an unknown site',
    [/sites: \[fra, sin\]/, 'sites: [fra, ams]'],
    'distributions.bookworm.sites.1',
  ],
  [
    'a site named twice',
    [/sites: \[fra, sin\]/, 'sites: [fra, fra]'],
    'distributions.bookworm.sites.1',
  ],
  [
    'a primary that is not one of the sites',
    [/sites: \[fra, sin\]/, 'sites: [fra], primary: sin'],
    'distributions.bookworm.primary',
  ],
  ['an unknown archive', [/archive: debian/, 'archive: ubuntu'], 'distributions.bookworm.archive'],
  [
    'a suite that would leave dists/',
    [/suite: bookworm/, 'suite: ../bookworm'],
    'distributions.bookworm.suite',
  ],
  [
    'components of a flat archive',
    [/suite: bookworm/, 'suite: sub/'],
    'distributions.bookworm.components',
  ],
  [
    'a flat suite that apt could not read at a site',
    [/suite: bookworm, components: \[main\]/, 'suite: ./'],
    'distributions.bookworm.suite',
  ],
  ['an identity that is none of these', [/\{ env: FRA \}/, 'managed'], 'sites.fra.credential'],
  [
    'an identity over http',
    [
      /https:\/\/a.blob.example.org', container: apt, credential: \{ env: FRA \}/,
      "http://a.blob.example.org', container: apt, credential: default",
    ],
    'sites.fra.credential',
  ],
  [
    'a SAS in the URL of a site',
    [/a.blob.example.org/, 'a.blob.example.org/?sv=2025&sig=hush'],
    'sites.fra.account_url',
  ],
  [
    'a SAS in a public URL',
    [/apt.example.org/, 'apt.example.org/?sv=2025&sig=hush'],
    'sites.sin.public_url',
  ],
  [
    'a password in the URL of an archive',
    [/http:\/\/archive/, 'http://user:hush@archive'],
    'archives.debian.url',
  ],
  [
    'a folder that is no absolute path',
    [/http:\/\/archive.example.org/, 'file:srv'],
    'archives.debian.url',
  ],
  [
    'a folder of another machine',
    [/http:\/\/archive.example.org/, 'file://nas'],
    'archives.debian.url',
  ],
  [
    'redirects of a folder',
    [
      /url: 'http:\/\/archive.example.org\/debian\/'/,
      "url: 'file:///srv/debian', redirect_origins: ['https://x.example.org']",
    ],
    'archives.debian.redirect_origins',
  ],
  [
    'a mount in the mount of another archive',
    [/sites:\n/, "  more: { url: 'http://x', mount: debian/more, unsigned: true }\nsites:\n"],
    'archives.more.mount',
  ],
  [
    'the reserved folder',
    [/keyring: key.asc/, 'keyring: key.asc, mount: .debgeo/x'],
    'archives.debian.mount',
  ],
  [
    'two sites at one place',
    [
      /b\.blob\.example\.org', container: apt, prefix: some\/place/,
      "a.blob.example.org', container: apt",
    ],
    'sites.sin',
  ],
  [
    'an unknown key',
    [/suite: bookworm,/, 'suite: bookworm, colour: red,'],
    'distributions.bookworm.colour',
  ],
  [
    'an age at which every release would be stale',
    [/suite: bookworm,/, 'suite: bookworm, poll: 1h, stale_after: 1h,'],
    'distributions.bookworm.stale_after',
  ],
  [
    'a poll that is too quick',
    [/suite: bookworm,/, 'suite: bookworm, poll: 1s,'],
    'distributions.bookworm.poll',
  ],
] as const)
  test(`${what} is refused`, () => {
    const text = GOOD.replace(change[0], change[1]);
    assert.notEqual(text, GOOD);

    const faults = faultsOf(text);

    assert.ok(
      faults.some((fault) => fault.includes(` ${where}: `)),
      faults.join('\n'),
    );
    assert.ok(!faults.join('\n').includes('hush'), 'a fault shows no secret');
  });

test('broken YAML is told with its place', () =>
  assert.match(faultsOf('archives:\n  debian: { url: [\n')[0]!, /^\d+:\d+ /));
