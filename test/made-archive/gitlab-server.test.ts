/** The server of GitLab's registry answers as GitLab's source says. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';

import { makeBinaryPackage, makeSourcePackage } from '../../src/made-archive/deb-package.ts';
import type { DebianDistribution } from '../../src/made-archive/gitlab-distribution.ts';
import type { Container } from '../../src/made-archive/gitlab-registry.ts';
import { startGitLab, type GitLab } from '../../src/made-archive/gitlab-server.ts';
import { hashOf } from '../../src/made-archive/release-files.ts';
import { readInRelease } from '../../src/witness/ask-as-apt.ts';

const HOUR_MS = 3_600_000;
const INDEX = 'dists/sid/main/binary-amd64';
const EMPTY = hashOf('SHA256', Buffer.alloc(0));

const aPackage = (name: string, version = '1.0') =>
  makeBinaryPackage({ name, version, architecture: 'amd64', payload: Buffer.from(name) });

interface Setting {
  readonly gitlab: GitLab;
  readonly project: Container;
  readonly distribution: DebianDistribution;
  /** Relative to the archive; redirects are shown, and followed where they are told to be. */
  readonly get: (path: string, how?: RequestInit) => Promise<Response>;
  readonly publish: (...packages: Parameters<GitLab['registry']['upload']>[1][]) => Promise<void>;
  /** Time passes. */
  readonly pass: (ms: number) => void;
}

async function aGitLab(
  t: TestContext,
  options: {
    readonly visibility?: 'public' | 'private';
    readonly stored?: readonly ('indices' | 'releases' | 'pool')[];
  } = {},
): Promise<Setting> {
  let behind = 10 * HOUR_MS;
  const gitlab = await startGitLab({
    now: () => Date.now() - behind,
    generationAfterMs: null,
    stored: options.stored ?? [],
  });
  t.after(() => gitlab.close());
  const { registry } = gitlab;
  const project = registry.add('acme/tools', options.visibility ?? 'public');
  const distribution = await registry.createDistribution(project, {
    codename: 'sid',
    suite: 'unstable',
  });
  await registry.generate();
  return {
    ...{ gitlab, project, distribution },
    get: (path, how = {}) =>
      fetch(`${gitlab.archiveUrl(project)}/${path}`, { redirect: 'manual', ...how }),
    async publish(...packages) {
      for (const one of packages) registry.upload(project, one, 'sid');
      await registry.generate();
    },
    pass: (ms) => void (behind -= ms),
  };
}

const basic = (user: string, secret: string): RequestInit => ({
  headers: { authorization: `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}` },
});

test('InRelease is signed by the key of the API, and lists what GitLab lists', async (t) => {
  const { gitlab, distribution, get, publish } = await aGitLab(t);
  await publish(aPackage('hello'));

  const inRelease = Buffer.from(await (await get('dists/unstable/InRelease')).arrayBuffer());
  const release = await (await get('dists/sid/Release')).text();
  const key = await fetch(
    `${gitlab.url}/api/v4/projects/acme%2Ftools/debian_distributions/sid/key.asc`,
  );

  assert.equal(await key.text(), distribution.key.publicArmored);
  assert.equal(await readInRelease(inRelease, distribution.key.publicBinary), release.trimEnd());
  assert.match(release, /^Acquire-By-Hash: yes$/m);
  assert.match(release, /^Date: \w{3}, \d\d \w{3} \d{4} [\d:]{8} \+0000$/m);
  assert.doesNotMatch(release, /^(MD5Sum|Origin):/m);
  assert.deepEqual(
    [...release.matchAll(/^ (\w{64}) +(\d+) (.*)$/gm)].map(([, sha256, size, path]) => [
      path,
      sha256 === EMPTY && size === '0',
    ]),
    [
      ['main/binary-all/Packages', true],
      ['main/debian-installer/binary-all/Packages', true],
      ['main/binary-amd64/Packages', false],
      ['main/debian-installer/binary-amd64/Packages', true],
      ['main/source/Sources', true],
    ],
  );
});

test('what is empty is 204 by every name, compressed is 404, unknown by hash is 404', async (t) => {
  const { get, publish } = await aGitLab(t);
  await publish(aPackage('hello'));

  for (const [path, status] of [
    [`${INDEX}/Packages`, 200],
    [`${INDEX}/by-hash/SHA256/${EMPTY}`, 204],
    ['dists/sid/main/source/Sources', 204],
    ['dists/sid/main/debian-installer/binary-amd64/Packages', 204],
    [`${INDEX}/by-hash/SHA256/${'0'.repeat(64)}`, 404],
    [`${INDEX}/by-hash/MD5Sum/${'0'.repeat(32)}`, 404],
    ['dists/bookworm/InRelease', 404],
  ] as const)
    assert.equal((await get(path)).status, status, path);
  const compressed = await get(`${INDEX}/Packages.gz`);
  assert.equal(compressed.status, 404);
  assert.match(await compressed.text(), /Format gz is not supported/);
});

test('an index that comes back is right by hash, and by name the one before', async (t) => {
  const { gitlab, project, distribution, get, publish } = await aGitLab(t);
  await publish(aPackage('hello'));
  const first = await (await get(`${INDEX}/Packages`)).text();
  const id = gitlab.registry.upload(project, aPackage('tool'), 'sid');
  await gitlab.registry.generate();
  const second = await (await get(`${INDEX}/Packages`)).text();

  gitlab.registry.delete(project, id);
  await gitlab.registry.generate();
  const torn = distribution.releaseSet!.release;
  const gone = await get('pool/sid/t/tool/1.0/tool_1.0_amd64.deb');
  gitlab.registry.updateDistribution(project, 'sid');
  await gitlab.registry.generate();

  const sha256 = hashOf('SHA256', Buffer.from(first));
  assert.ok(torn.includes(hashOf('SHA256', Buffer.from(second))), 'a deletion generates nothing');
  assert.equal(gone.status, 404);
  assert.ok(distribution.releaseSet!.release.includes(sha256));
  assert.equal(await (await get(`${INDEX}/by-hash/SHA256/${sha256}`)).text(), first);
  assert.equal(await (await get(`${INDEX}/Packages`)).text(), second);
});

test('an index is kept for an hour, and for one generation more', async (t) => {
  const { get, publish, pass, distribution } = await aGitLab(t);
  await publish(aPackage('a'));
  const old = hashOf('SHA256', Buffer.from(await (await get(`${INDEX}/Packages`)).text()));
  const byHash = async () => (await get(`${INDEX}/by-hash/SHA256/${old}`)).status;

  pass(0.9 * HOUR_MS);
  await publish(aPackage('b'));
  assert.equal(await byHash(), 200, 'it is young');
  pass(0.9 * HOUR_MS);
  await publish(aPackage('c'));
  assert.equal(await byHash(), 200, 'it is the newest of the old ones');
  pass(0.9 * HOUR_MS);
  await publish(aPackage('d'));
  assert.equal(await byHash(), 404);
  assert.equal(distribution.packageFiles.length, 4);
});

test('a source is listed with all its files, and a pool path has name and version', async (t) => {
  const { get, publish } = await aGitLab(t);
  const version = '1:2.0~rc1';
  await publish(makeSourcePackage({ name: 'libx', version, payload: Buffer.from('x') }), {
    ...aPackage('libx1', version),
    control: new Map([...aPackage('libx1').control, ['Source', 'libx']]),
  });

  const sources = await (await get('dists/sid/main/source/Sources')).text();
  const packages = await (await get(`${INDEX}/Packages`)).text();

  assert.match(sources, new RegExp(`^Directory: pool/sid/libx/libx/${version}$`, 'm'));
  assert.match(
    packages,
    new RegExp(`^Filename: pool/sid/libx/libx/${version}/libx1_2.0~rc1_amd64.deb$`, 'm'),
  );
  assert.doesNotMatch(packages, /^MD5sum/m);
  for (const name of ['libx_2.0~rc1.dsc', 'libx_2.0~rc1.tar.xz', 'libx1_2.0~rc1_amd64.deb']) {
    assert.ok(sources.includes(name) || packages.includes(name), name);
    assert.equal(
      (await get(`pool/sid/libx/libx/${encodeURIComponent(version)}/${name}`)).status,
      200,
    );
  }
});

test('a private project is read with a token and its user name, else refused', async (t) => {
  const { gitlab, project, get } = await aGitLab(t, { visibility: 'private' });
  const { registry } = gitlab;
  const status = async (how?: RequestInit) => (await get('dists/sid/InRelease', how)).status;
  const token = { personal: registry.addToken(project, 'personal') };
  const deploy = registry.addToken(project, 'deploy');
  const job = registry.addToken(project, 'job');

  for (const { user, secret } of [token.personal, deploy, job])
    assert.equal(await status(basic(user, secret)), 200, user);
  assert.equal(await status(basic('bob', token.personal.secret)), 401, 'of another user');
  assert.equal(await status({ headers: { 'private-token': token.personal.secret } }), 401);
  const guest = registry.addToken(project, 'personal', 'project');
  const stranger = registry.addToken(project, 'deploy', 'nothing');
  assert.equal(await status(basic(guest.user, guest.secret)), 403);
  assert.equal(await status(basic(stranger.user, stranger.secret)), 404);
  registry.revoke(project, job);
  assert.equal(await status(basic(job.user, job.secret)), 401, 'the job has ended');
  const anonymous = await get('dists/sid/InRelease');
  assert.equal(anonymous.status, 401);
  assert.equal(anonymous.headers.get('www-authenticate'), 'Basic realm="GitLab Packages Registry"');

  gitlab.features.debian_packages = false;
  assert.equal(await status(basic(deploy.user, deploy.secret)), 404);
  assert.equal(await status(), 401, 'access is judged first');
  gitlab.retryAfter = 7;
  const throttled = await get('dists/sid/InRelease');
  assert.deepEqual([throttled.status, throttled.headers.get('retry-after')], [429, '7']);
});

test('a link to object storage ends, is for one file, and takes no login', async (t) => {
  const { gitlab, get, publish, pass } = await aGitLab(t, {
    stored: ['indices', 'releases', 'pool'],
  });
  await publish(aPackage('hello'));
  const hello = 'pool/sid/h/hello/1.0/hello_1.0_amd64.deb';
  for (const path of ['dists/sid/InRelease', 'dists/sid/Release', `${INDEX}/Packages`, hello]) {
    const answer = await get(path);
    assert.equal(answer.status, 302, path);
    assert.equal(new URL(answer.headers.get('location')!).origin, gitlab.storage.url);
  }
  const direct = await get('dists/sid/Release.gpg');
  assert.equal(direct.status, 200);

  const link = (await get(hello)).headers.get('location')!;
  const other = (await get('dists/sid/InRelease')).headers.get('location')!;
  const exchanged = new URL(link);
  exchanged.search = new URL(other).search;

  assert.equal((await fetch(link)).status, 200);
  assert.equal((await fetch(exchanged)).status, 403);
  assert.equal(gitlab.storage.logins, 0);
  assert.equal((await fetch(link, basic('alice', 'secret'))).status, 400);
  assert.equal(gitlab.storage.logins, 1);
  pass(601_000);
  assert.equal((await fetch(link)).status, 403);
});

test('a group has what its public projects have, when it is asked to', async (t) => {
  const { gitlab, project } = await aGitLab(t);
  const { registry } = gitlab;
  const group = registry.add('acme', 'public', true);
  const hidden = registry.add('acme/hidden', 'private');
  await registry.createDistribution(hidden, { codename: 'sid' });
  const shared = await registry.createDistribution(group, { codename: 'sid' });
  registry.upload(project, aPackage('hello'), 'sid');
  registry.upload(hidden, aPackage('secret'), 'sid');
  await registry.generate();
  registry.upload(project, aPackage('later'), 'sid');
  await registry.generate();

  const index = `${gitlab.archiveUrl(group, 'path')}/${INDEX}/Packages`;
  const before = await (await fetch(index)).text();
  registry.updateDistribution(group, 'sid');
  await registry.generate();
  const after = await (await fetch(index)).text();

  const names = (text: string) => [...text.matchAll(/^Package: (.*)$/gm)].map(([, name]) => name);
  assert.deepEqual([names(before), names(after)], [['hello'], ['hello', 'later']]);
  const path = `pool/sid/${project.id}/h/hello/1.0/hello_1.0_amd64.deb`;
  assert.ok(after.includes(`Filename: ${path}\n`));
  assert.equal((await fetch(`${gitlab.archiveUrl(group)}/${path}`)).status, 200);
  assert.equal(shared.toJSON() && gitlab.registry.find(true, 'acme'), group);
});

test('a burst of uploads is generated once, some time later', async (t) => {
  const gitlab = await startGitLab({ generationAfterMs: 20 });
  t.after(() => gitlab.close());
  const { registry } = gitlab;
  const project = registry.add('acme/tools', 'public');
  const distribution = await registry.createDistribution(project, { codename: 'sid' });

  for (const name of ['a', 'b', 'c']) registry.upload(project, aPackage(name), 'sid');
  assert.equal(distribution.releaseSet, null, 'nothing is generated yet');
  await new Promise((resolve) => setTimeout(resolve, 500));

  assert.equal(registry.generations, 1);
  assert.match(distribution.releaseSet!.release, /binary-amd64/);
});
