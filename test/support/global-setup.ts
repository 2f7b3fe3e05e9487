/**
 * For `node --test --test-global-setup`: one stack for all test files. They find it through an
 * environment variable that they inherit.
 */
import { SHARED_STACK, startTestStack } from './servers.ts';

let stop: (() => Promise<void>) | null = null;

export async function globalSetup(): Promise<void> {
  const servers = await startTestStack();
  stop = servers.stop;
  process.env[SHARED_STACK] = servers.folder;
}

export async function globalTeardown(): Promise<void> {
  await stop?.();
}
