/**
 * The process in which one Azurite runs. It writes its metadata every five seconds and when it
 * closes: killed, it forgets what it has acknowledged. So it closes as soon as the keeper is gone,
 * however that ended: the end of the IPC channel is the order.
 */
import { createRequire } from 'node:module';

const RETRY_MS = 20;

process.once('disconnect', () => {
  // Azurite hears the order only once it has started: until then there is no listener.
  const retry = setInterval(() => {
    if (!process.emit('message', 'shutdown', undefined)) return;
    clearInterval(retry);
  }, RETRY_MS);
});
createRequire(import.meta.url)('azurite/dist/src/blob/main.js');
