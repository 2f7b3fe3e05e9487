/** The demo of a GitLab, and what its last line rests on. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';

import { makePackage } from '../../src/demo/demo-packages.ts';
import { loginsOf, openGitLabArchive, type GitLabArchive } from '../../src/demo/gitlab-archive.ts';
import { demo } from './run-demo.ts';

test(
  'a private project reaches both sites, an upload and a deletion too, and its login nobody else',
  { timeout: 300_000 },
  async (t) => {
    const { exitCode, printed } = await demo(t, '--gitlab');

    assert.equal(exitCode, 0, printed);
    const lastLine = [
      'demo: 2 of 2 sites serve generation 3',
      String.raw`\d+ blobs verified`,
      '.+ fetched 3 packages from each',
      String.raw`status equals a walk of \d+ files at each`,
      String.raw`GitLab saw the login [1-9]\d* times, its object storage in 0 of [1-9]\d* requests`,
    ];
    assert.match(printed.trimEnd().split('\n').at(-1)!, new RegExp(`^${lastLine.join(', ')}$`));
  },
);

/** Reads one file as debgeo does. @param withLogin at which of both origins */
async function read(
  { gitlab, project, replicated }: GitLabArchive,
  withLogin: { readonly atGitLab: boolean; readonly atStorage: boolean },
): Promise<void> {
  const { user } = replicated.access!['login'] as { readonly user: string };
  const [token] = project.tokens;
  const login = Buffer.from(`${user}:${token!.secret}`).toString('base64');
  const headers = (isWith: boolean): Record<string, string> =>
    isWith ? { authorization: `Basic ${login}` } : {};
  const answer = await fetch(`${gitlab.archiveUrl(project)}/dists/sid/InRelease`, {
    redirect: 'manual',
    headers: headers(withLogin.atGitLab),
  });
  const link = answer.headers.get('location');
  if (link !== null) await fetch(link, { headers: headers(withLogin.atStorage) });
}

const aGitLab = async (t: TestContext): Promise<GitLabArchive> => {
  const folder = await mkdtemp(join(tmpdir(), 'debgeo-gitlab-'));
  const made = await openGitLabArchive(folder);
  t.after(async () => {
    await made.gitlab.close();
    await rm(folder, { recursive: true });
  });
  made.upload(makePackage('hello', 1));
  await made.gitlab.registry.generate();
  return made;
};

test('a login that goes along a redirect, or is forgotten, ends the demo', async (t) => {
  const right = await aGitLab(t);
  await read(right, { atGitLab: true, atStorage: false });
  assert.deepEqual(loginsOf(right), { atGitLab: 1, atStorage: 1 });

  await read(right, { atGitLab: true, atStorage: true });
  assert.throws(() => loginsOf(right), /object storage never sees the login/);
  const forgotten = await aGitLab(t);
  await read(forgotten, { atGitLab: true, atStorage: false });
  await read(forgotten, { atGitLab: false, atStorage: false });
  assert.throws(() => loginsOf(forgotten), /GitLab is asked with the login alone/);
});
