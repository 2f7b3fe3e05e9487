/** `debgeo release SITE`: gives a site back, so that another deployment may claim it. */
import { releaseSite } from '../../activities/release-site.ts';
import { bookReleased, listServed } from '../database/anchors/released.ts';
import { readSite } from '../database/configuration/sites.ts';
import { DebgeoError } from '../domain/errors.ts';
import { configOf, withDatabase, type Options } from './connect.ts';
import { operatorName } from './operator-name.ts';
import { print } from './terminal.ts';

interface ReleaseOptions extends Options {
  readonly reason?: string;
}

/** As long as doctor gives a site. */
const DEADLINE_MS = 60_000;

export function release(name: string, options: ReleaseOptions): Promise<number> {
  const reason = options.reason?.trim() ?? '';
  return withDatabase(options, async (database) => {
    const { id } = await readSite(database.read, name);
    const served = await listServed(database.read, id);
    if (served.length > 0 && reason === '')
      throw new DebgeoError('CONFIG_INVALID', `${name} serves what this database replicates`, {
        expected: 'a site that is absent in the configuration, or --reason',
        found: served,
        state: 'nothing changed',
      });
    const { createDeps } = await import('../deps.ts');
    const deps = await createDeps(configOf(options));
    try {
      const { store } = await deps.siteOf(name);
      const signal = AbortSignal.timeout(DEADLINE_MS);
      await releaseSite({ database, store, siteId: id, signal });
    } finally {
      await deps.close();
    }
    await bookReleased(database, id, { reason, by: operatorName() });
    print(`${name} is given back: another deployment may claim it; its files stay`);
    return 0;
  });
}
