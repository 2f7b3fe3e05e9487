/**
 * The GitLab that `npm run demo -- --gitlab` makes for itself: a private project with a Debian
 * distribution, a deploy token, and object storage at another origin.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Package } from '../made-archive/deb-package.ts';
import type { DebianDistribution } from '../made-archive/gitlab-distribution.ts';
import { packageFilesOf } from '../made-archive/gitlab-package-files.ts';
import type { Container } from '../made-archive/gitlab-registry.ts';
import { startGitLab, type GitLab } from '../made-archive/gitlab-server.ts';
import { digest } from '../witness/ask-as-apt.ts';
import type { Reader } from './foreign-archive.ts';
import type { Released } from './own-archive.ts';
import { hold, type Replicated } from './stage.ts';

export const CODENAME = 'sid';

export interface GitLabArchive extends Released {
  readonly replicated: Replicated;
  readonly gitlab: GitLab;
  readonly project: Container;
  readonly distribution: DebianDistribution;
  /** @returns its id */
  upload(uploaded: Package): number;
}

export async function openGitLabArchive(folder: string): Promise<GitLabArchive> {
  const gitlab = await startGitLab({ generationAfterMs: null });
  const { registry } = gitlab;
  const project = registry.add('acme/tools', 'private');
  const token = registry.addToken(project, 'deploy');
  const distribution = await registry.createDistribution(project, { codename: CODENAME });
  const tokenFile = join(folder, 'gitlab.token');
  await writeFile(tokenFile, `${token.secret}\n`, { mode: 0o600 });
  const expected = new Map<string, string>();
  return {
    ...{ gitlab, project, distribution },
    replicated: {
      distribution: CODENAME,
      suite: CODENAME,
      archiveUrl: gitlab.archiveUrl(project),
      mount: 'gitlab',
      keyring: Buffer.from(distribution.key.publicArmored),
      access: {
        redirect_origins: [gitlab.storage.url],
        login: { user: token.user, password: { file: tokenFile } },
      },
      settings: {},
    },
    keyring: distribution.key.publicBinary,
    expected: (fileName) => expected.get(fileName),
    upload(uploaded) {
      for (const { fileName, bytes } of packageFilesOf(uploaded, project.id, 0))
        expected.set(fileName, digest('sha256', bytes));
      return registry.upload(project, uploaded, CODENAME);
    },
  };
}

/** For the act that compares `status` with a walk. */
export const readerOf = ({ gitlab, project, keyring }: GitLabArchive): Reader => ({
  archive: {
    url: gitlab.archiveUrl(project),
    suite: CODENAME,
    keyring,
    components: [],
    architectures: [],
  },
  keyring,
});

/** The demo itself asks neither origin over HTTP: every request is one of debgeo. */
export function loginsOf({ gitlab }: GitLabArchive): { atGitLab: number; atStorage: number } {
  const { requests, storage } = gitlab;
  const without = requests.filter(({ hasLogin }) => !hasLogin);
  hold(without.length === 0, `GitLab is asked with the login alone\n${JSON.stringify(without)}`);
  hold(requests.length > 0 && storage.requests > 0, 'both origins were asked');
  hold(storage.logins === 0, `object storage never sees the login (${storage.logins} times)`);
  return { atGitLab: requests.length, atStorage: storage.requests };
}
