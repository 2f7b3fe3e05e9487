import { makePackage } from '../demo-packages.ts';
import type { GitLabArchive } from '../gitlab-archive.ts';
import { openUpdatedClient } from '../own-archive.ts';
import { hold, type Stage } from '../stage.ts';

export const title = 'A job uploads a package.';

/** The package that is uploaded here, and deleted in the next act. */
export interface Upload {
  readonly name: string;
  readonly id: number;
}

export async function play(stage: Stage, made: GitLabArchive): Promise<Upload> {
  const name = 'beacon';
  const before = await stage.status();
  const id = made.upload(makePackage(name, 2));
  const early = await stage.debgeo(['update', before.distribution, '--wait']);
  hold(early.exitCode === 0, 'GitLab has the file, and no release that names it');
  hold(
    (await stage.status()).generation === before.generation,
    'an upload alone is no release: GitLab generates it later',
  );
  await made.gitlab.registry.generate();
  stage.say(`${name} is uploaded; GitLab has generated and signed the distribution anew`);

  const updated = await stage.debgeo(['update', before.distribution, '--wait']);
  hold(updated.exitCode === 0, 'both sites serve the upload');

  for (const site of stage.sites) {
    const client = await openUpdatedClient(stage, made, site);
    const installed = await client.installDownloadOnly(name);
    const [file] = installed.files;
    hold(
      installed.exitCode === 0 && file !== undefined && made.expected(file.name) === file.sha256,
      `${name} installs from ${site.name}, with the uploaded bytes\n${installed.output}`,
    );
    stage.say(`${client.name} installed (download only) ${file.name} from ${site.name}`);
  }
  return { name, id };
}
