/**
 * Faults that were fixed, put back into the source while it is loaded: the model has to find each.
 * To be loaded before any file that it changes: `node test/model/main.ts --plant NAME`.
 */
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

interface Plant {
  /** Of this project. */
  readonly file: string;
  /** Each is there once; any white space stands for any other. */
  readonly changes: readonly (readonly [from: string, to: string])[];
}

const ROOT = join(import.meta.dirname, '../..');

export const PLANTS = {
  /** A plan judges in one statement and writes in the next. */
  A7: {
    file: 'src/database/registry/plan-blobs.ts',
    changes: [
      [
        'const replaced = await run(',
        `const judged = await all(
          tx,
          sql<{ id: number }>\`
            select r.path_id as id
            from \${candidates}
            join blob_registry r on \${atSite(lane)} and r.path_id = b.path_id
            where r.blob_id <> b.id
              and \${isReplaceable(lane)}\`,
        );
        const replaceable = judged.map(({ id }) => id);
        const replaced = await run(`,
      ],
      ['else ${isReplaceable(lane)} end', 'else r.path_id = any(${replaceable}::bigint[]) end'],
    ],
  },
  /** A name that was deleted is not looked at again. */
  A8: {
    file: 'src/database/publications/names.ts',
    changes: [['deleted_at is not null and deleted_at >', 'false and deleted_at >']],
  },
  /** Prune deletes what was served a moment ago. */
  grace: {
    file: 'src/database/prune/kept-generations.ts',
    changes: [['or ${isKept}', 'or false']],
  },
  /** A site that was read back has shown nothing else. */
  spared: {
    file: 'activities/confirm-site.ts',
    changes: [['lost ?? heads.find(({ isSpared }) => isSpared)', 'lost']],
  },
  /** Whatever was read back is right. */
  trust: {
    file: 'src/database/registry/judgements.ts',
    changes: [
      ['sql`(u.sha256 is not null and u.size = b.size and u.sha256 = b.sha256)`', 'sql`true`'],
    ],
  },
  /** Whatever a key may have signed is authentic. */
  believed: {
    file: 'activities/capture/capture-snapshot.ts',
    changes: [
      [
        'fetched,\n    record.archive.keyring,\n    now,\n  );',
        'fetched,\n    null,\n    now,\n  );',
      ],
    ],
  },
} as const satisfies Record<string, Plant>;

/** @throws Error the source is not as the plant takes it to be */
export function plant(name: keyof typeof PLANTS): void {
  const { file, changes }: Plant = PLANTS[name];
  const path = join(ROOT, file);
  const source = changes.reduce(
    (text, [from, to]) => {
      const words = from.split(/\s+/).map((word) => RegExp.escape(word));
      const pieces = text.split(new RegExp(words.join('\\s+')));
      if (pieces.length !== 2) throw new Error(`${name} does not apply once: ${from}`);
      return pieces.join(to);
    },
    readFileSync(path, 'utf8'),
  );
  const url = pathToFileURL(path).href;
  registerHooks({
    load: (asked, context, next) =>
      asked === url
        ? { format: 'module-typescript', source, shortCircuit: true }
        : next(asked, context),
  });
}
