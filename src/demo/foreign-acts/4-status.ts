import { walkAt, type Reader } from '../foreign-archive.ts';
import { hold, type Stage } from '../stage.ts';

export const title = 'What status says is what is there.';

export interface Comparison {
  /** Immutable files that a walk from Release down found at each site, with the right bytes. */
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
    const { members, synced, verified } = said;
    const isSame = [members, synced, verified].every((count) => count === walk.members);
    const counts = `${members} members, ${synced} synced, ${verified} verified`;
    hold(
      walk.members > 0 && isSame,
      `status of ${site.name} (${counts}) is what a walk finds: ${walk.members}`,
    );
    const right = `${walk.byHash} indices by hash, ${walk.poolFiles} of the pool`;
    stage.say(
      `a walk of ${site.name} from Release down: ${walk.members} files right (${right}), 0 wrong`,
    );
  }
  hold(
    new Set(walks.map((walk) => walk.releaseSha256)).size === 1,
    'both sites serve the same release',
  );
  return { members: walks[0]?.members ?? 0 };
}
