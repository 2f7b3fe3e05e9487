/** A world whose archive is a distribution of a GitLab, with object storage at another origin. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

import type { Package } from '../../src/made-archive/deb-package.ts';
import type { Token } from '../../src/made-archive/gitlab-access.ts';
import type { DebianDistribution } from '../../src/made-archive/gitlab-distribution.ts';
import type { Container } from '../../src/made-archive/gitlab-registry.ts';
import {
  startGitLab,
  type GitLab,
  type GitLabOptions,
} from '../../src/made-archive/gitlab-server.ts';
import { createAptClient } from '../../src/witness/apt-client.ts';
import type { Client } from '../../src/witness/client.ts';
import { walkSite, type SiteWalk } from '../../src/witness/walk-site.ts';
import { aWorld, type World, type WorldOptions } from './world.ts';

/** The codename, and the name of the distribution. */
export const CODENAME = 'bookworm';

export interface GitLabWorld {
  readonly world: World;
  readonly gitlab: GitLab;
  readonly project: Container;
  /** What is replicated: of the project, or of its group. */
  readonly replicated: Container;
  readonly distribution: DebianDistribution;
  /** A deploy token for what is replicated, with the variable that has its secret. */
  readonly token: Token;
  readonly variable: string;
  /** Uploads these, lets GitLab generate once. @returns their ids */
  readonly publish: (...packages: readonly Package[]) => Promise<readonly number[]>;
  /** Deletes a package, and asks for the generation that GitLab does not make by itself. */
  readonly remove: (id: number) => Promise<void>;
  /** What stands at a site, judged from InRelease down: every index that is listed is there. */
  readonly assertWhole: (site: string) => Promise<SiteWalk>;
  /** A private apt of a site, with empty lists, updated. */
  readonly apt: (site: string) => Promise<Client>;
}

export async function aGitLabWorld(
  t: TestContext,
  options: WorldOptions & {
    readonly of?: 'project' | 'group';
    readonly by?: 'id' | 'path';
    /** The project is private, and debgeo has the token. */
    readonly isPrivate?: boolean;
    readonly gitlab?: Partial<GitLabOptions>;
  } = {},
): Promise<GitLabWorld> {
  const { of = 'project', by = 'id', isPrivate = false } = options;
  const world = await aWorld(t, { ...options, suites: [CODENAME], worker: 'none' });
  const gitlab = await startGitLab({ generationAfterMs: null, ...options.gitlab });
  world.beforeStop(() => gitlab.close());
  const { registry } = gitlab;
  const project = registry.add('acme/tools', isPrivate ? 'private' : 'public');
  const group = registry.add('acme', 'public', true);
  const own = await registry.createDistribution(project, { codename: CODENAME });
  const shared = await registry.createDistribution(group, { codename: CODENAME });
  const [replicated, distribution] = of === 'group' ? [group, shared] : [project, own];
  const token = registry.addToken(replicated, 'deploy');
  const variable = `DEBGEO_TEST_${token.user.replaceAll(/\W/g, '_').toUpperCase()}_${world.namespace
    .replaceAll(/\W/g, '_')
    .toUpperCase()}`;
  process.env[variable] = token.secret;
  await world.tune({
    archiveUrl: gitlab.archiveUrl(replicated, by),
    keyring: Buffer.from(distribution.key.publicArmored),
    redirectOrigins: [gitlab.storage.url],
    login: isPrivate ? { user: token.user, password: { env: variable } } : null,
  });
  await world.startWorker();

  const generate = async (): Promise<void> => {
    registry.updateDistribution(replicated, CODENAME);
    await registry.generate();
  };
  const place = (site: string) => ({
    url: world.site(site).aptUrl,
    suite: CODENAME,
    keyring: distribution.key.publicBinary,
  });
  let clients = 0;
  return {
    ...{ world, gitlab, project, replicated, distribution, token, variable },
    async publish(...packages) {
      const ids = packages.map((one) => registry.upload(project, one, CODENAME));
      await generate();
      return ids;
    },
    async remove(id) {
      assert.ok(registry.delete(project, id));
      await generate();
    },
    async assertWhole(site) {
      const walk = await walkSite(place(site));
      const listed = distribution.releaseSet!.release.match(/^ [0-9a-f]{64} /gm)!.length;
      assert.deepEqual(walk.faults, [], `${site} is not whole`);
      assert.deepEqual([walk.indices, walk.absent], [listed, 0], 'every listed index is there');
      return walk;
    },
    async apt(site) {
      const folder = join(world.folder, 'apt', `${(clients += 1)}-${site}`);
      const options = { components: ['main'], architecture: 'amd64', folder };
      const client = await createAptClient({ ...place(site), ...options });
      const updated = await client.update({ fresh: true });
      assert.equal(updated.exitCode, 0, updated.output);
      return client;
    },
  };
}
