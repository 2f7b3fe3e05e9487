import { makePackage, packagesOf } from '../demo-packages.ts';
import type { GitLabArchive } from '../gitlab-archive.ts';
import { fetchEverything } from '../own-archive.ts';
import { hold, type Stage } from '../stage.ts';

export const title = 'A private GitLab project reaches both sites.';

/** Enough for a dependency, a package for all architectures, and a source. */
const NAMES = ['hello', 'libgreeting1', 'greeting-doc'];

export async function play(stage: Stage, made: GitLabArchive): Promise<void> {
  const { gitlab, project, distribution } = made;
  for (const name of NAMES) made.upload(makePackage(name, 1));
  for (const one of packagesOf(1)) if (one.kind === 'source') made.upload(one);
  await gitlab.registry.generate();
  stage.say(
    `GitLab serves the distribution ${distribution.codename} of project ${project.path} at`,
  );
  stage.say(`  ${gitlab.archiveUrl(project)}, to a deploy token only;`);
  stage.say(`its files come from object storage at ${gitlab.storage.url}, by signed links`);

  const applied = await stage.debgeo(['apply', stage.configurationFile]);
  hold(applied.exitCode === 0, 'the configuration is accepted');
  const updated = await stage.debgeo(['update', distribution.codename, '--wait']);
  hold(updated.exitCode === 0, 'both sites serve the first generation');

  for (const site of stage.sites) {
    const count = await fetchEverything(stage, made, site);
    hold(count === NAMES.length, `${site.name} has all ${NAMES.length} packages`);
    const fetched = `fetched ${count} packages from ${site.name}`;
    stage.say(`${stage.clientName} ${fetched}, without a login, each with the uploaded bytes`);
  }
}
