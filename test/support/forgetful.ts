import { sql } from 'kysely';

import type { Activities } from '../../activities/index.ts';
import { run } from '../../src/database/sql.ts';
import type { World } from './world.ts';

/** Planted: every look that is fine ends whatever incident is open. */
export const forgetful = (real: Activities, world: World): Activities => ({
  ...real,
  captureSnapshot: async (input) => {
    const result = await real.captureSnapshot(input);
    await run(
      world.database.read,
      sql`update incidents set resolved_at = now() where resolved_at is null`,
    );
    return result;
  },
});
