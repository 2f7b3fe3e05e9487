import { walkAt, type Reader } from '../foreign-archive.ts';
import { hold, type Stage } from '../stage.ts';

export const title = 'What status says is what is there.';

export interface Comparison {
  /** Immutable files that a walk from the Release down found right at each site. */
  readonly members: number;
}

export async function play(stage: Stage, reader: Reader): Promise<Comparison> {
  const { distribution } = stage.replicated;
  await stage.debgeo(['status', distribution]);
  const status = await stage.status();
  const walks = await Promise.all(stage.sites.map((site) => walkAt(reader, site)));
  for (const [index, site] of stage.sites.entries()) {
    const walk = walks[index];
    const said = status.sites.find((one) => one.site === site.name);
    hold(walk !== undefined && said !== undefined, `status knows ${site.name}`);
    hold(walk.faults.length === 0, `${site.name} is whole\n${walk.faults.join('\n')}`);
    hold(
      walk.members > 0 &&
        said.members === walk.members &&
        said.synced === walk.members &&
        said.verified === walk.members,
      `status of ${site.name} (${said.members} members, ${said.synced} there, ${said.verified} verified) is what a walk finds: ${walk.members}`,
    );
    stage.say(
      `a walk of ${site.name} from its Release down: ${walk.members} files right (${walk.byHash} indices by hash, ${walk.poolFiles} of the pool), 0 wrong`,
    );
  }
  hold(
    new Set(walks.map((walk) => walk.releaseSha256)).size === 1,
    'both sites serve the same release',
  );
  return { members: walks[0]?.members ?? 0 };
}
