/**
 * The activities of one distribution as Temporal recorded them: how long each waited for a worker,
 * and how long it ran.
 */
import { workflowId } from '../workflows/messages.ts';
import type { Installation } from './installation.ts';

export interface StepTime {
  readonly step: string;
  /** Seconds since 1970, when it was scheduled. */
  readonly at: number;
  /** Seconds from scheduled to started. */
  readonly waited: number;
  /** Seconds from started to completed. */
  readonly ran: number;
}

/** The activities of the newest run, in the order in which they ended. */
export async function readStepTimes(
  installation: Installation,
  distribution: string = installation.distributions[0]!,
): Promise<StepTime[]> {
  const { events } = await installation.client.workflow
    .getHandle(workflowId(distribution))
    .fetchHistory();
  const scheduled = new Map<string, { readonly step: string; readonly at: number }>();
  const started = new Map<string, number>();
  const steps: StepTime[] = [];
  for (const event of events ?? []) {
    const at = Number(event.eventTime?.seconds ?? 0) + (event.eventTime?.nanos ?? 0) / 1e9;
    const step = event.activityTaskScheduledEventAttributes?.activityType?.name;
    if (step) scheduled.set(String(event.eventId), { step, at });
    const startedFor = event.activityTaskStartedEventAttributes?.scheduledEventId;
    if (startedFor) started.set(String(startedFor), at);
    const completedFor = String(event.activityTaskCompletedEventAttributes?.scheduledEventId ?? '');
    const [begun, start] = [scheduled.get(completedFor), started.get(completedFor)];
    if (begun !== undefined && start !== undefined)
      steps.push({ ...begun, waited: start - begun.at, ran: at - start });
  }
  return steps;
}

/**
 * As one line: how long each step ran, its slices summed, and how long all of them waited.
 * @param since milliseconds since 1970; steps scheduled earlier are left out
 */
export function describeSteps(steps: readonly StepTime[], since: number): Record<string, string> {
  const recent = steps.filter((step) => step.at * 1000 >= since);
  const sums = new Map<string, number>();
  for (const { step, ran } of recent) sums.set(step, (sums.get(step) ?? 0) + ran);
  const waited = recent.reduce((sum, step) => sum + step.waited, 0);
  const parts = [...sums].map(([step, ran]) => `${step} ${ran.toFixed(2)}`);
  return { 'steps, s': `${parts.join(' · ')} · waiting for a worker ${waited.toFixed(2)}` };
}
