/** What a history says of the time in which one of two workers was frozen. */
import type { WorkflowHandle } from '@temporalio/client';

import { workflowId } from '../workflows/messages.ts';
import type { Facts } from './book.ts';
import type { Installation } from './installation.ts';

type History = Awaited<ReturnType<WorkflowHandle['fetchHistory']>>;
type Event = NonNullable<History['events']>[number];

/** temporal.api.enums.v1.TaskQueueKind */
const STICKY_QUEUE = 2;

export interface Takeover {
  /** One per event, with the seconds since the worker was frozen. */
  readonly lines: readonly string[];
  /** How many tasks were lost, each until it timed out. */
  readonly facts: Facts;
}

/**
 * @param pid of the frozen worker
 * @param since when it was frozen, milliseconds since 1970
 */
export async function readTakeover(
  { client, distributions }: Installation,
  pid: number,
  since: number,
): Promise<Takeover> {
  const handle = client.workflow.getHandle(workflowId(distributions[0]!));
  const { events } = await handle.fetchHistory();
  const recent = (events ?? []).filter((event) => timeOf(event) >= since);
  const stepOf = stepsOf(events ?? []);
  const lines = recent.flatMap((event) => {
    const what = wordsOf(event, stepOf, (identity) =>
      identity?.startsWith(`${pid}@`) ? 'the frozen worker' : 'the other worker',
    );
    const seconds = ((timeOf(event) - since) / 1000).toFixed(1).padStart(5);
    return what === null ? [] : [`${seconds} s  ${what}`];
  });
  // Of a workflow task, the second attempt and those after it are in no history unless they end
  // well; of an activity none is.
  const tasks = recent.map(
    (event) =>
      (event.workflowTaskTimedOutEventAttributes ? 1 : 0) +
      Math.max(0, (event.workflowTaskScheduledEventAttributes?.attempt ?? 0) - 2),
  );
  const attempts = recent.map(
    (event) => (event.activityTaskStartedEventAttributes?.attempt ?? 1) - 1,
  );
  return {
    lines,
    facts: { 'workflow tasks lost': sum(tasks), 'attempts at activities lost': sum(attempts) },
  };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

const timeOf = ({ eventTime }: Event): number =>
  Number(eventTime?.seconds ?? 0) * 1000 + (eventTime?.nanos ?? 0) / 1e6;

type StepOf = (scheduledEventId: unknown) => string;

/** The name of an activity, by the event that scheduled it. */
function stepsOf(events: readonly Event[]): StepOf {
  const names = new Map(
    events.map(({ eventId, activityTaskScheduledEventAttributes: scheduled }) => [
      String(eventId),
      scheduled?.activityType?.name ?? 'an activity',
    ]),
  );
  return (id) => names.get(String(id)) ?? 'an activity';
}

/** Null: the event is of no task. */
function wordsOf(
  event: Event,
  stepOf: StepOf,
  workerOf: (identity?: string | null) => string,
): string | null {
  const scheduled = event.activityTaskScheduledEventAttributes;
  if (scheduled) return `${scheduled.activityType?.name} scheduled`;
  const started = event.activityTaskStartedEventAttributes;
  if (started)
    return [
      `${stepOf(started.scheduledEventId)} started by ${workerOf(started.identity)}`,
      ...(started.lastFailure
        ? [`attempt ${started.attempt} after ${started.lastFailure.message}`]
        : []),
    ].join(', ');
  const completed = event.activityTaskCompletedEventAttributes;
  if (completed) return `${stepOf(completed.scheduledEventId)} completed`;
  const task = event.workflowTaskScheduledEventAttributes;
  if (task) {
    const of = task.taskQueue?.kind === STICKY_QUEUE ? "one worker's queue" : 'the common queue';
    return `workflow task scheduled on ${of}`;
  }
  const given = event.workflowTaskStartedEventAttributes;
  if (given) return `workflow task given to ${workerOf(given.identity)}`;
  if (event.workflowTaskTimedOutEventAttributes) return 'workflow task timed out';
  return null;
}
