/**
 * The process of one Azurite. Azurite writes its metadata every five seconds and when it closes:
 * killed, it forgets what it has acknowledged. So it closes as soon as the keeper has gone, however
 * the keeper ended: the end of the IPC channel tells.
 */
import { createRequire } from 'node:module';

const RETRY_MS = 20;

/**
 * Azurite writes to 50 files at a time, and keeps the place of an upload for ever whose client went
 * before it was begun (FSExtentStore waits for events of a request that has closed): after 50
 * workers that were killed or stopped in the middle of one it takes no upload any more.
 */
const WRITES_MAX = 2_000;

interface Constants {
  readonly DEFAULT_BLOB_PERSISTENCE_ARRAY: { maxConcurrency: number }[];
}

process.once('disconnect', () => {
  // Azurite listens for this message only once it has started.
  const retry = setInterval(() => {
    if (!process.emit('message', 'shutdown', undefined)) return;
    clearInterval(retry);
  }, RETRY_MS);
});
const require = createRequire(import.meta.url);
const constants = require('azurite/dist/src/blob/utils/constants.js') as Constants;
for (const place of constants.DEFAULT_BLOB_PERSISTENCE_ARRAY) place.maxConcurrency = WRITES_MAX;
require('azurite/dist/src/blob/main.js');
