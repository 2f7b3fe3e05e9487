import { fileAt } from '../../made-archive/gitlab-files.ts';
import type { GitLabArchive } from '../gitlab-archive.ts';
import { fetchEverything, openUpdatedClient } from '../own-archive.ts';
import { hold, type Stage } from '../stage.ts';
import type { Upload } from './2-an-upload.ts';

export const title = 'The package is deleted.';

const INDEX = { component: 'main', kind: 'packages', architecture: 'amd64' } as const;

export interface Rest {
  /** Packages that a client fetched from each site. */
  readonly packages: number;
}

export async function play(stage: Stage, made: GitLabArchive, { name, id }: Upload): Promise<Rest> {
  const { project, distribution } = made;
  const { registry } = made.gitlab;
  const file = distribution.packageFiles.find((one) => one.packageName === name)!;
  const path = `${distribution.poolFolderOf(file)}/${file.fileName}`;
  hold(registry.delete(project, id), `GitLab deletes ${name}`);
  hold(fileAt(project, path).status === 404, `GitLab has no ${path} any more`);
  const counts = await Promise.all(stage.sites.map((site) => fetchEverything(stage, made, site)));
  stage.say(`GitLab goes on listing ${name}, and answers 404 for it; both sites still have it`);
  registry.updateDistribution(project, distribution.codename);
  await registry.generate();
  hold(
    !distribution.releaseSet!.release.includes(distribution.newest(INDEX)!.sha256),
    'by its name GitLab serves an index that its Release does not list',
  );
  stage.say('after PUT …/debian_distributions its Release does not list it; asked by name, GitLab');
  stage.say('  answers with the index before, so that debgeo, as apt, asks by hash');

  const updated = await stage.debgeo(['update', distribution.codename, '--wait']);
  hold(updated.exitCode === 0, 'both sites serve the distribution without it');

  for (const site of stage.sites) {
    const client = await openUpdatedClient(stage, made, site);
    hold((await client.versionOf(name)) === null, `${name} is gone from ${site.name}`);
    stage.say(`${client.name} updates from ${site.name}, and knows no ${name}`);
  }
  const left = await Promise.all(stage.sites.map((site) => fetchEverything(stage, made, site)));
  hold(
    left.every((count, index) => count === counts[index]! - 1),
    `one package less at each site: ${left.join(', ')}`,
  );
  return { packages: left[0] ?? 0 };
}
