/** What I1 asks of a site, by an independent walk from InRelease down over anonymous HTTP. */
import assert from 'node:assert/strict';

import { walkSite, type SiteWalk } from '../../src/witness/walk-site.ts';
import type { World } from './world.ts';

export async function assertWhole(
  world: World,
  site: string,
  suite: string = world.suite,
): Promise<SiteWalk> {
  const walk = await walkSite({
    url: world.site(site).aptUrl,
    suite,
    keyring: world.key.publicBinary,
  });
  assert.deepEqual(walk.faults, [], `${site} is not whole`);
  assert.ok(walk.members > 0, `${site} serves nothing`);
  return walk;
}
