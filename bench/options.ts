import { parseArgs } from 'node:util';

export interface Options {
  /** null: all works but those that are measured by name only. */
  readonly only: readonly string[] | null;
  readonly rounds: number;
  /** Sizes are divided by this. */
  readonly divide: number;
  readonly peers: boolean;
  readonly profile: boolean;
}

const PROFILED = ['first-small', 'verify', 'delta', 'first-real', 'two-sites'];

export const USAGE = `\
npm run bench -- [--only NAME[,NAME]] [--rounds N] [--quick] [--profile] [--divide N] [--no-peers]
  --only      these works alone: first-small, nothing-changed, verify, delta, first-real,
              two-sites, four-sites, parse-plan, burst, neighbour, memory, scaling,
              frozen-copying, frozen-resting
  --rounds    how often each work is measured, interleaved; 3 unless given
  --quick     one round at a twentieth of the size: shows that everything runs, measures nothing
  --profile   one round under --cpu-prof, and where the time goes; unless --only says otherwise,
              of ${PROFILED.join(', ')}
  --divide    divides all sizes by this
  --no-peers  debgeo and the floor alone`;

const QUICK_DIVIDE = 20;

/** @throws TypeError or RangeError with what is wrong */
export function readOptions(args: readonly string[], works: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    allowNegative: true,
    options: {
      only: { type: 'string' },
      rounds: { type: 'string' },
      quick: { type: 'boolean' },
      profile: { type: 'boolean' },
      divide: { type: 'string' },
      peers: { type: 'boolean' },
    },
  });
  const isShort = values.quick === true || values.profile === true;
  const only = values.only?.split(',') ?? (values.profile === true ? PROFILED : null);
  const unknown = only?.find((name) => !works.includes(name));
  if (unknown !== undefined) throw new RangeError(`there is no work ${unknown}`);
  return {
    only,
    rounds: positive(values.rounds, isShort ? 1 : 3, '--rounds'),
    divide: positive(values.divide, values.quick === true ? QUICK_DIVIDE : 1, '--divide'),
    peers: values.peers ?? values.profile !== true,
    profile: values.profile ?? false,
  };
}

function positive(text: string | undefined, unset: number, name: string): number {
  if (text === undefined) return unset;
  if (!/^[1-9]\d*$/.test(text)) throw new RangeError(`${name} is a number from 1, not ${text}`);
  return Number(text);
}
