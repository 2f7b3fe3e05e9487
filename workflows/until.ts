import { condition } from '@temporalio/workflow';

/**
 * Waits for `ready`, or for the instant `at` (milliseconds since 1970; null: only for `ready`). A
 * stored deadline and never a duration, so that continue-as-new does not start it again.
 */
export async function until(
  ready: () => boolean,
  at: number | null,
  summary: string,
): Promise<void> {
  if (at === null) await condition(ready);
  else if (!ready() && at > Date.now()) await condition(ready, at - Date.now(), { summary });
}
