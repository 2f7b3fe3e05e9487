/**
 * What the samples of a CPU profile were spent on. Pure.
 *
 * A sample is charged to the innermost frame that is not Node's own, because Node works for its
 * caller; without a caller (a socket became readable) it is charged to that part of Node. Hashing,
 * garbage collection and idling have groups of their own, wherever they happen.
 */
export interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  /** Microseconds of the monotonic clock. */
  readonly startTime: number;
  /** Ids of nodes. */
  readonly samples: readonly number[];
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[];
}

interface ProfileNode {
  readonly id: number;
  readonly callFrame: Frame;
  readonly children?: readonly number[];
}

export interface Frame {
  readonly functionName: string;
  readonly url: string;
}

/** Microseconds of the monotonic clock. */
export interface Window {
  readonly from: number;
  readonly to: number;
}

export interface Spent {
  readonly name: string;
  readonly seconds: number;
}

export interface ProfileSummary {
  /** Largest first, without idling. */
  readonly groups: readonly Spent[];
  /** The largest by function and file: the innermost frames, whatever they are charged to. */
  readonly functions: readonly Spent[];
  readonly busySeconds: number;
  readonly idleSeconds: number;
}

const WITHOUT_FRAME: Readonly<Record<string, string>> = {
  '(garbage collector)': 'GC',
  '(program)': 'native code',
  '(root)': 'native code',
};
const IDLE = '(idle)';
const FUNCTIONS_SHOWN = 20;

const WRITES = new RegExp(
  `^#?(${[
    ...['put', 'putWhole', 'putBlocks', 'putHeaders', 'conditionOf', 'commitOptions', 'blockId'],
    ...['wholeOf', 'blocksOf', 'bodyOf', 'pieces', 'writtenOf', 'assertAnnounced'],
  ].join('|')})$`,
);
const READS_BACK = /^#?(checksum|sha256Of|openVersion|download|bytesOf|headOf)$/;

/** The first that fits: by URL, and where a file does several things, by function. */
const GROUPS: readonly {
  readonly name: string;
  readonly url: RegExp;
  readonly functions?: RegExp;
}[] = [
  { name: 'signatures', url: /\/openpgp\/|\/src\/archive\/verify-signature/ },
  { name: 'archive', url: /\/src\/archive\// },
  { name: 'watchdog', url: /\/src\/site\/watchdog/ },
  { name: 'site write', url: /\/src\/site\//, functions: WRITES },
  { name: 'read-back', url: /\/src\/site\//, functions: READS_BACK },
  { name: 'site, write and read', url: /\/src\/site\// },
  { name: 'SDK of the site', url: /\/node_modules\/(@azure|@typespec)\// },
  {
    name: 'database',
    url: /\/src\/database\/|\/node_modules\/(pg|pg-[a-z]+|postgres-[a-z]+|kysely|@mikro-orm)\//,
  },
  {
    name: 'Temporal',
    url: /\/node_modules\/(@temporalio|@grpc|protobufjs|@protobufjs|long|webpack|@swc|memfs)\//,
  },
  { name: 'Temporal', url: /\/workflows\/|workflow-bundle|\/src\/(worker|temporal)\// },
  { name: 'spool', url: /\/src\/spool\// },
  { name: 'log', url: /\/node_modules\/(pino|sonic-boom)/ },
  { name: 'activities', url: /\/activities\// },
  { name: 'domain', url: /\/src\/domain\// },
];
const NODE_GROUPS: readonly { readonly name: string; readonly url: RegExp }[] = [
  { name: 'Node: HTTP, archive and site', url: /^node:(_http|internal\/http)/ },
  { name: 'Node: sockets', url: /^node:(net|_tls|internal\/stream_base|internal\/net)/ },
  { name: 'Node: streams', url: /^node:(stream|internal\/streams|internal\/webstreams)/ },
  {
    name: 'Node: timers, promises, ticks',
    url: /^node:(timers|internal\/(timers|process|abort|event_target|async_hooks))/,
  },
];

export function summarize(profile: CpuProfile, window: Window | null): ProfileSummary {
  const stacks = stacksOf(profile.nodes);
  const groups = new Map<string, number>();
  const functions = new Map<string, number>();
  let idle = 0;
  let busy = 0;
  let at = profile.startTime;
  for (const [index, id] of profile.samples.entries()) {
    const spent = profile.timeDeltas[index] ?? 0;
    at += spent;
    if (window !== null && (at < window.from || at > window.to)) continue;
    const stack = stacks.get(id) ?? [];
    if (stack[0]?.functionName === IDLE) {
      idle += spent;
      continue;
    }
    busy += spent;
    add(groups, groupOf(stack), spent);
    add(functions, nameOf(stack[0]), spent);
  }
  return {
    groups: largest(groups, Infinity),
    functions: largest(functions, FUNCTIONS_SHOWN),
    busySeconds: busy / 1e6,
    idleSeconds: idle / 1e6,
  };
}

/** @param stack the innermost frame first */
export function groupOf(stack: readonly Frame[]): string {
  const [leaf] = stack;
  if (leaf === undefined) return 'native code';
  if (leaf.url === '' && WITHOUT_FRAME[leaf.functionName] !== undefined)
    return WITHOUT_FRAME[leaf.functionName]!;
  if (isHash(leaf) || (leaf.url === '' && stack[1] !== undefined && isHash(stack[1])))
    return 'hash';
  const own = stack.find(({ url }) => url !== '' && !url.startsWith('node:'));
  if (own !== undefined)
    return (
      GROUPS.find(
        ({ url, functions }) => url.test(own.url) && functions?.test(own.functionName) !== false,
      )?.name ?? 'other packages'
    );
  const node = stack.find(({ url }) => url.startsWith('node:'));
  return NODE_GROUPS.find(({ url }) => url.test(node?.url ?? ''))?.name ?? 'Node: other';
}

const isHash = ({ url }: Frame): boolean => url.startsWith('node:internal/crypto/hash');

/** For every node, its frame and those of its callers, the innermost first. */
function stacksOf(nodes: readonly ProfileNode[]): Map<number, Frame[]> {
  const parents = new Map<number, ProfileNode>();
  for (const node of nodes) for (const child of node.children ?? []) parents.set(child, node);
  return new Map(
    nodes.map((node) => {
      const stack: Frame[] = [];
      for (let one: ProfileNode | undefined = node; one !== undefined; one = parents.get(one.id))
        stack.push(one.callFrame);
      return [node.id, stack] as const;
    }),
  );
}

function nameOf(frame: Frame | undefined): string {
  if (frame === undefined) return '(root)';
  const file = frame.url
    .replace(/^.*\/node_modules\//, '')
    .replace(/^file:\/\/.*?\/(src|activities|workflows)\//, '$1/');
  return `${frame.functionName || '(anonymous)'}${file === '' ? '' : ` ${file}`}`;
}

const add = (sums: Map<string, number>, name: string, spent: number): void =>
  void sums.set(name, (sums.get(name) ?? 0) + spent);

const largest = (sums: ReadonlyMap<string, number>, count: number): Spent[] =>
  [...sums]
    .map(([name, spent]) => ({ name, seconds: spent / 1e6 }))
    .sort((a, b) => b.seconds - a.seconds)
    .slice(0, count);
