import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';

import { DebgeoError } from '../../src/domain/errors.ts';
import {
  parseConfiguration,
  readConfiguration,
  type Configuration,
} from '../../src/settings/configuration.ts';
import { refusesWith } from '../support/refuses-with.ts';

const folder = mkdtempSync(join(tmpdir(), 'debgeo-configuration-'));
test.after(() => rmSync(folder, { recursive: true }));
writeFileSync(join(folder, 'key.asc'), 'a keyring');

const GOOD = `
archives:
  debian: { url: 'http://archive.example.org/debian/', keyring: key.asc }
sites:
  fra: { account_url: 'https://a.blob.example.org', container: apt, credential: { env: DEBGEO_F } }
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
  assert.deepEqual(parse(GOOD.replace('{ env: DEBGEO_F }', 'default')).sites['fra']!.credential, {
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
  Fra: { account_url: 'https://a.example.org', container: apt, credential: { env: DEBGEO_F } }
  sin: { account_url: 'https://b.example.org', container: apt, credentials: { env: DEBGEO_SIN } }
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
  ['an identity that is none of these', [/\{ env: DEBGEO_F \}/, 'managed'], 'sites.fra.credential'],
  [
    'an identity over http',
    [
      /https:\/\/a.blob.example.org', container: apt, credential: \{ env: DEBGEO_F \}/,
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
    'a prefix in the reserved folder',
    [/prefix: some\/place/, 'prefix: some/.DebGeo'],
    'sites.sin.prefix',
  ],
  [
    'the reserved folder in capitals, deeper',
    [/keyring: key.asc/, 'keyring: key.asc, mount: x/.DEBGEO'],
    'archives.debian.mount',
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

/** What a second site says, each the place of `fra` of GOOD, above it or below it. */
const SAME_PLACES: Readonly<Record<string, string>> = {
  'the host in capitals': "account_url: 'https://A.BLOB.example.org', container: apt",
  'http instead of https': "account_url: 'http://a.blob.example.org', container: apt",
  'the default port': "account_url: 'https://a.blob.example.org:443', container: apt",
  'a prefix beside a mount of its name':
    "account_url: 'https://a.blob.example.org', container: apt, prefix: mirrors",
  'the default port of http': "account_url: 'http://a.blob.example.org:80', container: apt",
  'a dot behind the host': "account_url: 'https://a.blob.example.org.', container: apt",
  'a slash at the end': "account_url: 'https://a.blob.example.org/', container: apt",
  'a folder deep in it, in another spelling':
    "account_url: 'http://A.blob.example.org:80/', container: apt, prefix: a/b/c",
};

for (const [what, second] of Object.entries(SAME_PLACES))
  test(`two sites at one place are refused: ${what}`, () => {
    const text = GOOD.replace(
      'keyring: key.asc',
      'keyring: key.asc, mount: mirrors/debian',
    ).replace(
      'distributions:',
      `  ams: { ${second}, credential: { env: DEBGEO_AMS } }\ndistributions:`,
    );

    const faults = faultsOf(text).join('\n');

    assert.match(faults, / sites\.ams: (?:is the same place as|lies in the place of) fra /);
  });

test('two folders of one container are two places', () => {
  const sin = "account_url: 'https://a.blob.example.org', container: apt, prefix: some/place";
  const text = GOOD.replace(
    'container: apt, credential',
    'container: apt, prefix: some, credential',
  )
    .replace('prefix: some,', 'prefix: some/places,')
    .replace("account_url: 'https://b.blob.example.org', container: apt, prefix: some/place", sin);

  assert.deepEqual(Object.keys(parse(text).sites), ['fra', 'sin']);
});

test('broken YAML is told with its place', () =>
  assert.match(faultsOf('archives:\n  debian: { url: [\n')[0]!, /^\d+:\d+ /));

const BILLION_LAUGHS = Array.from('abcdefghij')
  .map((name, index, names) => {
    const before = names[index - 1];
    return `${name}: &${name} ${before === undefined ? '[x, x]' : `[*${before}, *${before}]`}\n`;
  })
  .join('');

/** Each with the first fault that it must be told by, and where. */
const WRONG: Readonly<Record<string, readonly [text: string, fault: RegExp]>> = {
  'an empty file': ['', /^1:1 expected archives, sites and distributions/],
  'a file of comments': ['# nothing\n', /^1:1 expected archives, sites and distributions/],
  'a file of empty sections': ['archives:\nsites: {}\n', /^1:1 names no archive/],
  'a list': ['- archives\n', /^1:1 expected archives, sites and distributions/],
  'a billion laughs': [BILLION_LAUGHS, /^3:8 c\.0: &b has aliases itself/],
  'an alias of itself': ['sites: &a { b: *a }\n', /^1:13 sites\.b: \*a has no &a before it/],
  'an alias of nothing': ['sites: *gone\n', /^1:1 sites: \*gone has no &gone before it/],
  'the key __proto__': [
    GOOD.replace('sites:\n', 'sites:\n  __proto__: { x: 1 }\n'),
    /^5:3 sites\.__proto__: /,
  ],
  'the key __proto__ at the top': [`__proto__: {}\n${GOOD}`, /^1:1 __proto__: /],
  'the key constructor': [
    GOOD.replace('sites:\n', 'sites:\n  constructor: {}\n'),
    /^5:3 sites\.constructor: /,
  ],
  'a key that stands twice': [`${GOOD}sites: {}\n`, /^\d+:1 sites: stands here twice/],
  'a key that is a list': ['? [a, b]\n: c\n', /^1:3 /],
  'what is nested without end': [`sites: ${'['.repeat(20)}${']'.repeat(20)}\n`, /nested too deep/],
  'what is nested deeper than any stack': ['['.repeat(100_000), /^1:\d+ /],
  'a key of half a pair and a control': [
    '"\\ud800\\e]52;": 1\n',
    /^1:1 \\ud800\\u001b\]52;: is not a key/,
  ],
  'two documents': ['archives: {}\n---\nsites: {}\n', /^\d+:1 .*multiple documents/],
};

for (const [what, [text, fault]] of Object.entries(WRONG))
  test(`${what}: refused with its place`, () => assert.match(faultsOf(text)[0] ?? 'taken', fault));

test('an alias may stand for what has no alias, as often as it is needed', () => {
  const names = Array.from({ length: 300 }, (_, index) => `d${index}`);
  const text = GOOD.replace('sites: [fra, sin] }', 'sites: &all [fra, sin] }').concat(
    ...names.map((name) => `  ${name}: { archive: debian, suite: ${name}, sites: *all }\n`),
  );

  assert.deepEqual(parse(text).distributions['d299']!.sites, ['fra', 'sin']);
});

test('a file that is too long is refused, and not read to its end', () => {
  const file = join(folder, 'long.yaml');
  writeFileSync(file, `# ${'x'.repeat(2 ** 21)}\n${GOOD}`);

  for (const path of [file, '/dev/zero'])
    assert.throws(
      () => readConfiguration(path),
      refusesWith('CONFIG_INVALID', { message: /too long/ }),
    );
});

/** CPU time in ms: a machine that does other things, too, changes nothing of it. */
function costOf(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}

test('what a key costs does not depend on how many there are', () => {
  const shapes: Readonly<Record<string, (key: string) => string>> = {
    'archives that are right': (key) =>
      `  ${key}: { url: 'http://x', mount: m/${key}, unsigned: true }\n`,
    'archives without any key': (key) => `  ${key}: {}\n`,
    'names that are wrong': (key) => `  ${key}_: 1\n`,
  };
  for (const [what, line] of Object.entries(shapes)) {
    const fileOf = (count: number): string =>
      `archives:\n${Array.from({ length: count }, (_, index) => line(`k${index}`)).join('')}`;
    costOf(() => faultsOf(fileOf(1_000))); // warm
    const few = costOf(() => faultsOf(fileOf(4_000)));
    const many = costOf(() => faultsOf(fileOf(16_000)));
    assert.ok(many < 8 * few && many < 8_000, `${what}: ${few} ms, four times as many ${many} ms`);
  }
});
