import { fetchEverything, openClient, type OwnArchive } from '../own-archive.ts';
import { hold, type Stage } from '../stage.ts';
import { NEWCOMER } from './3-a-forgery.ts';

export const title = 'The archive refuses connections.';

export interface Survival {
  /** Packages that a client fetched from each site while the archive refused connections. */
  readonly packages: number;
}

export async function play(stage: Stage, own: OwnArchive): Promise<Survival> {
  await own.server.refuse();
  const refused = await fetch(own.server.url).then(
    () => false,
    () => true,
  );
  hold(refused, 'the archive refuses connections');
  stage.say(`${own.server.url} refuses connections`);

  const client = await openClient(stage, own, stage.sin);
  const update = await client.update({ fresh: true });
  hold(update.exitCode === 0, `a client with empty state updates from sin\n${update.output}`);
  const installed = await client.installDownloadOnly(NEWCOMER);
  hold(installed.exitCode === 0, `${NEWCOMER} installs from sin\n${installed.output}`);
  const [file] = installed.files;
  hold(
    file !== undefined &&
      file.name.startsWith(`${NEWCOMER}_`) &&
      own.expected(file.name) === file.sha256,
    `${NEWCOMER} has the bytes that were released`,
  );
  stage.say(`${stage.clientName} with empty state installed (download only) ${file.name} from sin`);

  const counts = await Promise.all(stage.sites.map((site) => fetchEverything(stage, own, site)));
  hold(new Set(counts).size === 1, `both sites serve equally many packages: ${counts.join(', ')}`);
  return { packages: counts[0] ?? 0 };
}
