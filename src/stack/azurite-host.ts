/**
 * The process of one Azurite. Azurite writes its metadata every five seconds and when it closes:
 * killed, it forgets what it has acknowledged. So it closes as soon as the keeper has gone, however
 * the keeper ended: the end of the IPC channel tells.
 */
import { createRequire } from 'node:module';

const RETRY_MS = 20;

process.once('disconnect', () => {
  // Azurite listens for this message only once it has started.
  const retry = setInterval(() => {
    if (!process.emit('message', 'shutdown', undefined)) return;
    clearInterval(retry);
  }, RETRY_MS);
});
createRequire(import.meta.url)('azurite/dist/src/blob/main.js');
