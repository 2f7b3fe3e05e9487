import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import type { Deps } from '../../activities/deps.ts';
import type { Archive } from '../../src/archive/archive.ts';
import { aGitLabWorld } from '../support/gitlab-world.ts';
import { aPackage, PLANTED_MS } from '../support/world.ts';

interface Planted {
  /** In place of the archive; wrong on purpose. */
  archive(real: Archive, root: string, login: Record<string, string>): Archive;
}

async function aPrivateProject(t: TestContext, planted?: Planted): Promise<void> {
  let login: Record<string, string> = {};
  const deps = (real: Deps): Deps => ({
    ...real,
    archiveOf: async (archive) =>
      planted!.archive(await real.archiveOf(archive), archive.url, login),
  });
  const inside = await aGitLabWorld(t, {
    isPrivate: true,
    ...(planted && { deps, settleMs: PLANTED_MS }),
  });
  const { world, gitlab, token, publish } = inside;
  const both = Buffer.from(`${token.user}:${token.secret}`).toString('base64');
  login = { authorization: `Basic ${both}` };

  await publish(aPackage('hello', '1.0'));
  await world.look();
  assert.equal(gitlab.storage.logins, 0, 'object storage never sees the login');
  await world.update();
  await publish(aPackage('tool', '1.0'));
  await world.update();
  for (const site of world.sites.keys()) await inside.assertWhole(site);

  assert.ok(gitlab.storage.requests > 0);
  assert.equal(gitlab.storage.logins, 0, 'object storage never sees the login');
  assert.ok(gitlab.requests.length > 0);
  assert.ok(gitlab.requests.every(({ hasLogin }) => hasLogin));
}

/** Its job ends; another token takes its place. */
async function aTokenEnds(t: TestContext): Promise<void> {
  const inside = await aGitLabWorld(t, { isPrivate: true, sites: ['fra'] });
  const { world, gitlab, project, variable, publish } = inside;
  const { registry } = gitlab;
  const job = registry.addToken(project, 'job');
  process.env[variable] = job.secret;
  await world.tune({ login: { user: job.user, password: { env: variable } } });
  await publish(aPackage('hello', '1.0'));
  const generation = await world.update();
  const before = await world.site('fra').contents();

  registry.revoke(project, job);
  await publish(aPackage('tool', '1.0'));
  const denied = await world.look();
  assert.equal(denied.report?.code, 'ARCHIVE_DENIED');
  assert.deepEqual(await world.site('fra').contents(), before, 'the site is as it was');
  gitlab.features.debian_packages = false;
  const { user, secret } = registry.addToken(project, 'deploy');
  process.env[variable] = secret;
  await world.tune({ login: { user, password: { env: variable } } });
  assert.equal((await world.look()).report?.code, 'RELEASE_MISSING', 'the flag is off');
  gitlab.features.debian_packages = true;
  gitlab.retryAfter = 1;
  assert.equal((await world.look()).report?.code, 'ARCHIVE_THROTTLED');
  gitlab.retryAfter = null;

  assert.equal(await world.update(), generation + 1);
  await inside.assertWhole('fra');
}

test('a private project is read with its login, which object storage never sees', (t) =>
  aPrivateProject(t));
test('a token that ends, a flag that is off and a limit change nothing at a site', (t) =>
  aTokenEnds(t));

test('it would be seen if the login went along the redirect', (t) =>
  assert.rejects(
    aPrivateProject(t, {
      archive: (real, root, headers) => ({
        fetchReleaseSet: (...asked) => real.fetchReleaseSet(...asked),
        async open(path) {
          const { headers: answered } = await fetch(`${root}/${path}`, {
            headers,
            redirect: 'manual',
          });
          const link = answered.get('location');
          return link === null ? null : (await fetch(link, { headers })).body!;
        },
        close: () => real.close(),
      }),
    }),
    /object storage never sees the login/,
  ));
