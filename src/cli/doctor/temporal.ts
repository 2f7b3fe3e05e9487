import { QUEUE } from '../../../workflows/messages.ts';
import { DebgeoError } from '../../domain/errors.ts';
import {
  describePollers,
  describeServer,
  type ServerDescription,
} from '../../temporal/describe.ts';
import { examineWorkflow } from '../../temporal/health.ts';
import { duration } from '../amount.ts';
import { withTemporal, type Options } from '../connect.ts';
import type { Findings } from './findings.ts';

/** @returns how many workers poll; null: the server does not answer */
export async function examineTemporal(
  findings: Findings,
  options: Options,
): Promise<number | null> {
  const server = await findings.check(
    'Temporal',
    () => withTemporal(options, describeServer),
    describe,
  );
  if (server === undefined) return null;
  await findings.check(
    'search attributes',
    async () => assertAttributes(server),
    (count) =>
      count === null ? 'not seen: the server does not let us ask' : `${count} are registered`,
  );
  return (await findings.check('worker', () => countPollers(options, QUEUE), polling)) ?? 0;
}

function describe({ version, namespace, retentionMs }: ServerDescription): string {
  const kept = retentionMs === null ? '' : ` keeps what ended for ${duration(retentionMs)}`;
  return `answers, version ${version}, namespace ${namespace}${kept}`;
}

/**
 * A worker that starts registers missing attributes where it may; it corrects no wrong type.
 */
function assertAttributes(server: ServerDescription): number | null {
  if (server.searchAttributes === null) return null;
  const wrong = server.searchAttributes.filter(({ isRight }) => !isRight);
  if (wrong.length === 0) return server.searchAttributes.length;
  const create = wrong
    .map(({ name, type }) => `--name ${name} --type ${TYPES[type] ?? type}`)
    .join(' ');
  throw new DebgeoError('CONFIG_INVALID', 'search attributes are missing or have another type', {
    expected:
      'a worker that registers them when it starts; or: temporal operator search-attribute create' +
      ` --namespace ${server.namespace} ${create}`,
    found: wrong
      .map(({ name, found }) => `${name}: ${found === null ? 'missing' : `type number ${found}`}`)
      .join(', '),
  });
}

/** The types as the `temporal` program spells them. */
const TYPES: Readonly<Record<string, string>> = {
  KEYWORD: 'Keyword',
  INT: 'Int',
  KEYWORD_LIST: 'KeywordList',
};

export function countPollers(options: Options, queue: string): Promise<number> {
  return withTemporal(options, async (client) => {
    const pollers = await describePollers(client, queue);
    if (pollers === 0)
      throw new DebgeoError('NO_WORKER', `no worker polls ${queue}`, {
        expected: 'a worker',
        found: 'none',
      });
    return pollers;
  });
}

/**
 * Says what fails in a workflow again and again, and nothing where nothing does.
 * @returns whether its tasks succeed, so that it can be asked
 */
export async function examineWorkflowOf(
  findings: Findings,
  options: Options,
  id: string,
): Promise<boolean> {
  try {
    const stuck = await withTemporal(options, (client) => examineWorkflow(client, id));
    for (const { activity, attempt, failure } of stuck ?? [])
      findings.wrong(id, {
        code: 'STALLED',
        message: `${activity} was tried ${attempt} times`,
        found: failure,
      });
    return true;
  } catch (error) {
    if (!(error instanceof DebgeoError)) throw error;
    findings.wrong(id, error.report);
    return false;
  }
}

export const polling = (count: number): string => `${count} ${count === 1 ? 'polls' : 'poll'}`;
