/**
 * What a soak does, and in which order: each actor draws from a stream of its own, so that the same
 * seed decides the same, however the actors come between each other. Times differ.
 */
import { CORRUPTIONS, type Corruption } from '../support/corruptions.ts';
import { seeded } from '../support/seeded.ts';

export const SITES = ['fra', 'sin'] as const;
export type SiteName = (typeof SITES)[number];
export const SUITES = ['bookworm', 'bookworm-updates'] as const;
export type Suite = (typeof SUITES)[number];
export const WORKERS = ['a', 'b'] as const;
export type WorkerName = (typeof WORKERS)[number];
export const CHANGING = 4;

/** Each comes `afterMs` behind the end of the one before. */
export interface ReleaseDecision {
  readonly afterMs: number;
  readonly suite: Suite;
  /** Which of the changing packages of the suite get a new version. */
  readonly changes: readonly number[];
}

export type Victim = 'worker a' | 'worker b' | 'Temporal' | 'PostgreSQL';
export interface KillDecision {
  readonly afterMs: number;
  readonly victim: Victim;
}

export interface FreezeDecision {
  readonly afterMs: number;
  readonly worker: WorkerName;
  readonly ms: number;
}

export interface AzuriteDecision {
  readonly afterMs: number;
  readonly site: SiteName;
  readonly downMs: number;
}

/** Of the files at a site: immutable ones, or names whose bytes change. */
export type Kind = 'pool' | 'by-hash' | 'published name';
export interface RotDecision {
  readonly afterMs: number;
  readonly site: SiteName;
  readonly kind: Kind;
  readonly how: Corruption;
  /** Among the files of the newest release alone, else of all that stand at the site. */
  readonly newest: boolean;
  /** Which of them, and where in it: parts of one. */
  readonly which: number;
  readonly where: number;
}

/** Null: the actor has nothing more to do. */
export interface Decisions {
  release(): ReleaseDecision | null;
  kill(): KillDecision | null;
  freeze(): FreezeDecision | null;
  azurite(): AzuriteDecision | null;
  rot(): RotDecision | null;
}

type Random = () => number;
const between = (random: Random, least: number, most: number): number =>
  Math.round(least + random() * (most - least));
const pick = <T>(random: Random, items: readonly T[]): T =>
  items[Math.floor(random() * items.length)]!;

/** A worker dies three times as often as each of the servers. */
const VICTIMS: readonly Victim[] = [
  ...(['worker a', 'worker b', 'worker a', 'worker b', 'worker a', 'worker b'] as const),
  ...(['Temporal', 'Temporal', 'PostgreSQL', 'PostgreSQL'] as const),
];
const KINDS: readonly Kind[] = [
  ...(['pool', 'pool', 'pool', 'pool', 'pool', 'pool'] as const),
  ...(['by-hash', 'by-hash', 'by-hash', 'published name'] as const),
];
/**
 * Other bytes under an ETag that debgeo did not get are another program's, where bytes change
 * (FOREIGN_WRITE): a published name rots below its ETag, or is gone.
 */
const OF_NAMES: readonly Corruption[] = [
  'bit flip',
  'deletion',
  'deletion',
  'deletion',
  'deletion',
];

export function decisionsOf(seed: number): Decisions {
  const streams = Array.from({ length: 5 }, (_, actor) => seeded(seed * 1_000 + actor));
  const [releases, kills, freezes, azurites, rots] = streams as [
    Random,
    Random,
    Random,
    Random,
    Random,
  ];
  return {
    release: () => ({
      afterMs: between(releases, 1_000, 4_000),
      suite: pick(releases, SUITES),
      changes: Array.from({ length: between(releases, 1, 2) }, () =>
        between(releases, 0, CHANGING - 1),
      ),
    }),
    kill: () => ({ afterMs: between(kills, 2_000, 6_000), victim: pick(kills, VICTIMS) }),
    freeze: () => ({
      afterMs: between(freezes, 10_000, 25_000),
      worker: pick(freezes, WORKERS),
      ms: between(freezes, 300, 8_000),
    }),
    azurite: () => ({
      afterMs: between(azurites, 30_000, 60_000),
      site: pick(azurites, SITES),
      downMs: between(azurites, 0, 3_000),
    }),
    rot: () => {
      const kind = pick(rots, KINDS);
      return {
        afterMs: between(rots, 2_500, 6_000),
        site: pick(rots, SITES),
        kind,
        how: pick(rots, kind === 'published name' ? OF_NAMES : CORRUPTIONS),
        newest: rots() < 0.4,
        which: rots(),
        where: rots(),
      };
    },
  };
}
