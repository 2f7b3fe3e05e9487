import { packagesOf } from '../demo-packages.ts';
import { DISTRIBUTION, fetchEverything, type OwnArchive } from '../own-archive.ts';
import { hold, type Stage } from '../stage.ts';

export const title = 'A new distribution reaches both sites.';

export async function play(stage: Stage, own: OwnArchive): Promise<void> {
  await own.release(packagesOf(1));
  stage.say(`an archive serves a signed distribution at ${own.server.url}; the sites are empty`);

  const applied = await stage.debgeo(['apply', stage.configurationFile]);
  hold(applied.exitCode === 0, 'the configuration is accepted');
  const updated = await stage.debgeo(['update', DISTRIBUTION, '--wait']);
  hold(updated.exitCode === 0, 'both sites serve the first generation');

  for (const site of stage.sites) {
    const count = await fetchEverything(stage, own, site);
    const fetched = `fetched ${count} packages from ${site.name}`;
    stage.say(`${stage.clientName} ${fetched}, each with the bytes that the archive released`);
  }
}
