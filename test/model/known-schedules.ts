/** Schedules that once broke a promise, or would with a fault that was fixed. */
import type { Schedule } from './schedule.ts';

const ALONE = { packages: 3, shared: null, xz: 'unlisted' } as const;
const CAPTURED = { drops: false, captured: true };

/**
 * A lane plans other bytes at a path that nothing needs, and freezes before it writes the plan. A
 * lane of the other suite needs what is there, verifies it and publishes it. Then the first goes
 * on.
 */
export const TWO_PLANS: Schedule = [
  'served',
  ['release', { ...ALONE, suite: 'stable', shared: 'one' }, CAPTURED],
  ['step', 'stable', 'fra', { at: 'site', n: 1, how: 'killed before' }],
  ['order', 'stable', 'fra', { want: 'cancel' }],
  ['order', 'stable', 'fra', { want: 'retry' }],
  ['release', { ...ALONE, suite: 'stable' }, CAPTURED],
  ['release', { ...ALONE, suite: 'testing', shared: 'two' }, CAPTURED],
  [
    'step',
    'testing',
    'fra',
    { at: 'statement', of: 'update blob_registry', n: 1, how: 'frozen before' },
  ],
  ['release', { ...ALONE, suite: 'stable', packages: 1, shared: 'one' }, CAPTURED],
  ['chain', 'stable', 'fra'],
  [
    'release',
    { ...ALONE, suite: 'testing', packages: 5, shared: 'two' },
    { drops: false, captured: false },
  ],
  ['thaw', 0],
  ['step', 'testing', 'fra', null],
];

/**
 * A worker freezes before it writes a name. Others publish that release, and then one without the
 * name, which they delete. Then the worker goes on.
 */
export const A_LATE_NAME: Schedule = [
  'served',
  ['release', { ...ALONE, suite: 'stable', xz: 'there' }, CAPTURED],
  ['step', 'stable', 'fra', null],
  ['step', 'stable', 'fra', null],
  ['step', 'stable', 'fra', null],
  [
    'step',
    'stable',
    'fra',
    {
      at: 'site',
      of: 'PUT debian/dists/stable/main/binary-amd64/Packages.xz',
      n: 1,
      how: 'frozen before',
    },
  ],
  ['chain', 'stable', 'fra'],
  ['release', { ...ALONE, suite: 'stable', packages: 1 }, CAPTURED],
  ['chain', 'stable', 'fra'],
  ['thaw', 0],
];

/** What a release lacks was served a moment ago, and a prune comes. */
export const A_PRUNE_AT_ONCE: Schedule = [
  'served',
  ['release', { ...ALONE, suite: 'stable', packages: 1 }, CAPTURED],
  ['chain', 'stable', 'fra'],
  ['prune', 'fra', null],
];

/** An older copy of a container is restored, and its grace is not over when a prune comes. */
export const AN_OLDER_COPY: Schedule = [
  'served',
  ['copy', 'fra'],
  ['release', { ...ALONE, suite: 'stable', packages: 1 }, CAPTURED],
  ['chain', 'stable', 'fra'],
  ['release', { ...ALONE, suite: 'stable', packages: 5 }, CAPTURED],
  ['chain', 'stable', 'fra'],
  ['pass', 3],
  ['restore copy', 'fra'],
  ['confirm', 'fra', null],
  ['chain', 'stable', 'fra'],
  ['chain', 'testing', 'fra'],
  ['prune', 'fra', null],
];

/** A blob rots, and an operator asks for all to be read. */
export const ROT: Schedule = [
  'served',
  ['rot', 'fra', 10, 'bit flip'],
  ['order', 'stable', 'fra', { verify: true }],
  ['chain', 'stable', 'fra'],
];

/** A release that is not as it was signed, before and behind one that is. */
export const A_FORGERY: Schedule = [
  'served',
  ['forge', 'stable'],
  ['release', { ...ALONE, suite: 'stable', packages: 5 }, { drops: false, captured: false }],
  ['forge', 'stable'],
  ['capture', 'stable', null],
  ['chain', 'stable', 'fra'],
];
